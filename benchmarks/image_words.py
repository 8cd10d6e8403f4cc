"""What nano's image tokens say, and what of it the language model reads.

    python -m benchmarks.image_words [CHECKPOINT] [--clips N] [--seed N] [--json FILE]

Rendered clips of evaluation seeds, without motion tokens. First: in how many anchors each slot's likeliest word is the
word that was drawn. Then the questions about what is still are answered three times: from the tokens as they are, from
the embedding of each slot's likeliest word, and from that of the word that was drawn. What the first two lack against
the third, the projector does not see; what the third lacks, the language model does not read.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from himmel._files import atomic_path
from himmel._progress import track
from himmel.evaluation.statistics import accuracy
from himmel.hosts.nano import NanoForConditionalGeneration
from himmel.hosts.nano.projector import SLOTS, NanoProjector
from himmel.methods.models import checkpoint_name, default_checkpoint
from himmel.model import HimmelForConditionalGeneration, HimmelProcessor
from himmel.model.scoring import score_logits, weigh
from himmel.nano.clips import FIRST_EVAL_SEED
from himmel.nano.draw import draw_spec
from himmel.nano.kinds import MOTION_KINDS
from himmel.nano.questions import Question
from himmel.nano.stills import slot_words
from himmel.training.store import ClipStore, StoredClip

FORMS: Final = ("tokens as they are", "likeliest words", "words that were drawn")
Hook = Callable[[nn.Module, tuple[Tensor, Tensor], Tensor], Tensor | None]


def main() -> None:
    """Look at what the slots say, ask, and print both."""
    options = _options()
    checkpoint = options.checkpoint or default_checkpoint()
    model = HimmelForConditionalGeneration.from_pretrained(checkpoint).eval()
    seeds = range(options.seed, options.seed + options.clips)
    store = ClipStore(model.config, split="eval")
    store.prepare(list(seeds), workers=2)
    slots: dict[str, list[bool]] = {}
    answers: dict[str, dict[str, list[bool]]] = {form: {} for form in FORMS}
    for seed in track(list(seeds), what="Asking about pictures", total=options.clips):
        drawn = slot_words(draw_spec(seed, "eval"))[0]
        for form in FORMS:
            said = _ask(model, store.load(seed), form, drawn, answers[form])
            if form == FORMS[0]:
                _compare(slots, said, drawn)
    found = {
        "checkpoint": checkpoint_name(checkpoint),
        "clips": options.clips,
        "first_seed": options.seed,
        "slots": {slot: asdict(accuracy(slots[slot])) for slot in SLOTS if slot in slots},
        "answers": {form: {kind: asdict(accuracy(by[kind])) for kind in sorted(by)} for form, by in answers.items()},
    }
    _print(found)
    if options.json is not None:
        with atomic_path(options.json) as file:
            file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", help="default: the shipped one")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--seed", type=int, default=FIRST_EVAL_SEED, help="of the first clip")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    if options.clips < 1 or options.seed < FIRST_EVAL_SEED:
        parser.error(f"take at least one clip, of a seed from {FIRST_EVAL_SEED}")
    return options


def _ask(
    model: HimmelForConditionalGeneration,
    clip: StoredClip,
    form: str,
    drawn: Sequence[str | None],
    answers: dict[str, list[bool]],
) -> list[list[str]]:
    """Ask a clip's still questions and note which answers are right; return what the slots said, by anchor."""
    projector = cast(NanoForConditionalGeneration, model.network).model.projector
    words = list(model.network.config.image_words)
    asked: list[Question] = [one for one in clip.questions if one.kind not in MOTION_KINDS]
    said: list[list[str]] = []
    handle = projector.register_forward_hook(cast(Hook, _speaking(form, words, drawn, said)))
    try:
        processor = HimmelProcessor(model.config, model.host)
        questions = [[(one.text, one.choices) for one in asked]]
        inputs = processor.encode_choices([clip.sample], questions, motion=False, anchors=True)
        with torch.no_grad():
            scores = score_logits(model(inputs.inputs).logits, inputs)[0]
    finally:
        handle.remove()
    for one, score in zip(asked, scores, strict=True):
        right = int(weigh(score, scoring="raw").argmax()) == one.answer
        for kind in (one.kind, "all still"):
            answers.setdefault(kind, []).append(right)
    return said


def _speaking(form: str, words: list[str], drawn: Sequence[str | None], said: list[list[str]]) -> Any:
    """A hook that notes each picture's words, and says them in another form."""

    def hook(module: NanoProjector, given: tuple[Tensor, Tensor], tokens: Tensor) -> Tensor | None:
        likeliest = module.describe(*given).words.argmax(-1)
        said.extend([words[word] for word in row] for row in likeliest.tolist())
        if form == FORMS[0]:
            return None
        if form == FORMS[2]:
            known = [words.index(word) if word in words else -1 for word in drawn]
            likeliest = torch.where(torch.tensor(known) >= 0, torch.tensor(known), likeliest)
        return module.words[likeliest].to(tokens.dtype)

    return hook


def _compare(slots: dict[str, list[bool]], said: list[list[str]], drawn: Sequence[str | None]) -> None:
    for row in said:
        for slot, word, right in zip(SLOTS, row, drawn, strict=True):
            if right is not None:
                slots.setdefault(slot, []).append(word == right)


def _print(found: dict[str, Any]) -> None:
    print("slot: anchors whose likeliest word is the one that was drawn")
    for slot, one in found["slots"].items():
        print(_row(slot, one))
    for form, kinds in found["answers"].items():
        print(f"questions answered from {form}")
        for kind, one in kinds.items():
            print(f"{_row(kind, one)} [{one['low']:.1%}, {one['high']:.1%}]")


def _row(name: str, one: dict[str, float]) -> str:
    return f"  {name:26} {one['correct']:5} of {one['total']:5}  {one['correct'] / one['total']:6.1%}"


if __name__ == "__main__":
    main()

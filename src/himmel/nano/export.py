"""Rendered evaluation clips as files with questions beside them, for any method and any other harness."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from himmel._files import atomic_path
from himmel._progress import track
from himmel._trouble import explain
from himmel.errors import HimmelError, UsageError
from himmel.nano.clips import FIRST_EVAL_SEED, ClipSpec
from himmel.nano.draw import draw_spec
from himmel.nano.kinds import MOTION_KINDS
from himmel.nano.lmms_task import write_task
from himmel.nano.questions import choose_questions, questions
from himmel.nano.render import encode_clip_file


@dataclass(frozen=True)
class WrittenClips:
    """What `write_clips` made.

    Attributes:
        questions: the file of questions.
        asked: number of questions in it.
        rendered: number of clips that were not there before.
    """

    questions: Path
    asked: int
    rendered: int


def write_clips(
    folder: Path, *, clips: int = 200, questions_per_clip: int = 2, seed: int = FIRST_EVAL_SEED
) -> WrittenClips:
    """Write `{seed}.mp4` for each clip and `questions.jsonl`, one question a line; the same bytes each time.

    Beside them go the files of two tasks for lmms-eval (`write_task`).

    A line has `id`, `video`, `question`, `choices`, `answer` (the text of the right choice), `category` (the question's
    kind), `task` ("motion" or "still") and `duration` (seconds). The questions are those of `himmel nano bench`. The
    same call continues one that was interrupted: a clip gets its name when it is whole.

    Args:
        folder: made if it is missing.
        clips: how many.
        questions_per_clip: at most so many questions of a clip; at least half of them ask about motion.
        seed: of the first clip; the others follow. An evaluation seed.

    Raises:
        UsageError: `seed` may have been trained on.
        HimmelError: emoji or photographs are missing and cannot be fetched, or nothing can be written.
    """
    if seed < FIRST_EVAL_SEED:
        raise UsageError(f"Seed {seed} may have been trained on; evaluation seeds start at {FIRST_EVAL_SEED}.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HimmelError(
            explain(error, place=folder) or f"Cannot make the folder {str(folder)!r} ({error.strerror}); name another."
        ) from error
    lines: list[dict[str, Any]] = []
    rendered = 0
    for one in track(range(seed, seed + clips), what="Rendering clips", total=clips):
        spec = draw_spec(one, "eval")
        if not (folder / _name(spec)).is_file():
            encode_clip_file(spec, folder / _name(spec))
            rendered += 1
        lines += _lines(spec, questions_per_clip)
    listed = folder / "questions.jsonl"
    with atomic_path(listed) as file:
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    write_task(listed)
    return WrittenClips(questions=listed, asked=len(lines), rendered=rendered)


def _name(spec: ClipSpec) -> str:
    return f"{spec.seed}.mp4"


def _lines(spec: ClipSpec, most: int) -> list[dict[str, Any]]:
    asked = questions(spec)
    return [
        {
            "id": f"{spec.seed}/{place}",
            "video": _name(spec),
            "question": asked[place].text,
            "choices": list(asked[place].choices),
            "answer": asked[place].choices[asked[place].answer],
            "category": asked[place].kind,
            "task": "motion" if asked[place].kind in MOTION_KINDS else "still",
            "duration": round(spec.seconds, 3),
        }
        for place in choose_questions(asked, most=most)
    ]

"""How lmms-eval 0.7.3 reads an option out of a text, task by task, for the figure that is printed beside ours.

Each function repeats what the task's `process_results` does, chance and mistakes included, so that a difference to
published numbers can be explained. Ours is `himmel.evaluation.benchmarks.letters.find_letter`.
"""

import re
from collections.abc import Sequence
from typing import Final

_PHRASES: Final = (
    *(f"{start}{noun} is" for noun in ("answer", "correct answer", "best answer") for start in ("the ", "")),
    *(f"{start}{noun} is" for noun in ("correct option", "best option") for start in ("the ", "")),
    *(f"{start}{noun} is" for noun in ("choice", "correct choice") for start in ("the ", "")),
    *("i choose", "i select", "i pick", "my answer is", "my choice is"),
    *("옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"),
)
_STRIPPED: Final = (",", ".", "!", "?", ";", ":", "'", '"')
_PUNCTUATION: Final = ';/[]"{}()=+\\_-><@`,?!'
_LONGVIDEOBENCH_PREFIXES: Final = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
)
_MOTIONBENCH_PREFIXES: Final = (
    "THE BEST ANSWER IS",
    "THE CORRECT ANSWER IS",
    "THE ANSWER IS",
    "BEST ANSWER:",
    "ANSWER:",
)


def ranked_letter(text: str, letters: str = "ABCD") -> str:
    """Video-MME, MLVU, RealWorldQA: letters in several forms, ranked, at last a capital in any word; "" if none."""
    said = text.strip()
    for mark in _STRIPPED:
        said = said.strip(mark)
    if not said:
        return ""
    padded = f" {said} "
    found: list[tuple[int, int, int]] = []
    for order, one in enumerate(letters):
        marks = ((6, f"({one})"), (5, f"{one}."), (4, f"{one}:"), (3, f"{one})"), (2, f"{one} "))
        found += [(rank, padded.rfind(mark), -order) for rank, mark in marks if mark in padded]
    lowered = padded.lower()
    for phrase in _PHRASES:
        place = lowered.find(phrase)
        if place >= 0:
            after = [(padded.find(one, place + len(phrase)), order) for order, one in enumerate(letters)]
            found += [(7, at, -order) for at, order in after if at >= 0]
    bare = padded.strip()
    for order, one in enumerate(letters):
        if bare.startswith(one) and (len(bare) == 1 or not bare[1].isalpha()):
            found.append((10, 0, -order))
        if bare.endswith(one) and (len(bare) == 1 or not bare[-2].isalpha()):
            found.append((9, len(padded) - 1, -order))
    if not found:
        found = [(0, padded.rfind(one), -order) for order, one in enumerate(letters) if one in padded]
    return letters[-max(found)[2]] if found else ""


def mvbench_letter(text: str) -> str:
    """MVBench: "B. text", else the first letter from a to e that is a word, else the text itself in small letters."""
    option = re.match(r"([A-E])\.\s*(.+)$", text.strip(), flags=re.IGNORECASE)
    if option:
        return option.group(1).upper()
    said = text.replace("\n", " ").replace("\t", " ").strip()
    comma = re.search(r"\d,\d", said) is not None
    plain = said
    for mark in _PUNCTUATION:
        plain = plain.replace(mark, "" if comma or f"{mark} " in said or f" {mark}" in said else " ")
    # The task passes a flag where `sub` takes a count, so that it drops at most 32 full stops.
    plain = re.sub(r"(?!<=\d)\.(?!\d)", "", plain, count=32)
    plain = plain.strip("'").strip('"').strip(")").strip("(").strip().lower()
    letter = re.search(r"\b([a-e])\b", plain, flags=re.IGNORECASE)
    return letter.group(1).upper() if letter else plain


def longvideobench_letter(text: str) -> str | None:
    """LongVideoBench: the first capital from A to E anywhere; None where the task draws one at random."""
    said = text.strip()
    for prefix in _LONGVIDEOBENCH_PREFIXES:
        said = said.replace(prefix, "")
    letter = re.search("[ABCDE]", said)
    return letter.group() if letter else None


def perception_test_letter(text: str) -> str:
    """Perception Test: the first capital from A to D that is a word; "" if none."""
    letter = re.search(r"\b([A-D])\b", text.strip())
    return letter.group(1) if letter else ""


def motionbench_letter(text: str) -> str:
    """MotionBench: the first letter from A to F that is a word, else one before a mark, else any; "" if none."""
    said = text.rpartition("</think>")[2].strip().upper()
    for prefix in _MOTIONBENCH_PREFIXES:
        said = said.replace(prefix, "")
    for pattern in (r"\b([A-F])\b", r"([A-F])[.):]", r"([A-F])"):
        letter = re.search(pattern, said)
        if letter:
            return letter.group(1)
    return ""


def tomato_letter(text: str, choices: Sequence[str]) -> str:
    """TOMATO: the only letter that occurs anywhere, of several the last one in brackets; "A" where nothing fits."""
    letters = [chr(ord("A") + index) for index in range(len(choices))]
    said = text
    for mark in _STRIPPED[:-1]:
        said = said.strip(mark)
    said = f" {said} "
    found = [one for one in letters if one in said]
    if found:
        # Without brackets all places are -1, and the first of them wins.
        return max(found, key=lambda one: said.rfind(f"({one})"))
    if len(said.split()) > 5:
        named = [(said.lower().rfind(text.lower()), one) for one, text in zip(letters, choices, strict=True)]
        there = [(place, one) for place, one in named if place >= 0]
        if there:
            return max(there, key=lambda one: one[0])[1]
    return "A"

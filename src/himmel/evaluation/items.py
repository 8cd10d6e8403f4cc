"""What a benchmark asks: questions about media, with how each benchmark words, reads and scores them.

A benchmark turns its released annotation files into a list of `Item`. It also gives the text of each prompt, reads an
answer out of what a model wrote, and says how many points that answer gets. It never runs a model and opens no video.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from himmel._text import by_number
from himmel.errors import HimmelError, UsageError

MediaKind = Literal["video", "image", "frames"]
"""A video file, one picture, or a folder of pictures that were taken from a video."""
ItemForm = Literal["choice", "text"]
"""One of an item's choices, by letter; or words, a number or a formula."""
HarnessPoints = float | Literal["left out", "needs a judge"]
"""Points from 0 to 1; the question is left out of the mean; or only a judging model says."""

# So many missing files are named in a message.
_NAMED = 5


class Picture(Protocol):
    """A picture that lies inside another file, such as a cell of a Parquet column."""

    def read(self) -> bytes:
        """The picture's bytes as they were encoded (PNG, JPEG)."""
        ...


@dataclass(frozen=True)
class Item:
    """One question.

    Attributes:
        id: unique within the benchmark and its split.
        media: what the question is about: the path below the data folder with `/` between its parts, or for a picture
            inside another file that file and its row (`test.parquet#12`).
        path: where the media are; None for a picture inside another file, which is in `picture`.
        kind: a video, a picture or a folder of pictures.
        question: the question alone, without its options.
        choices: the options in order, without letters; empty where the answer is free.
        answers: what is right: a letter ("A" is the first choice), or all wordings that count as right.
        picture: a picture inside another file, else None.
        start: seconds from the video's start at which what is asked about begins; None for the whole video.
        end: seconds at which it ends; None for the video's end.
        frame_rate: pictures a second in a folder of pictures, else None.
        category: the kind of question, by the benchmark's own name.
        task: a coarser kind or a task of the benchmark, if it has them.
        duration: length of the video in seconds, where the benchmark says it.
        duration_group: the benchmark's own name for how long the video is.
        subtitles: a subtitle file, whether it exists or not; None where the benchmark has none for the item.
        subtitles_start: seconds on the subtitles' clock at which the video starts.
        released: the question as released, where its options are inside it; else None.
        answer_type: what a free answer is: "text", "integer", "float" or "list".
        unit: in which a number is asked for.
        precision: digits after the point that are asked for.
        source: the data set that the item came from, where a benchmark gathers several.
        cluster: what questions about the same video share: their answers are not independent of one another.
    """

    id: str
    media: str
    path: Path | None
    kind: MediaKind
    question: str
    choices: tuple[str, ...]
    answers: tuple[str, ...]
    picture: Picture | None = field(default=None, repr=False)
    start: float | None = None
    end: float | None = None
    frame_rate: float | None = None
    category: str | None = None
    task: str | None = None
    duration: float | None = None
    duration_group: str | None = None
    subtitles: Path | None = None
    subtitles_start: float = 0.0
    released: str | None = field(default=None, repr=False)
    answer_type: str = "text"
    unit: str | None = None
    precision: int | None = None
    source: str | None = None
    cluster: str = ""

    def __post_init__(self) -> None:
        if not self.cluster:
            object.__setattr__(self, "cluster", self.media)

    @property
    def form(self) -> ItemForm:
        """Whether the answer is one of the choices."""
        return "choice" if self.choices else "text"

    @property
    def letters(self) -> tuple[str, ...]:
        """The choices' letters: "A", "B", ..."""
        return tuple(letter(index) for index in range(len(self.choices)))

    @property
    def right(self) -> int | None:
        """Index of the right choice; None where the answer is free."""
        return self.letters.index(self.answers[0]) if self.choices else None

    def read_picture(self) -> bytes:
        """The encoded picture of an item whose media are one picture.

        Raises:
            HimmelError: it cannot be read.
        """
        if self.picture is not None:
            return self.picture.read()
        if self.path is None:
            raise ValueError(f"Item {self.id!r} has no picture.")
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise HimmelError(f"Cannot read the picture {str(self.path)!r} ({error.strerror}).") from error


@dataclass(frozen=True)
class Scored:
    """An answered item as far as a benchmark's own figures need it.

    Attributes:
        id: of the item.
        category: of the item.
        task: of the item.
        points: of the answer, 0..1.
    """

    id: str
    category: str | None
    task: str | None
    points: float


class Benchmark(Protocol):
    """One benchmark: where its items are and how it words, reads and scores them.

    Attributes:
        name: as it is typed.
        title: as the literature writes it.
        splits: the splits that can be scored here, the usual one first.
        has_subtitles: whether items have subtitles to be shown.
        max_new_tokens: how much a model may write, by default.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    splits: ClassVar[tuple[str, ...]]
    has_subtitles: ClassVar[bool]
    max_new_tokens: ClassVar[int]

    def load(self, data: Path, *, split: str | None = None) -> list[Item]:
        """All items of a split, in released order; whether media are there is not looked at.

        Args:
            data: the folder that the benchmark was downloaded to.
            split: one of `splits`; None takes the first.

        Raises:
            HimmelError: the folder or the annotations are missing, empty or damaged, or ids are given twice.
            UsageError: `split` does not exist.
        """
        ...

    def prompt(self, item: Item, *, subtitles: str | None = None, listing: bool = True) -> str:
        """The text that goes with the media.

        Args:
            item: one of `load`.
            subtitles: what is said in the part of the video that is shown; None shows none.
            listing: list the options and ask for a letter, in the benchmark's own words; else the question alone.
        """
        ...

    def parse(self, text: str, item: Item) -> str | None:
        """The answer in what a model wrote: a letter, or words; None if there is none."""
        ...

    def score(self, parsed: str | None, item: Item) -> float:
        """Points from 0 to 1; None, which no answer was found in, gets 0."""
        ...

    def harness_points(self, text: str, item: Item) -> HarnessPoints:
        """What lmms-eval 0.7.3 gives for the same text, to be printed beside our score.

        Where it draws an answer at random, this is the expected value.
        """
        ...

    def figures(self, scored: Sequence[Scored]) -> dict[str, float]:
        """The figures that the benchmark's authors report, by name, the main one first, each 0..1."""
        ...


def letter(index: int) -> str:
    """The letter of a choice: 0 is "A".

    Raises:
        ValueError: there are no more than 26.
    """
    if not 0 <= index < 26:
        raise ValueError(f"There is no letter for choice {index}.")
    return chr(ord("A") + index)


def check_split(benchmark: Benchmark, split: str | None) -> str:
    """`split`, or the benchmark's usual one for None.

    Raises:
        UsageError: the benchmark has no such split.
    """
    if split is None:
        return benchmark.splits[0]
    if split not in benchmark.splits:
        raise UsageError(f"{benchmark.title} has no split {split!r} that can be scored; take {_any(benchmark.splits)}.")
    return split


def check_ids(items: Sequence[Item], source: Path) -> list[Item]:
    """The items as a list.

    Raises:
        HimmelError: there are none, or two have the same id.
    """
    if not items:
        raise HimmelError(f"{str(source)!r} has no question in it; download it again.")
    twice = [name for name, times in Counter(item.id for item in items).items() if times > 1]
    if twice:
        raise HimmelError(
            f"{str(source)!r} gives {by_number(len(twice), 'one id', '{} ids')} more than once, the first "
            f"{twice[0]!r}; answers could not be told apart, so remove the copies."
        )
    return list(items)


def check_media(
    items: Sequence[Item], *, allow_missing: bool = False, warn: Callable[[str], None] | None = None
) -> list[Item]:
    """The items whose media are there.

    Args:
        items: of a benchmark.
        allow_missing: leave out items without media instead of raising.
        warn: told in one sentence what was left out.

    Raises:
        HimmelError: media are missing and may not be, or all are missing.
    """
    missing = _missing(items)
    if not missing:
        return list(items)
    there = [item for item in items if item.media not in missing]
    lost = len(items) - len(there)
    names = ", ".join(repr(str(path)) for path in list(missing.values())[:_NAMED])
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    media = len({item.media for item in items})
    sentence = (
        f"{len(missing)} of {by_number(media, '{} file', '{} files')} {by_number(len(missing), 'is', 'are')} missing, "
        f"which {lost} of {by_number(len(items), '{} question is', '{} questions are')} about: {names}{more}"
    )
    if not there:
        raise HimmelError(f"{sentence}; name the folder that the benchmark's media were downloaded to.")
    if not allow_missing:
        raise HimmelError(f"{sentence}; finish the download, or leave these questions out with --allow-missing.")
    if warn is not None:
        warn(f"{sentence}; these questions are left out.")
    return there


def _missing(items: Iterable[Item]) -> dict[str, Path]:
    """Name -> path of media that are not there; a folder without files counts as missing."""
    looked: set[str] = set()
    missing: dict[str, Path] = {}
    for item in items:
        if item.path is None or item.media in looked:
            continue
        looked.add(item.media)
        there = any(item.path.iterdir()) if item.path.is_dir() else item.path.is_file()
        if not there:
            missing[item.media] = item.path
    return missing


def _any(names: Sequence[str]) -> str:
    quoted = [repr(name) for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"

"""One sample to learn from: what is shown, and what is asked and answered about it."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

Kind = Literal["video", "image", "text"]
KINDS: Final[tuple[Kind, ...]] = ("video", "image", "text")


@dataclass(frozen=True)
class Cell:
    """Where a picture is inside a Parquet or Arrow file.

    Attributes:
        column: of structs with `bytes` and `path`, or of lists of such.
        group: row group of a Parquet file, record batch of an Arrow file.
        row: in that group.
        item: in the list; None where the column has no lists.
    """

    column: str
    group: int
    row: int
    item: int | None = None


@dataclass(frozen=True)
class Medium:
    """A video or a picture.

    Attributes:
        kind: which of the two.
        path: of its file; of the Parquet or Arrow file for a picture inside one.
        start, end: seconds between which a video is meant; None: from its start, to its end.
        cell: where in the Parquet or Arrow file the picture is; None for a file of its own.
    """

    kind: Literal["video", "image"]
    path: str
    start: float | None = None
    end: float | None = None
    cell: Cell | None = None

    @property
    def name(self) -> str:
        """The path; behind it, which part of the video (as in W3C's media fragments) or which picture is meant."""
        if self.cell is not None:
            item = "" if self.cell.item is None else f"/{self.cell.item}"
            return f"{self.path}#{self.cell.column}/{self.cell.group}/{self.cell.row}{item}"
        if self.start is None and self.end is None:
            return self.path
        return f"{self.path}#t={self.start or 0.0:g}{'' if self.end is None else f',{self.end:g}'}"


@dataclass(frozen=True)
class Turn:
    """A question and its answer; the answer is what is learned."""

    question: str
    answer: str


@dataclass(frozen=True)
class Sample:
    """A conversation about one video, about pictures, or about nothing that is shown.

    Attributes:
        id: for messages, unique as far as the annotations are.
        media: one video, or any number of pictures, or nothing.
        turns: at least one, in order.
        subtitles: path of the video's subtitle file, or None.
    """

    id: str
    media: tuple[Medium, ...]
    turns: tuple[Turn, ...]
    subtitles: str | None = None

    @property
    def kind(self) -> Kind:
        """What is shown."""
        return self.media[0].kind if self.media else "text"

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of all that is read from files for it."""
        return (*(medium.name for medium in self.media), *([] if self.subtitles is None else [self.subtitles]))

    def to_json(self) -> bytes:
        """For `from_json`."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")

    @classmethod
    def from_json(cls, line: bytes) -> "Sample":
        """The sample that `to_json` was called on."""
        found: dict[str, Any] = json.loads(line.decode("utf-8", "surrogatepass"))
        media = (
            Medium(**{**one, "cell": None if one["cell"] is None else Cell(**one["cell"])}) for one in found["media"]
        )
        turns = tuple(Turn(**one) for one in found["turns"])
        return cls(id=found["id"], media=tuple(media), turns=turns, subtitles=found["subtitles"])

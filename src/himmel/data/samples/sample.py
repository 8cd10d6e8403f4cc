"""One sample to learn from: what is shown, and what is asked and answered about it."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

Kind = Literal["video", "image", "text"]
KINDS: Final[tuple[Kind, ...]] = ("video", "image", "text")


@dataclass(frozen=True)
class Cell:
    """Where a picture is inside a Parquet file: column of structs with `bytes`, row group, row in that group."""

    column: str
    group: int
    row: int


@dataclass(frozen=True)
class Medium:
    """A video or a picture.

    Attributes:
        kind: which of the two.
        path: of its file; of the Parquet file for a picture inside one.
        start, end: seconds between which a video is meant; None: from its start, to its end.
        cell: where in the Parquet file the picture is; None for a file of its own.
    """

    kind: Literal["video", "image"]
    path: str
    start: float | None = None
    end: float | None = None
    cell: Cell | None = None


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

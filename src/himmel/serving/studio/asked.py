"""What the page asks for, checked: settings of a time line, and a question with the three ways to answer it."""

from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from himmel.choices import AnchorMode, Backend, MethodName
from himmel.serving.server.refusal import Refusal

MOST_CHOICES: Final = 26
_Asked = TypeVar("_Asked", bound=BaseModel)
_Line = Annotated[str, Field(min_length=1, max_length=500)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Streams(_Strict):
    """How a video becomes anchors and intervals; see `Video.decompose`."""

    num_anchors: Annotated[int, Field(ge=1, le=64)] = 8
    steps_per_interval: Annotated[int, Field(ge=1, le=128)] = 16
    anchor_mode: AnchorMode = "keyframe"
    backend: Backend = "auto"


class Asked(Streams):
    """A question, and by which methods it is answered.

    Attributes:
        question: what is asked.
        choices: the likeliest is the answer; empty: the model answers in its own words.
        method: with motion; `tokens_per_interval` and the streams' settings are its options where it has such.
        baseline: the dense one, with `frames` frames.
        max_new_tokens: where an answer is cut.
    """

    question: Annotated[str, Field(min_length=1, max_length=4000)]
    choices: Annotated[list[_Line], Field(max_length=MOST_CHOICES)] = Field(default_factory=list)
    method: MethodName = "himmel"
    baseline: MethodName = "dense"
    tokens_per_interval: Annotated[int, Field(ge=1, le=256)] | None = None
    frames: Annotated[int, Field(ge=1, le=256)] = 32
    max_new_tokens: Annotated[int, Field(ge=1, le=256)] = 48


class Costs(_Strict):
    """A prompt whose tokens are counted."""

    num_anchors: Annotated[int, Field(ge=1, le=64)] = 8
    steps_per_interval: Annotated[int, Field(ge=1, le=128)] = 16
    tokens_per_interval: Annotated[int, Field(ge=1, le=256)] | None = None
    frames: Annotated[int, Field(ge=1, le=256)] = 32
    question: Annotated[str, Field(max_length=4000)] = ""
    width: Annotated[int, Field(ge=1, le=16384)]
    height: Annotated[int, Field(ge=1, le=16384)]
    duration: Annotated[float, Field(gt=0)]


def check(kind: type[_Asked], body: bytes) -> _Asked:
    """A request's JSON.

    Raises:
        Refusal: it is none, or a value is out of its range.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]).replace("_", " ") or "The request"
        raise Refusal(400, f"{place[:1].upper()}{place[1:]}: {first['msg']}.", code="invalid_value") from error

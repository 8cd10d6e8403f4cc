"""OpenAI's chat requests, as far as they are read here."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from himmel._checks import MOST_SEED
from himmel.choices import AnswerForm, Listing, Scoring
from himmel.methods.decoding import MOST_ALTERNATIVES, MOST_TEMPERATURE
from himmel.methods.question import DEFAULT_ANSWER_FORM, DEFAULT_LISTING


class VideoUrl(BaseModel):
    """Where a video is, and which stretch of it is asked about, in seconds; of `live:` also seconds back, below 0."""

    url: str
    start: Annotated[float, Field(allow_inf_nan=False)] | None = None
    end: Annotated[float, Field(allow_inf_nan=False)] | None = None


class ImageUrl(BaseModel):
    """Where a picture is."""

    url: str


class FileData(BaseModel):
    """A file that was uploaded to /v1/files, or its bytes as a data: URL."""

    file_id: str | None = None
    file_data: str | None = None


class TextPart(BaseModel):
    """A text."""

    type: Literal["text"]
    text: str


class ImagePart(BaseModel):
    """A picture."""

    type: Literal["image_url"]
    image_url: ImageUrl


class VideoPart(BaseModel):
    """A video."""

    type: Literal["video_url"]
    video_url: VideoUrl


class FilePart(BaseModel):
    """A video or a picture."""

    type: Literal["file"]
    file: FileData


Part = Annotated[TextPart | ImagePart | VideoPart | FilePart, Field(discriminator="type")]


class Message(BaseModel):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]


class StreamOptions(BaseModel):
    """What a stream says besides the text."""

    include_usage: bool = False


class VideoOptions(BaseModel):
    """How a video is read, as vLLM's clients say it."""

    num_frames: int | None = None


class MediaOptions(BaseModel):
    """The field `media_io_kwargs` of vLLM's API, which lmms-eval sends."""

    video: VideoOptions | None = None


class Further(BaseModel):
    """The field `himmel` of a request: what OpenAI's API has no field for."""

    model_config = ConfigDict(extra="forbid")

    options: dict[str, Any] = {}
    choices: list[str] = []
    scoring: Scoring | None = None
    listing: Listing = DEFAULT_LISTING
    answer_form: AnswerForm = DEFAULT_ANSWER_FORM


class ChatRequest(BaseModel):
    """A request to /v1/chat/completions; fields that are not here and change no answer are not looked at."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=MOST_TEMPERATURE)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0, le=MOST_SEED)] | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_ALTERNATIVES)] | None = None
    media_io_kwargs: MediaOptions | None = None
    himmel: Further = Further()

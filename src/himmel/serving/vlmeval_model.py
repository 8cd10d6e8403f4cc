"""The model that `himmel.serving.vlmeval` adds to VLMEvalKit; only this module imports VLMEvalKit."""

import logging
from typing import Any, ClassVar

from vlmeval.inference_video import FAIL_MSG
from vlmeval.vlm.base import BaseModel

from himmel.errors import VideoError
from himmel.serving.asker import Asked, Asker, Part

_LOG = logging.getLogger(__name__)


class HimmelVLM(BaseModel):
    """Any host by any method; prompts are those of VLMEvalKit's data sets.

    Answers are greedy. About a file that cannot be read, the answer is the text that VLMEvalKit counts as a failure.

    Args:
        max_new_tokens: where an answer is cut.
        asker: arguments of `Asker`.

    Raises:
        UsageError, HostError: as `Asker`.
    """

    INTERLEAVE: ClassVar[bool] = False
    VIDEO_LLM: ClassVar[bool] = True

    def __init__(self, *, max_new_tokens: int, **asker: Any) -> None:
        super().__init__()
        self._asker = Asker(**asker)
        self._max_new_tokens = max_new_tokens

    def generate_inner(self, message: list[dict[str, Any]], dataset: str | None = None) -> str:
        """The answer to a message: texts, and one video or picture by path.

        Raises:
            UsageError, HostError: as `Session.ask`; UsageError also for more than one video or picture.
        """
        del dataset
        asked = Asked.of([Part(item["type"], item["value"]) for item in message])
        answer = self._asker.answer([asked], max_new_tokens=self._max_new_tokens)[0]
        if isinstance(answer, VideoError):
            _LOG.error("Counted as a failure: %s", answer)
            return str(FAIL_MSG)
        return answer.text

"""The model `himmel` of lmms-eval: any host by any method on any of its tasks, with the task's own prompts.

`lmms_eval --model himmel --model_args method=dense,num_frames=32,host=Qwen/Qwen2.5-VL-3B-Instruct --tasks videomme`

lmms-eval finds it by the entry point in pyproject.toml; only this module imports lmms-eval. Tried with lmms-eval 0.7.3.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from accelerate import Accelerator
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.protocol import ChatMessages
from loguru import logger
from tqdm import tqdm

from himmel.choices import Scoring
from himmel.errors import UsageError, VideoError
from himmel.methods.question import Question
from himmel.serving.asker import Asked, Asker, Part, cut

# Where a task says nothing, as lmms-eval's own models.
_MAX_NEW_TOKENS = 128
_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tiff", ".webp"})
# Something to compare the only continuation with; its likelihood is not looked at, and changes no other.
_OTHERS = ("yes", "no")


class Himmel(lmms):
    """Chat form: prompts come as messages, with start and end of a video where a task has them.

    Answers are greedy whatever a task asks for. A file that cannot be read gets an empty answer, which counts as wrong,
    and an error in the log.

    Args:
        method: name of a method.
        host, adapter: see `himmel.Session`.
        device: torch's name of one; with several processes, each takes its own GPU.
        batch_size: questions that are answered together, where the method can.
        max_batch_size: not used; lmms-eval passes it to every model.
        scoring: what options are compared by in tasks that score them: "raw", their log-likelihood with the end of
            turn, as other models of lmms-eval; or a score that is fairer to their lengths, see
            `himmel.model.scoring.weigh`.
        threads: see `Session.ask`.
        options: of the method, such as `num_frames` or `keep`.

    Raises:
        UsageError, HostError: the options don't fit, see `build` and `Session`.
    """

    is_simple = False

    def __init__(
        self,
        method: str = "himmel",
        host: str | None = None,
        adapter: str | None = None,
        device: str | None = None,
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        scoring: Scoring = "raw",
        threads: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        del max_batch_size
        if not str(batch_size).isdecimal() or int(batch_size) < 1:
            raise UsageError(f"batch_size={batch_size!r} is not possible; give a whole number from 1.")
        self.batch_size = int(batch_size)
        self._scoring = scoring
        self.accelerator = Accelerator()
        self.device = self.accelerator.device
        if self.accelerator.num_processes > 1:
            self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
            device = str(self.device)
        self._asker = Asker(method=method, options=options, host=host, adapter=adapter, device=device, threads=threads)

    def generate_until(self, requests: list[Instance]) -> list[GenerationResult]:
        """Answers in the model's own words, each with the number of tokens that its prompt took.

        Raises:
            UsageError, HostError: as `Session.ask`.
        """
        results: list[GenerationResult] = []
        with self._progress(len(requests)) as progress:
            for first in range(0, len(requests), self.batch_size):
                batch = [self._question_of(request) for request in requests[first : first + self.batch_size]]
                # What is answered together ends at the same number of tokens.
                for settings, group in groupby(batch, key=itemgetter(1)):
                    results += self._generate([asked for asked, _ in group], settings)
                progress.update(len(batch))
        return results

    def generate_until_multi_round(self, requests: list[Instance]) -> list[list[str]]:
        """For each request its answers, round by round: the task makes each question from the answers before it.

        A round without a video or picture is about the one of the round before.

        Raises:
            UsageError, HostError: as `Session.ask`.
        """
        results = []
        with self._progress(len(requests)) as progress:
            for request in requests:
                results.append(self._answer_rounds(request))
                progress.update()
        return results

    def loglikelihood(self, requests: list[Instance]) -> list[GenerationResult]:
        """For each continuation its loss, and whether it is what the model says greedily.

        The loss is the negative log-likelihood (or score, see `scoring`): contrary to the method's name, lmms-eval's
        tasks take the option with the lowest number. All continuations of one document are scored in one pass. Each
        pair (float, bool) is the `text` of a result: lmms-eval 0.7.3 hands that on as it is, and makes a text of a bare
        pair, which its tasks then cannot read.

        Raises:
            UsageError, HostError: as `Session.ask`.
        """
        results: list[GenerationResult] = []
        with self._progress(len(requests)) as progress:
            for _, group in groupby(requests, key=lambda request: (request.args[0], *request.args[3:])):
                alike = list(group)
                results += [GenerationResult(text=pair) for pair in self._score(alike)]
                progress.update(len(alike))
        return results

    def _question_of(self, request: Instance) -> "tuple[Asked, _Settings]":
        _, doc_to_messages, settings, *place = request.args
        return Asked.of(_parts_of(doc_to_messages(self._document(*place)))), _Settings.of(settings)

    def _answer_rounds(self, request: Instance) -> list[str]:
        _, doc_to_messages, given, *place = request.args
        document, settings = self._document(*place), _Settings.of(given)
        said: list[str] = []
        messages, asked, told = doc_to_messages(document), None, None
        while True:
            asked = Asked.of(_parts_of(messages), before=asked)
            said.append(self._generate([asked], settings)[0].text)
            following = doc_to_messages(
                document, round_idx=len(said), previous_output=list(said), previous_round_info=told
            )
            # Tasks of one round give messages alone.
            if not isinstance(following, tuple):
                return said
            messages, ends, _, told = following
            if ends:
                return said

    def _generate(self, asked: list[Asked], settings: "_Settings") -> list[GenerationResult]:
        answers = self._asker.answer(asked, max_new_tokens=settings.max_new_tokens)
        return [
            _say_failed(answer)
            if isinstance(answer, VideoError)
            else GenerationResult(
                text=cut(answer.text, settings.until),
                token_counts=TokenCounts(input_tokens=sum(answer.tokens.values())),
            )
            for answer in answers
        ]

    def _score(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Requests that differ in their continuations alone."""
        context, _, doc_to_visual, *place = requests[0].args
        document = self._document(*place)
        asked = Asked.of([*_visual_parts(doc_to_visual(document)), Part("text", context)])
        texts = [request.args[1] for request in requests]
        texts = [(text(document) if callable(text) else text).strip() for text in texts]
        options = list(dict.fromkeys(texts))
        if len(options) == 1:
            options.append(next(other for other in _OTHERS if other != options[0]))
        question = Question(asked.text, tuple(options), self._scoring)
        scored = self._asker.answer([asked], max_new_tokens=1, questions=[question])[0]
        if isinstance(scored, VideoError):
            _say_failed(scored)
            return [(math.inf, False)] * len(requests)
        # A token is a byte at least: what goes on for longer is none of the continuations.
        most = max(len(text.encode()) for text in texts) + 1
        said = self._generate([asked], _Settings(most))[0].text.strip()
        scores = {option.text: option.score for option in scored.choices}
        return [(-scores[text], said == text) for text in texts]

    def _document(self, number: int, task: str, split: str) -> Any:
        return self.task_dict[task][split][number]

    def _progress(self, total: int) -> tqdm:
        return tqdm(total=total, disable=self.rank != 0, desc=f"himmel by {self._asker.method.name}")


class HimmelSimple(Himmel):
    """Simple form, which `--force_simple` takes: a prompt and what it is about; also for tasks that score options."""

    is_simple = True

    def _question_of(self, request: Instance) -> "tuple[Asked, _Settings]":
        context, settings, doc_to_visual, *place = request.args
        parts = [*_visual_parts(doc_to_visual(self._document(*place))), Part("text", context)]
        return Asked.of(parts), _Settings.of(settings)

    def _answer_rounds(self, request: Instance) -> list[str]:
        context, given, doc_to_visual, doc_to_text, *place = request.args
        document, settings = self._document(*place), _Settings.of(given)
        said: list[str] = []
        visuals, asked, told = doc_to_visual(document), None, None
        while True:
            asked = Asked.of([*_visual_parts(visuals), Part("text", context)], before=asked)
            said.append(self._generate([asked], settings)[0].text)
            following = doc_to_text(document, round_idx=len(said), previous_output=list(said), previous_round_info=told)
            visuals, context, ends, _, told = following
            if ends:
                return said


@dataclass(frozen=True)
class _Settings:
    """What counts of a task's settings for generation: the most new tokens, and strings that end an answer."""

    max_new_tokens: int
    until: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: dict[str, Any]) -> "_Settings":
        most = given.get("max_new_tokens") or given.get("max_gen_toks") or _MAX_NEW_TOKENS
        until = given.get("until") or ()
        if given.get("do_sample") and given.get("temperature"):
            logger.warning("himmel answers greedily, though the task asks for samples.")
        return cls(int(most), (until,) if isinstance(until, str) else tuple(until))


def _say_failed(error: VideoError) -> GenerationResult:
    """No answer, which is a wrong one; says so in the log."""
    logger.error(f"Counted as a wrong answer: {error}")
    return GenerationResult(text="")


def _parts_of(messages: list[dict[str, Any]]) -> list[Part]:
    """A conversation's pieces.

    Raises:
        UsageError: it has answers in it, or sound.
    """
    parts = []
    for message in ChatMessages(messages=messages).messages:
        if message.role == "assistant":
            raise UsageError(
                "The task's prompts hold earlier answers, which himmel is not asked with; set --num_fewshot 0."
            )
        for content in message.content:
            if content.type == "audio":
                raise UsageError(
                    "The task's questions are about sound, which himmel does not hear; choose another task."
                )
            if content.type == "text":
                parts.append(Part("text", content.text))
            elif content.type == "image":
                parts.append(_visual_part(content.url, "image"))
            else:
                parts.append(_visual_part(content.url, "video", content.start_time, content.end_time))
    return parts


def _visual_parts(visuals: Sequence[Any] | None) -> list[Part]:
    """Videos and pictures as tasks give them to models of the simple form: by path, or as they are."""
    return [_visual_part(visual, _kind_of(visual)) for visual in visuals or ()]


def _kind_of(visual: Any) -> Literal["image", "video"]:
    if isinstance(visual, dict):
        return visual.get("type", "video")
    return "video" if isinstance(visual, str) and Path(visual).suffix.lower() not in _PICTURES else "image"


def _visual_part(
    visual: Any, kind: Literal["image", "video"], start: float | None = None, end: float | None = None
) -> Part:
    if not isinstance(visual, dict):
        return Part(kind, visual, start, end)
    path = visual.get("url") or visual.get("path") or visual.get("video")
    return Part(kind, path, visual.get("video_start", start), visual.get("video_end", end))

"""Replies from a memory: what the model says, or how likely each option is."""

import time
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from himmel.hosts import Host
from himmel.methods.asking import blind_likelihoods, hash_ids, scoring_of
from himmel.methods.cached.memory import Memory, Reader
from himmel.methods.cached.steps import continue_memory, score_texts
from himmel.methods.decoding import Decoding
from himmel.methods.protocol import Reply, Shown
from himmel.methods.question import Question
from himmel.methods.removed import Removed
from himmel.model.encoder import PromptEncoder
from himmel.model.host_model import HostModel
from himmel.model.scoring import weigh


@dataclass(frozen=True)
class Prompted:
    """A prompt that was read, the question included.

    Attributes:
        memory: what is left of it.
        prediction: [V], of the first token of an answer.
        removed: what is gone.
    """

    memory: Memory
    prediction: Tensor
    removed: Removed


@dataclass(frozen=True)
class Replier:
    """Answers one question after another, each from a memory of its own.

    Attributes:
        model: the host alone.
        reader: of the same host.
        processor: what built the prompts.
    """

    model: HostModel
    reader: Reader
    processor: PromptEncoder

    def see(self, video: Shown) -> BaseModelOutputWithPooling:
        """What the tower makes of the video's pictures, of which there is at least one."""
        if video.vision is not None:
            return video.vision
        seen = self.model.see(self.processor.host.join_images([video.sample.images]))
        return cast(BaseModelOutputWithPooling, seen)

    def reply(self, video: Shown, question: Question, read: Prompted, *, decoding: Decoding) -> Reply:
        """Continue in the model's own words, or score the options; the memory serves all of them."""
        ids = self.processor.prompt_ids(video.sample, video.turns(question), motion=False)
        text, likelihoods, scores = "", Tensor(), Tensor()
        if question.choices:
            targets = [target_ids(self.processor.host, target) for target in question.targets]
            found = score_texts(self.reader, read.memory, read.prediction, targets)
            likelihoods = torch.stack([tokens.sum() for tokens in found])
            first_token = time.perf_counter()
            scores = weigh(
                likelihoods,
                scoring=scoring_of(question, self.model),
                tokens=torch.tensor([len(target) for target in targets]),
                sizes=torch.tensor([len(target.strip().encode()) for target in question.targets]),
                blind=blind_likelihoods(self.model, self.processor, [video], [question])[0],
            )
        else:
            continued = continue_memory(self.reader, read.memory, read.prediction, prompt=ids, decoding=decoding)
            text, first_token = self.processor.decode(continued.ids), continued.first_token
        return Reply(
            text=text,
            likelihoods=tuple(likelihoods.tolist()),
            scores=tuple(scores.tolist()),
            tokens=self.processor.count_ids(ids),
            prompt_sha256=hash_ids(ids),
            first_token=first_token,
            removed=read.removed,
        )


def target_ids(host: Host, text: str) -> Tensor:
    """int64 [L], an option with its end of turn."""
    return torch.tensor([*host.encode_text(text.strip()), host.chat.end])

"""Pictures that a host has looked at are not looked at again, and change no answer."""

from pathlib import Path
from typing import Any

import pytest
import torch

from himmel.methods.choice import build as build_method
from himmel.methods.protocol import Shown
from himmel.methods.seen import SeenPictures, join_vision
from himmel.methods.session import Session
from himmel.model.host_model import HostModel
from tiny_hosts import Setup


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tensors of pictures each look of a model's vision part was given."""
    found: list[int] = []
    see = HostModel.see

    def count(model: HostModel, images: Any) -> Any:
        if images:
            found.append(len(images))
        return see(model, images)

    monkeypatch.setattr(HostModel, "see", count)
    return found


@pytest.mark.parametrize("name", ["himmel", "dense", "uniform_drop", "look_m"])
def test_a_second_question_does_not_look_again(host_setup: Setup, clip: Path, looks: list[int], name: str) -> None:
    method = build_method(name) if name == "himmel" else build_method(name, num_frames=4)
    session, fresh = Session(host_setup.model), Session(host_setup.model, cache_bytes=0)
    for number, choices in enumerate(([], ["left", "right"], [])):
        asked: Any = {"method": method, "choices": choices, "max_new_tokens": 4, "threads": 1}
        looks.clear()
        answer = session.ask(clip, f"What moves? ({number})", **asked)
        assert len(looks) == (1 if number == 0 else 0)
        assert ("see" in answer.seconds) == (number == 0)
        known = fresh.ask(clip, f"What moves? ({number})", **asked)
        assert (answer.text, answer.choices, answer.tokens) == (known.text, known.choices, known.tokens)


def test_what_was_seen_apart_is_what_is_seen_together(host_setup: Setup) -> None:
    model, host = host_setup.model, host_setup.model.host
    images = [sample.images for sample in host_setup.samples]
    whole: Any = model.see(host.join_images(images))
    parts: Any = [model.see(host.join_images([one])) for one in images]
    joined: Any = join_vision(parts, host)
    pairs = list(zip(joined.pooler_output, whole.pooler_output, strict=True))
    if host.tower_map is not None:
        pairs.append((joined.last_hidden_state, whole.last_hidden_state))
    if "deepstack_features" in whole:
        for layer, known in zip(joined.deepstack_features, whole.deepstack_features, strict=True):
            own = torch.cat(list(layer))
            pairs.append((own, known if isinstance(known, torch.Tensor) else torch.cat(list(known))))
    for own, known in pairs:
        assert torch.allclose(own, known, atol=1e-5)


def test_what_is_kept_is_bounded(host_setup: Setup, looks: list[int]) -> None:
    shown = Shown(host_setup.samples[0])
    for most, again in ((0, True), (2**30, False)):
        seen = SeenPictures(most)
        assert seen.see(host_setup.model, shown, "key")[1]
        assert seen.see(host_setup.model, shown, "key")[1] == again
        # Without a key nothing is found again.
        assert seen.see(host_setup.model, shown, None)[1]
        assert seen.see(host_setup.model, shown, None)[1]

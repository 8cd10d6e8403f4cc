"""A prompt in pieces."""

import torch

from cached_reference import ask
from tiny_hosts import Setup


def test_pictures_with_their_markers_are_no_text(host_setup: Setup) -> None:
    asked = ask(host_setup)
    host, parts = host_setup.model.host, asked.parts
    ids, text = asked.whole.ids, parts.text
    assert len(text) == len(ids)
    assert not bool(text[ids == host.image_token_id].any())
    said = torch.cat([asked.segment(parts.head, 0).ids, asked.segment(parts.tail, 0).ids])
    assert torch.equal(ids[text], said)
    assert host.image_token_id not in said

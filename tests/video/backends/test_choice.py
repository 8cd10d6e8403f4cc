"""Which backend is taken, and what is said about it."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from himmel import choices
from himmel._install import GET_ENGINE, NO_ENGINE
from himmel.errors import VideoError
from himmel.video import Video
from himmel.video.backends import engine
from himmel.video.backends.choice import AUTO, BACKENDS, candidates, choose_backend
from himmel.video.backends.protocol import Backend

Encode = Callable[..., Path]


def test_each_name_has_its_backend() -> None:
    assert set(BACKENDS) == set(get_args(choices.BackendName))
    assert get_args(choices.Backend) == ("auto", *get_args(choices.BackendName))
    assert all(backend.name == name for name, backend in BACKENDS.items())


@pytest.mark.parametrize("codec", ["h264", "hevc", "mpeg4"])
def test_auto_ends_with_one_that_reads_anything(codec: str) -> None:
    found = candidates(codec, "auto")
    assert ("bitstream" in [backend.name for backend in found]) == (codec == "h264")
    assert found[-1] is AUTO[-1]
    assert [backend.name for backend in candidates(codec, "coviar")] == ["coviar"]


def test_each_refusal_is_told(encode_clip: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    """An H.264 file without anything but keyframes: neither of the first two finds a vector."""
    file = Video(encode_clip("i.mp4", options={"g": "1"}))._file
    backend, reason = choose_backend(file, "auto", has_steps=True)
    assert backend.name == "proxy"
    assert reason == "every picture is a keyframe; not bitstream: every picture is a keyframe"
    monkeypatch.setattr(engine, "himmel_bitstream", None)
    reason = choose_backend(file, "auto", has_steps=True).reason
    assert reason == f"every picture is a keyframe; not bitstream: {NO_ENGINE} ({GET_ENGINE})"


@pytest.mark.parametrize(("asked", "other"), [("bitstream", "libav"), ("libav", "proxy")])
def test_what_was_asked_for_and_cannot_be_names_the_next(
    asked: choices.Backend, other: str, encode_clip: Encode
) -> None:
    file = Video(encode_clip("v.mkv", codec="libvpx", num_frames=10))._file
    with pytest.raises(VideoError, match=rf"cannot be read by backend '{asked}': .*vp8.*; use 'auto' or '{other}'"):
        choose_backend(file, asked, has_steps=True)


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_the_guide_tells_the_properties_of_each(backend: Backend) -> None:
    page = Path(__file__).parents[3].joinpath("docs/streams.md").read_text(encoding="utf-8")
    table = page.split("## Backends")[1].split("##")[0]
    (row,) = (line for line in table.splitlines() if line.startswith(f"| `{backend.name}` |"))
    _, cost, vectors, residual, _ = row.strip("| ").split(" | ")[1:]
    assert cost == backend.step_cost
    assert residual.split(":")[0] == backend.residual_kind
    assert ("exact" in vectors) == (backend.has_vectors and backend.distance_kind == "exact")
    assert vectors.startswith("none") != backend.has_vectors


def test_nothing_is_tried_without_steps(encode_clip: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    for backend in AUTO:
        monkeypatch.setattr(type(backend), "why_not", None)
    file = Video(encode_clip("1.mp4", num_frames=1))._file
    assert choose_backend(file, "auto", has_steps=False).backend.name == "libav"
    assert choose_backend(file, "bitstream", has_steps=False).backend.name == "bitstream"

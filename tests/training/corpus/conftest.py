"""A small corpus of clips that are encoded here, with questions about them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiny_hosts import nano_folder, qwen_folder, seeing_nano, tiny_host

__all__ = ["nano_folder", "qwen_folder", "seeing_nano", "tiny_host"]


@pytest.fixture
def corpus(tmp_path: Path, write_clip: Callable[..., Path], pan: Callable[..., Any]) -> Path:
    """Three clips, a broken one and questions about all of them, in one folder."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(3):
        write_clip(folder / f"{number}.mp4", pan(24, (96, 64), seed=number), options={"g": "8"})
    (folder / "broken.mp4").write_bytes(b"no video at all")
    rows = [
        {"video": f"{name}.mp4", "question": f"What is in {name}?", "answer": f"clip {name}"}
        for name in ("0", "1", "2", "broken")
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder

"""Model cards, and the way to and from the hub: a local endpoint replaces it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import CommitInfo, HfApi, ModelCard, RepoUrl

from himmel.errors import HostError, UsageError
from himmel.evaluation.summary import Judged, summarise
from himmel.model import HimmelConfig, HimmelForConditionalGeneration, HimmelProcessor
from himmel.model.repository import local_folder
from himmel.publish.card import write_card
from himmel.publish.hub import push_folder, push_model
from tiny_hosts import Setup

ASK = [("What moves?", None)]
REPOSITORY = "someone/himmel-tiny"


@pytest.fixture
def folder(nano: Setup, tmp_path: Path) -> Path:
    nano.model.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """A result file of ten questions, seven of them right with motion and two without."""
    judged = [
        Judged(
            clip=clip,
            question=0,
            kind="direction",
            motion=True,
            condition=condition,
            chosen=int(clip >= right),
            answer=0,
        )
        for condition, right in (("motion", 7), ("no-motion", 2))
        for clip in range(10)
    ]
    file = tmp_path / "result.json"
    content = {"benchmark": "nano-motion", "questions": 10, **summarise(judged).to_json()}
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def add_record(folder: Path, **changes: Any) -> None:
    record = {
        "stage": {"kind": "stage2", "settings": {"optimizer": {"steps": 12, "lora_lr": 0.0005}, "seed": 13}},
        "versions": {"torch": "2.13.0", "peft": "0.21.2"},
        "log": [{"loss": 4.25, "step": 1}, {"loss": 0.5, "step": 12}, {"train_runtime": 3.0}],
    }
    (folder / "training").mkdir()
    (folder / "training/stage2.json").write_text(json.dumps(record | changes), encoding="utf-8")


def test_the_hub_reads_the_card(folder: Path, result: Path) -> None:
    card = ModelCard.load(write_card(folder, results=[result], name=REPOSITORY, licence="apache-2.0"))
    assert (card.data.library_name, card.data.license, card.data.pipeline_tag) == (
        "himmel",
        "apache-2.0",
        "video-text-to-text",
    )
    assert "motion-vectors" in card.data.tags
    found = {one.metric_name: one for one in card.data.eval_results}
    best = found["accuracy, all motion, motion"]
    assert (best.dataset_name, best.metric_value, best.metric_args["correct"]) == ("nano-motion", 0.7, 7)
    # Wilson's interval by its formula, for 7 of 10.
    z, p, n = 1.959964, 0.7, 10
    centre, half = (p + z * z / (2 * n)), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    assert best.metric_args["low"] == pytest.approx((centre - half) / (1 + z * z / n), abs=1e-6)
    assert best.metric_args["high"] == pytest.approx((centre + half) / (1 + z * z / n), abs=1e-6)
    assert found["accuracy, direction, no-motion"].metric_value == 0.2


def test_the_text_says_what_was_done_and_found(folder: Path, result: Path) -> None:
    add_record(folder)
    text = write_card(folder, results=[result]).read_text(encoding="utf-8")
    assert "| direction | 10 | 70.0 [39.7, 89.2] | 20.0 [5.7, 51.0] |" in text
    assert "right only with the first 5, only with the second 0, p = 6.2e-02" in text
    assert "| settings.optimizer.steps | 12 |" in text
    assert "Loss from 4.250 (first logged) to 0.500 (last)." in text
    assert "torch 2.13.0, peft 0.21.2" in text
    assert "`nano-motion` is all that was measured" in text


def test_every_weight_is_counted(nano: Setup, folder: Path) -> None:
    text = write_card(folder).read_text(encoding="utf-8")
    counted = {name: float(number) for name, number in re.findall(r"\| `([^`]+)` \| ([\d.]+) M \|", text)}
    held = sum(value.numel() for value in nano.model.adapter.state_dict().values())
    assert counted["adapter.safetensors"] == pytest.approx(held / 1e6, abs=0.005)
    assert counted.keys() == {"adapter.safetensors", "host_projector.safetensors", "lora/adapter_model.safetensors"}


def test_without_results_it_claims_nothing(folder: Path) -> None:
    card = ModelCard.load(write_card(folder))
    assert card.data.eval_results is None
    assert "it does not say how good the model is" in card.text
    assert "There is no record of a training run" in card.text


def test_a_local_host_gives_no_path_away(folder: Path) -> None:
    written = write_card(folder).read_text(encoding="utf-8")
    assert str(Path(HimmelConfig.load(folder).host).parent) not in written
    assert "base_model" not in written


def test_the_published_host_is_the_base_model(folder: Path) -> None:
    file = folder / "config.json"
    for host, published in (("nano", "HuggingFaceTB/SmolLM2-135M-Instruct"), ("Qwen/Qwen2.5-VL-7B-Instruct",) * 2):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"host": host}), encoding="utf-8")
        card = ModelCard.load(write_card(folder, overwrite=True))
        assert card.data.base_model == published
        assert card.data.to_dict()["base_model_relation"] == "adapter"


def test_a_card_is_not_lost(folder: Path) -> None:
    (folder / "README.md").write_text("written by hand", encoding="utf-8")
    with pytest.raises(UsageError, match="ask to overwrite it"):
        write_card(folder)
    assert (folder / "README.md").read_text(encoding="utf-8") == "written by hand"


def test_what_is_no_result_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not the result of a benchmark"):
        write_card(folder, results=[folder / "config.json"])
    add_record(folder, log=None)
    with pytest.raises(HostError, match=r"training record .*stage2\.json' cannot be read"):
        write_card(folder)
    with pytest.raises(HostError, match=r"no readable config\.json"):
        write_card(tmp_path)


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would have been uploaded: the calls, with the files' contents in place of their folder."""
    seen: list[dict[str, Any]] = []

    def create_repo(self: HfApi, repo_id: str, **options: Any) -> RepoUrl:
        seen.append({"made": repo_id, "token": self.token, **options})
        return RepoUrl(f"https://huggingface.co/{repo_id}")

    # As the real one takes them, so that an option that it doesn't have fails.
    def upload_folder(
        self: HfApi, *, repo_id: str, folder_path: Path, commit_message: str, ignore_patterns: list[str]
    ) -> CommitInfo:
        from huggingface_hub.utils import filter_repo_objects

        names = [path.relative_to(folder_path).as_posix() for path in folder_path.rglob("*") if path.is_file()]
        kept = filter_repo_objects(names, ignore_patterns=ignore_patterns)
        seen.append({"to": repo_id, "files": {name: (folder_path / name).read_bytes() for name in kept}})
        return CommitInfo(
            commit_url=f"https://huggingface.co/{repo_id}/commit/1",
            commit_message=commit_message,
            commit_description="",
            oid="1",
        )

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    return seen


def into_cache(files: dict[str, bytes], cache: Path) -> None:
    """Lay files out as huggingface_hub's cache does for a snapshot."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    place = cache / f"models--{REPOSITORY.replace('/', '--')}"
    for name, content in files.items():
        file = place / "snapshots" / commit / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (place / "refs").mkdir()
    (place / "refs/main").write_text(commit, encoding="utf-8")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no way out."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.mark.parametrize("merged", [False, True])
def test_what_is_pushed_is_loaded_by_its_name(
    nano: Setup, merged: bool, uploads: list[dict[str, Any]], cache: Path, tmp_path: Path
) -> None:
    nano.model.save_pretrained(tmp_path / "own")
    model = HimmelForConditionalGeneration.from_pretrained(tmp_path / "own")
    if merged:
        model.merge_lora()
    address = push_model(model, REPOSITORY, private=True, token="secret")
    assert address == f"https://huggingface.co/{REPOSITORY}/commit/1"
    made, sent = uploads
    assert (made["made"], made["private"], made["token"]) == (REPOSITORY, True, "secret")
    assert {"README.md", "config.json", "adapter.safetensors"} <= sent["files"].keys()
    assert ("host/model.safetensors" in sent["files"]) == merged
    assert f"# {REPOSITORY}" in sent["files"]["README.md"].decode()
    into_cache(sent["files"], cache)
    loaded = HimmelForConditionalGeneration.from_pretrained(REPOSITORY)
    inputs = HimmelProcessor.from_pretrained(REPOSITORY).encode([nano.samples[0]], [ASK])
    assert torch.equal(loaded(inputs).logits, model(inputs).logits)


def test_what_training_keeps_for_itself_stays_at_home(folder: Path, uploads: list[dict[str, Any]]) -> None:
    (folder / "state/checkpoint-10").mkdir(parents=True)
    (folder / "state/checkpoint-10/trained_parts.safetensors").write_bytes(b"optimizer")
    (folder / ".adapter.killed.safetensors").write_bytes(b"half")
    add_record(folder)
    push_folder(folder, REPOSITORY, message="Upload")
    names = uploads[-1]["files"].keys()
    assert "training/stage2.json" in names
    assert not [name for name in names if name.startswith(("state", "."))]


def test_an_unknown_name_is_one_sentence(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no repository of that name can be fetched") as caught:
        HimmelForConditionalGeneration.from_pretrained("nobody/nothing")
    assert "\n" not in str(caught.value)
    assert local_folder(tmp_path / "missing") == tmp_path / "missing"
    with pytest.raises(HostError, match="There is no checkpoint"):
        push_folder(tmp_path, REPOSITORY, message="Upload")


def test_a_hub_that_cannot_be_reached_is_one_sentence(folder: Path, cache: Path) -> None:
    with pytest.raises(HostError, match="The hub refuses 'someone/himmel-tiny'") as caught:
        push_folder(folder, REPOSITORY, message="Upload")
    assert "\n" not in str(caught.value)

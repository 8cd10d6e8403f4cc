"""All stages on real rendered clips and a tiny host: what `himmel train` does, in little."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from safetensors import safe_open

from himmel.errors import HimmelError, RecipeError, UsageError
from himmel.hosts import load_host
from himmel.model import HimmelConfig, HimmelForConditionalGeneration, HimmelProcessor
from himmel.nano.draw import draw_spec
from himmel.nano.render import clip_file, render_clip
from himmel.training.beginning import initial_model
from himmel.training.plan import Stage, plan_stages
from himmel.training.resolve import resolve_recipe
from himmel.training.run import check_host, check_runnable, run_recipe
from himmel.training.store import ClipStore
from tiny_hosts import make_decomposition, qwen_config
from tiny_recipes import tiny_base


@pytest.fixture(autouse=True)
def _own_cache_of_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIMMEL_CACHE", str(tmp_path / "cache"))


@pytest.mark.assets
@pytest.mark.slow
def test_the_three_stages_follow_one_another(nano_folder: str, tmp_path: Path) -> None:
    base = str(tiny_base(tmp_path, of="nano", host=nano_folder))
    told: list[str] = []
    checkpoint = run_recipe("default", base=base, tell=told.append)
    assert [line.split()[0] for line in told] == ["projector", "stage1", "stage2"]
    assert sorted(file.stem for file in (checkpoint / "training").glob("*.json")) == ["projector", "stage1", "stage2"]
    record = json.loads((checkpoint / "training" / "stage2.json").read_text())
    assert record["stage"]["settings"]["optimizer"]["steps"] == 2
    assert record["log"][-1]["train_loss"] > 0
    stage1 = plan_stages(resolve_recipe("default", base=base).recipe)[1].folder
    models = {
        name: HimmelForConditionalGeneration.from_pretrained(path)
        for name, path in {"stage1": stage1, "stage2": checkpoint}.items()
    }
    before, after = (dict(models[name].named_parameters()) for name in ("stage1", "stage2"))
    assert any(bool(value.any()) for name, value in after.items() if ".lora_B." in name)
    changed = {
        name: not torch.equal(value, before[name.replace(".base_layer.", ".")])
        for name, value in after.items()
        if ".lora_" not in name
    }
    assert any(value for name, value in changed.items() if name.startswith("adapter.projector."))
    assert not any(value for name, value in changed.items() if "embed_tokens" in name or ".base_layer." in name)


@pytest.mark.assets
@pytest.mark.slow
def test_prepared_clips_are_made_once_and_read_back_whole(nano_folder: str, tmp_path: Path) -> None:
    config = HimmelConfig.nano(host=nano_folder, host_hidden_size=32)
    store = ClipStore(config, split="train", root=tmp_path)
    store.prepare([5], workers=1)
    made = store.path(5).stat().st_mtime_ns
    store.prepare([5], workers=1)
    assert store.path(5).stat().st_mtime_ns == made
    clip = store.load(5)
    assert clip.sample.num_intervals == len(clip.truth_values) == 8
    assert clip.sample.images["tower_features"].shape == (8, 1472, 7, 7)
    assert all(len(question.choices) == 4 for question in clip.questions)


@pytest.mark.assets
@pytest.mark.slow
def test_clips_are_prepared_with_the_anchors_that_the_settings_name(nano_folder: str, tmp_path: Path) -> None:
    stores = {}
    for mode in ("keyframe", "exact"):
        config = HimmelConfig.nano(host=nano_folder, host_hidden_size=32, num_anchors=5, anchor_mode=mode)
        stores[mode] = ClipStore(config, split="train", root=tmp_path)
        stores[mode].prepare([5], workers=1)
    keyframes, exact = (store.load(5).sample.images["tower_features"] for store in stores.values())
    assert keyframes.shape == exact.shape == (5, 1472, 7, 7)
    # A clip has keyframes at eight places, of which five evenly spaced ones are four at the most.
    assert not torch.equal(keyframes, exact)


@pytest.mark.usefixtures("unrendered")
def test_a_second_row_finds_the_stages_that_it_shares(nano_folder: str, tmp_path: Path) -> None:
    base = str(tiny_base(tmp_path, of="nano", host=nano_folder))
    first = run_recipe("default", base=base)
    told: list[str] = []
    changes = {"model.lora_rank": "4", "model.lora_alpha": "8"}
    second = run_recipe("default", base=base, overrides=changes, tell=told.append)
    assert [line.split()[1] for line in told] == ["is", "is", "goes"]
    assert second != first
    ranks = [HimmelConfig.load(folder).lora_rank for folder in (first, second)]
    assert ranks == [16, 4]
    run_recipe("default", base=base, overrides=changes, tell=told.append)
    assert [line.split()[1] for line in told[3:]] == ["is"] * 3


@pytest.mark.usefixtures("unrendered")
def test_from_scratch_nothing_old_is_taken_for_new(
    nano_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle, none of the stages is there, though all of them were before."""
    base = str(tiny_base(tmp_path, of="nano", host=nano_folder))
    held = {"data.validation": "{clips: 2}", "projector": "null", "stages": "[2]"}
    folder = run_recipe("default", base=base, overrides=held)
    assert (folder / "best" / "config.json").is_file()
    (stage,) = plan_stages(resolve_recipe("default", base=base, overrides=held).recipe)
    assert stage.done

    def killed(stage: Stage, *, resume: bool) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("himmel.training.run.run_stage", killed)
        with pytest.raises(KeyboardInterrupt):
            run_recipe("default", base=base, overrides=held, resume=False)
    assert not stage.done
    run_recipe("default", base=base, overrides={**held, "data.validation": "null"}, resume=False)
    assert stage.done
    assert not (folder / "best").exists()


def test_of_several_processes_the_first_one_writes_and_speaks(
    nano_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = str(tiny_base(tmp_path, of="nano", host=nano_folder))
    alone = {"stages": "[]", "projector": "null"}
    told: list[str] = []
    monkeypatch.setenv("RANK", "1")
    folder = run_recipe("default", base=base, overrides=alone, tell=told.append)
    assert (told, [*folder.iterdir()]) == ([], [])
    monkeypatch.setenv("RANK", "0")
    assert run_recipe("default", base=base, overrides=alone, tell=told.append) == folder
    assert len(told) == 1
    assert (folder / "stage.json").is_file()


@pytest.mark.usefixtures("unrendered")
def test_two_trainings_do_not_meet_in_a_stage(nano_folder: str, tmp_path: Path) -> None:
    """Another process holds the stage's lock; when it is gone, so is the refusal, though the file stays."""
    base = str(tiny_base(tmp_path, of="nano", host=nano_folder))
    folder = plan_stages(resolve_recipe("default", base=base).recipe)[0].folder
    folder.mkdir(parents=True)
    hold = (
        "import sys; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(folder / ".training.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RecipeError, match=f"Another training is running in '{folder}'"):
            run_recipe("default", base=base)
        other.communicate()
    assert (folder / ".training.lock").exists()
    assert (run_recipe("default", base=base) / "adapter.safetensors").is_file()


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_full_fine_tuning_trains_the_language_model_and_keeps_it(
    nano_folder: str, tmp_path: Path, precision: str
) -> None:
    changes = {
        "stages": "[2]",
        "stage2.trains": "full",
        "stage2.compute": f"{{precision: {precision}, gradient_checkpointing: true}}",
    }
    checkpoint = run_recipe("default", base=str(tiny_base(tmp_path, of="nano", host=nano_folder)), overrides=changes)
    trained = HimmelForConditionalGeneration.from_pretrained(checkpoint)
    plain = HimmelForConditionalGeneration.from_config(HimmelConfig.nano(host=nano_folder, host_hidden_size=32))
    before, after = (dict(model.network.named_parameters()) for model in (plain, trained))
    assert not [name for name in after if ".lora_" in name]
    changed = {name for name, value in after.items() if not torch.equal(value, before[_with_lora(name, before)])}
    language = {name for name in after if ".language_model." in name}
    assert {name for name in changed if ".tower." in name} == set()
    assert changed & language == language


def _with_lora(name: str, names: dict[str, torch.Tensor]) -> str:
    """PEFT moves a layer that it adds matrices to one level down."""
    return name if name in names else name.replace("_proj.", "_proj.base_layer.")


@pytest.mark.parametrize(
    "change",
    [{"num_anchors": 3}, {"anchor_mode": "scene"}, {"accumulate": True}, {"max_anchor_tokens": 64}, {"host": "else"}],
)
def test_clips_prepared_in_another_way_stand_in_another_folder(change: dict, tmp_path: Path) -> None:
    one, other = (ClipStore(HimmelConfig.nano(**changes), split="train", root=tmp_path) for changes in ({}, change))
    assert one.folder != other.folder


def test_what_this_version_lacks_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(HimmelError, match=r"There are no annotations 'LLaVA-Video-178K/.*--set data.folder=DIR"):
        run_recipe("default")
    with pytest.raises(RecipeError, match=r"on 'nano' needs methods.nothing"):
        run_recipe("default", base="nano", overrides={"needs": "[methods.nothing]"})


def test_a_method_that_has_no_such_option_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(UsageError, match="The method 'dense' has no option 'keep'; it has num_frames"):
        run_recipe("01-main/dense-32", base="nano", overrides={"eval.options.keep": "0.5"})


def test_packed_questions_and_attention_without_masks_are_refused(nano_folder: str, tmp_path: Path) -> None:
    base = str(tiny_base(tmp_path, of="nano", host=nano_folder))
    changes = {"stage2.compute.attn_implementation": "flash_attention_2"}
    with pytest.raises(RecipeError, match=r"stage2.questions_per_clip = 6 .*set questions_per_clip to 1, or"):
        run_recipe("default", base=base, overrides=changes)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"stage2.compute.fsdp": "full_shard"}, "shares a model among several processes, and one was started"),
        ({"stage2.optimizer": "{batch_size: 3, gradient_accumulation: 2}"}, "cannot be divided among 2 micro-steps"),
        ({"stage2.compute.report_to": "[trackio]"}, "names 'trackio', which is not installed"),
        ({"stage2.still_share": "0.5", "stage2.label_share": "0.6"}, r"0\.6 are 1\.3 of the batches in all"),
        ({"stage2.shows": "nothing", "stage2.still_share": "0.5"}, r"still_share = 0\.5 asks about pictures"),
        ({"stage2.shows": "nothing", "stage2.label_share": "0.5"}, r"leaves them out; set label_share to 0\."),
    ],
)
def test_what_would_end_stage_2_is_refused_before_stage_1(
    nano_folder: str, tmp_path: Path, change: dict[str, str], match: str
) -> None:
    base = str(tiny_base(tmp_path, of="nano", host=nano_folder))
    told: list[str] = []
    with pytest.raises(RecipeError, match=match):
        run_recipe("default", base=base, overrides={"projector": "null", **change}, tell=told.append)
    assert told == []


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl_moe", "internvl", "llava_onevision"])
def test_the_advice_about_another_kind_of_host_works(kind: str, tiny_host: Callable[[str], str]) -> None:
    """What the sentence says to type assembles a model of that host for the first stage."""
    with pytest.raises(RecipeError, match="'host_projector', which the host") as caught:
        run_recipe("default", base="nano", overrides={"host": tiny_host(kind)})
    words = shlex.split(str(caught.value).split("`")[1])
    assert words[:2] == ["himmel", "train"]
    changes = dict(change.split("=") for change in words[6::2])
    recipe = resolve_recipe(words[2], base=words[4], overrides=changes).recipe
    check_runnable(recipe)
    check_host(recipe)
    model = initial_model(plan_stages(recipe)[0])
    assert model.host.name == kind
    assert model.config.adapter.host_hidden_size == model.host.hidden_size


def test_the_advice_about_a_recipe_of_ones_own_names_its_file(tiny_host: Callable[[str], str], tmp_path: Path) -> None:
    own = tmp_path / "my run" / "recipe.yaml"
    own.parent.mkdir()
    data = "{source: files, sets: [{annotations: qa.json}]}"
    own.write_text(f"inherits: default\nbase: nano\ndata: {data}\nstage1: {{alignment: {{probe_weight: 0}}}}\n")
    (tmp_path / "qa.json").write_text("[]")
    changes = {"host": tiny_host("qwen2_5_vl"), "data.folder": str(tmp_path), "stage2.blind_share": "0"}
    with pytest.raises(RecipeError, match="'host_projector', which the host") as caught:
        run_recipe(own, overrides=changes)
    words = shlex.split(str(caught.value).split("`")[1])
    assert words[2] == str(own)
    assert words[-1] == "data.source=files"


def test_the_advice_about_the_context_works(nano_folder: str) -> None:
    changes = {"host": nano_folder, "model.context_source": "rgb"}
    with pytest.raises(RecipeError, match=r"set the adapter's context_channels=3 and context_size=112\.") as caught:
        resolve_recipe("default", base="nano", overrides=changes)
    advised = re.findall(r"(context_\w+)=(\d+)", str(caught.value).split(";")[1])
    changes |= {f"model.adapter.{name}": value for name, value in advised}
    stage = plan_stages(resolve_recipe("default", base="nano", overrides=changes).recipe)[2]
    model = initial_model(replace(stage, after=None))
    processor = HimmelProcessor(model.config, model.host)
    inputs = processor.encode([processor.prepare(make_decomposition())], [[("What moves?", "the ball")]])
    assert model(inputs).loss.isfinite()


def test_a_siglip_without_weights_is_refused(nano_folder: str, tmp_path: Path) -> None:
    base = str(tiny_base(tmp_path, of="nano", host=nano_folder))
    changes = {"model.adapter.siglip": "null"}
    with pytest.raises(RecipeError, match=r"would start as noise; add `--set model.adapter.siglip_weights="):
        run_recipe("14-encoders/siglip", base=base, overrides=changes)


@pytest.mark.assets
@pytest.mark.slow
def test_published_hosts_clips_are_kept_as_pictures(tiny_host: Callable[[str], str], tmp_path: Path) -> None:
    """One byte for each channel; what the host wants of them is made when a clip is read, and is the same."""
    config = qwen_config(tiny_host("qwen2_5_vl"), num_anchors=3)
    store = ClipStore(config, split="train", root=tmp_path)
    store.prepare([5], workers=1)
    with safe_open(store.path(5), "pt") as file:
        stored = file.get_tensor("pictures")
        assert not [name for name in file.keys() if "images." in name]  # noqa: SIM118 (no mapping)
    assert (stored.shape, stored.dtype) == ((4, 160, 160, 3), torch.uint8)
    sample = store.load(5).sample
    host = load_host(config.host, max_anchor_tokens=config.max_anchor_tokens)
    expected = host.prepare_images([picture.numpy() for picture in stored[:3]])
    assert all(torch.equal(sample.images[name], value) for name, value in expected.items())
    assert not store.load(5, pictures=False).sample.images


@pytest.mark.slow
def test_the_far_picture_is_decoded_as_the_anchors_are(tiny_host: Callable[[str], str], tmp_path: Path) -> None:
    """As it was drawn, it would differ from the last anchor by all that coding does, and the target would be noise."""
    store = ClipStore(qwen_config(tiny_host("qwen2_5_vl"), num_anchors=3), split="train", root=tmp_path)
    store.prepare([5], workers=1)
    with safe_open(store.path(5), "pt") as file:
        far = file.get_tensor("pictures")[-1].numpy()
    spec = draw_spec(5, "train")
    with clip_file(spec) as path, av.open(str(path)) as container:
        *_, last = container.decode(video=0)
    decoded, drawn = last.to_ndarray(format="rgb24"), render_clip(spec)[-1]
    # Two conversions from the same YUV differ by rounding.
    assert np.abs(far.astype(int) - decoded).mean() < 1.0 < np.abs(far.astype(int) - drawn).mean()


@pytest.mark.parametrize(
    ("share", "needs"), [("still_share", "the tower's features"), ("label_share", "the classifier of nano's tower")]
)
def test_pictures_of_nanos_tower_need_nano(
    share: str, needs: str, tiny_host: Callable[[str], str], tmp_path: Path
) -> None:
    base = tiny_base(tmp_path, of="qwen2_5_vl", host=tiny_host("qwen2_5_vl"), max_anchor_tokens=12)
    with pytest.raises(RecipeError, match=rf"stage2\.{share} = 0\.5 needs {needs}.* host '.*'.*; set it to 0\."):
        run_recipe("default", base=str(base), overrides={"stages": "[2]", f"stage2.{share}": "0.5"})

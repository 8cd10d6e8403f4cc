"""What is served and what is refused, where vLLM is not needed to say so."""

import subprocess
import sys
from pathlib import Path

import pytest

from himmel.errors import HostError, UsageError
from himmel.serving.vllm.checkpoint import choose, engine_options, load_served
from himmel.serving.vllm.layout import lay_out_visual
from tiny_hosts import Setup, build, nano_config, qwen_config, tiny_adapter


def test_a_merged_checkpoint_says_what_vllm_is_told(merged: Path) -> None:
    options = engine_options(merged)
    assert options["model"] == str(merged / "host")
    assert options["hf_overrides"] == {
        "architectures": ["HimmelQwen25VLForConditionalGeneration"],
        "himmel_checkpoint": str(merged),
    }
    assert load_served(options["model"], None).config.host == options["model"]


def test_lora_beside_the_host_is_refused(setup: Setup, tmp_path: Path) -> None:
    setup.model.save_pretrained(tmp_path)
    with pytest.raises(UsageError, match=r"LoRA beside its host.*merge it first: `himmel merge"):
        load_served(setup.config.host, str(tmp_path))


def test_another_host_than_the_checkpoints_own_is_refused(merged: Path, setup: Setup) -> None:
    with pytest.raises(UsageError, match="holds its own host"):
        load_served(setup.config.host, str(merged))


def test_a_host_without_a_checkpoint_is_refused(setup: Setup) -> None:
    with pytest.raises(HostError, match=r"is no checkpoint; serve the folder `host`"):
        load_served(setup.config.host, None)


def test_an_adapter_that_asks_the_hosts_tower_is_refused(setup: Setup, tmp_path: Path) -> None:
    adapter = tiny_adapter(64, encoder="shared_vit")
    build(qwen_config(setup.config.host, adapter_config=adapter, lora_rank=0)).model.save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="shared_vit"):
        load_served(setup.config.host, str(tmp_path))


def test_a_checkpoint_of_another_family_is_refused(nano_folder: str, tmp_path: Path) -> None:
    model = build(nano_config(nano_folder, lora_rank=0)).model
    model.save_pretrained(tmp_path)
    with pytest.raises(HostError, match=r"only Qwen2\.5-VL reads motion tokens"):
        load_served(nano_folder, str(tmp_path))


def test_methods_without_motion_are_chosen_by_name() -> None:
    assert choose({}).name == "himmel"
    assert choose({"method": "anchors", "num_anchors": 4}).num_anchors == 4
    with pytest.raises(UsageError, match="'dense' is not served with vLLM"):
        choose({"method": "dense"})
    with pytest.raises(UsageError, match="has no option 'fps'"):
        choose({"fps": 2})


@pytest.mark.parametrize("options", [{}, {"placement": "attention"}, {"method": "anchors"}])
def test_no_video_takes_more_placeholders_than_are_announced(
    merged: Path, setup: Setup, options: dict[str, str]
) -> None:
    served = load_served(str(merged / "host"), None)
    method = choose({"num_anchors": 3, **options})
    processor = served.processor(method)
    part = lay_out_visual(processor, setup.samples[1], motion=method.motion)
    assert 0 < len(part.is_motion) <= served.most_placeholders(method)


def test_nothing_but_running_the_plug_in_imports_vllm() -> None:
    modules = ["himmel", *(f"himmel.serving.vllm.{name}" for name in ("plugin", "checkpoint", "layout", "names"))]
    code = f"import sys, importlib; sys.modules['vllm'] = None; [importlib.import_module(n) for n in {modules}]"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

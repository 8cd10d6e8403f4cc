"""When anchors and intervals are, told in the prompt in the words of each host's family."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from himmel.errors import HostError, UsageError
from himmel.model import HimmelConfig, HimmelProcessor, PreparedSample
from himmel.model.budget import BudgetRequest, count_prompt, plan_budget
from himmel.model.placement import PLACEMENTS
from tiny_hosts import Setup, host_config, make_decomposition

ASK = [("What moves?", None)]
# Two anchors at 0.0 and 0.4 s of a video of 0.8 s: their intervals have their middles at 0.2 and 0.6 s.
CLIP = make_decomposition((3, 2))
PROMPTS = {
    "nano": (
        "<0.0 seconds>{image}<0.2 seconds>{motion}<0.4 seconds>{image}<0.6 seconds>{motion}",
        "<|vision_start|>{pads}<|vision_end|>",
    ),
    "qwen2_5_vl": (
        "<0.0 seconds>{image}<0.2 seconds>{motion}<0.4 seconds>{image}<0.6 seconds>{motion}",
        "<|vision_start|>{pads}<|vision_end|>",
    ),
    "qwen3_vl": (
        "<0.0 seconds>{image}<0.2 seconds>{motion}<0.4 seconds>{image}<0.6 seconds>{motion}",
        "<|vision_start|>{pads}<|vision_end|>",
    ),
    "internvl": (
        "<0.0 seconds>{image}<0.2 seconds>{motion}<0.4 seconds>{image}<0.6 seconds>{motion}",
        "<img>{pads}</img>\n",
    ),
    "llava_onevision": (
        "{image}{motion}{image}{motion}The video lasts for 0.80 seconds, and 2 frames are uniformly sampled from it. "
        "These frames are located at 0.00s,0.40s.Please answer the following questions related to this video.\n",
        "{pads}\n",
    ),
}


def processor_of(setup: Setup, **changes: object) -> HimmelProcessor:
    return HimmelProcessor(setup.config.changed(**{"times": "text", **changes}), setup.model.host)


def axes_of(positions: torch.Tensor) -> torch.Tensor:
    """Of four axes the first is the plain order, by which the host masks."""
    return positions[1:] if positions.ndim == 3 else positions


def shown(processor: HimmelProcessor, ids: torch.Tensor) -> str:
    """The prompt with one `<I>` or `<M>` in place of each row of placeholders."""
    names = {processor.host.image_token_id: "<I>", processor.host.motion_token_id: "<M>"}
    parts: list[str] = []
    text: list[int] = []
    for number in [*ids.tolist(), None]:
        if number is not None and number not in names:
            text.append(number)
            continue
        if text:
            parts.append(str(processor.host.tokenizer.decode(text)))
            text = []
        if number is not None and (not parts or parts[-1] != names[number]):
            parts.append(names[number])
    return "".join(parts)


def test_the_prompt_of_each_host(host_kind: str, host_setup: Setup) -> None:
    processor = processor_of(host_setup)
    visual, picture = PROMPTS[host_kind]
    told = visual.format(image=picture.format(pads="<I>"), motion="<M>")
    found = shown(processor, processor.encode([processor.prepare(CLIP)], [ASK]).input_ids[0])
    assert f"{told}What moves?" in found
    plain = HimmelProcessor(host_setup.config, host_setup.model.host)
    silent = f"{picture.format(pads='<I>')}<M>" * 2
    assert f"{silent}What moves?" in shown(plain, plain.encode([plain.prepare(CLIP)], [ASK]).input_ids[0])


def test_anchors_alone_and_motion_alone(host_kind: str, host_setup: Setup) -> None:
    processor = processor_of(host_setup)
    sample = host_setup.model.keep_features(processor.prepare(CLIP))
    visual, picture = PROMPTS[host_kind]
    anchors = visual.replace("<0.2 seconds>{motion}", "").replace("<0.6 seconds>{motion}", "").replace("{motion}", "")
    found = shown(processor, processor.encode([sample], [ASK], motion=False).input_ids[0])
    assert f"{anchors.format(image=picture.format(pads='<I>'))}What moves?" in found
    found = shown(processor, processor.encode([sample], [ASK], anchors=False).input_ids[0])
    silent = host_kind == "llava_onevision"
    # Neighbouring rows of placeholders are shown as one.
    assert ("<M>What moves?" if silent else "<0.2 seconds><M><0.6 seconds><M>What moves?") in found


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_motion_tokens_and_positions_are_right_in_every_placement(host_setup: Setup, placement: str) -> None:
    """The model reads what it read, and its placeholders take the same tokens in the same grids."""
    told = processor_of(host_setup, placement=placement)
    plain = HimmelProcessor(told.config.changed(times="none"), told.host)
    samples = [host_setup.model.keep_features(told.prepare(make_decomposition(steps))) for steps in ((3, 2), (1, 0, 4))]
    with_times, without = (one.encode(samples, [ASK, ASK]) for one in (told, plain))
    assert with_times.motion is not None
    assert without.motion is not None
    assert torch.equal(with_times.motion.index, without.motion.index)
    with torch.no_grad():
        assert bool(host_setup.model(with_times).logits.isfinite().all())
    counts, silent = (one.count_tokens(made) for one, made in ((told, with_times), (plain, without)))
    assert {kind: counts[kind] - silent[kind] for kind in ("image", "motion")} == {"image": 0, "motion": 0}
    assert counts["text"] > silent["text"]
    # Text takes a position for each token, whichever grids stand between.
    last = [int(axes_of(one.position_ids)[..., 0, :].max()) for one in (with_times, without)]
    first = [one.count_tokens(one.encode(samples[:1], [ASK]))["text"] for one in (told, plain)]
    assert last[0] - last[1] == first[0] - first[1]


def test_a_chunk_between_two_intervals_has_the_time_between_them(setup: Setup) -> None:
    processor = processor_of(setup, placement="chunked")
    found = shown(processor, processor.encode([processor.prepare(CLIP)], [ASK]).input_ids[0])
    picture = "<|vision_start|><I><|vision_end|>"
    told = f"<0.2 seconds><M><0.0 seconds>{picture}<0.4 seconds><M><0.4 seconds>{picture}<0.6 seconds><M>What"
    assert told in found


def test_a_sample_without_times(setup: Setup) -> None:
    processor = processor_of(setup)
    sample = processor.prepare(CLIP)
    with pytest.raises(HostError, match="prepared without times"):
        processor.encode([replace(sample, times=None)], [ASK])
    pictures = PreparedSample.of_pictures(sample.images)
    assert "seconds" not in shown(processor, processor.encode([pictures], [ASK], motion=False).input_ids[0])
    again = PreparedSample.from_tensors(sample.tensors())
    assert again.times is not None
    assert again.times.tolist() == [[0.0, 0.4], [0.4, 0.8]]


def test_the_budget_counts_them(host_kind: str, host_folder: str, host_setup: Setup) -> None:
    processor = processor_of(host_setup)
    for motion in (True, False):
        real = processor.encode([processor.prepare(CLIP)], [ASK], motion=motion)
        options = {"width": 128, "height": 96, "num_anchors": 2, "question": ASK[0][0], "motion": motion}
        told, silent = (count_prompt(processor, **options, duration=seconds) for seconds in (0.8, None))
        assert told.total == real.input_ids.shape[1]
        assert told.times == told.text - silent.text > 0
        assert told.positions - silent.positions == told.times
    request = BudgetRequest(width=128, height=96, duration=0.8, num_anchors=2, max_anchor_tokens=256, times="text")
    found = plan_budget(host_folder, request)
    assert found.full.times == count_prompt(processor, **{**options, "motion": True}, duration=0.8).times
    assert found.dense.times == 0
    assert host_config(host_kind, host_folder).times == "none"


def test_the_setting_is_kept(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("told")
    config = setup.config.changed(times="text")
    config.save_pretrained(folder)
    assert HimmelConfig.load(folder).times == "text"
    with pytest.raises(UsageError, match="times='always'"):
        setup.config.changed(times="always")


def test_a_mixture_of_experts_tells_times_as_its_kin(tiny_host: Callable[[str], str]) -> None:
    folder = tiny_host("qwen3_vl_moe")
    processor = HimmelProcessor(host_config("qwen3_vl_moe", folder, times="text"))
    found = shown(processor, processor.encode([processor.prepare(CLIP)], [ASK]).input_ids[0])
    assert "<0.0 seconds><|vision_start|><I><|vision_end|><0.2 seconds><M>" in found

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForImageTextToText, AutoTokenizer, LlamaForCausalLM

from himmel.errors import HostError, UsageError
from himmel.hosts import Host, load_host
from himmel.hosts.nano.build import build_nano_host
from himmel.hosts.nano.modeling import NanoForConditionalGeneration, NanoTower


@pytest.fixture(scope="module")
def nano(nano_folder: str) -> Host:
    return load_host(nano_folder)


@pytest.fixture(scope="module")
def qwen(qwen_folder: str) -> Host:
    return load_host(qwen_folder, max_anchor_tokens=12)


@pytest.fixture(scope="module")
def network(nano: Host) -> NanoForConditionalGeneration:
    network = nano.load_network()
    assert isinstance(network, NanoForConditionalGeneration)
    return network


def picture(width: int = 64, height: int = 48, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_nano_knows_its_size_and_tokens(nano: Host) -> None:
    assert (nano.name, nano.hidden_size, nano.position_scheme, nano.tower_map) == (
        "nano",
        32,
        "sequential",
        (1472, 7, 7),
    )
    assert nano.tokenizer.convert_tokens_to_ids("<|motion_pad|>") == nano.motion_token_id
    assert nano.tokens_per_anchor(1920, 1080) == 16


def test_nano_normalises_as_its_tower_was_trained(nano: Host) -> None:
    grey = np.full((10, 20, 3), 127, np.uint8)
    grey[..., 0] = 255
    kept = nano.prepare_images([grey])
    assert kept["pictures"].shape == (1, 3, 224, 224)
    pixels = nano.join_images([kept, kept])["pixel_values"]
    assert pixels.shape == (2, 3, 224, 224)
    assert pixels[0, :, 5, 5].tolist() == [1.0, 0.0, 0.0]


def test_nano_tower_stays_as_it_is_in_training(network: NanoForConditionalGeneration) -> None:
    before = {name: value.clone() for name, value in network.model.tower.state_dict().items()}
    pixels = torch.randn(2, 3, 224, 224)
    calm = network.model.tower(pixels)
    try:
        network.train()
        assert torch.equal(network.model.tower(pixels), calm)
    finally:
        network.eval()
    assert all(torch.equal(before[name], value) for name, value in network.model.tower.state_dict().items())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_nano_features_may_be_kept(nano: Host, network: NanoForConditionalGeneration) -> None:
    images = nano.prepare_images([picture(seed=1), picture(seed=2)])
    kept = nano.keep_features(network, images)
    assert kept["tower_features"].shape == (2, 1472, 7, 7)
    assert kept["tower_features"].dtype == torch.float16
    direct = nano.image_features(network, nano.join_images([images]))
    later = nano.image_features(network, nano.join_images([kept]))
    for one, other in zip(direct.pooler_output, later.pooler_output, strict=True):
        assert one.shape == (16, 32)
        torch.testing.assert_close(one, other, rtol=0.02, atol=2e-3)
    assert nano.keep_features(network, kept) == kept


def test_nano_mixed_pictures_and_features_are_refused(nano: Host, network: NanoForConditionalGeneration) -> None:
    images = nano.prepare_images([picture()])
    with pytest.raises(HostError, match="pictures for all of them or features for all of them"):
        nano.join_images([images, nano.keep_features(network, images)])


def test_nano_image_tokens_stand_at_their_placeholders(nano: Host, network: NanoForConditionalGeneration) -> None:
    images = nano.join_images([nano.prepare_images([picture()])])
    tokens = torch.stack(list(nano.image_features(network, images).pooler_output))[0]
    ids = torch.tensor([[5, 6, *(number for run in nano.anchor_runs((4, 4)) for number in run.ids), 7]])
    embeds = network.get_input_embeddings()(ids)
    embeds[0, 3:19] = tokens
    expected = network.model.language_model(inputs_embeds=embeds).last_hidden_state
    assert torch.equal(network(input_ids=ids, **images).logits, network.lm_head(expected))


def test_nano_counts_image_placeholders(nano: Host, network: NanoForConditionalGeneration) -> None:
    images = nano.join_images([nano.prepare_images([picture()])])
    ids = torch.full((1, 15), nano.image_token_id)
    with pytest.raises(HostError, match="15 image placeholders for 16 image tokens"):
        network(input_ids=ids, **images)


def test_nano_beams_see_the_pictures(nano: Host, network: NanoForConditionalGeneration) -> None:
    images = nano.join_images([nano.prepare_images([picture()])])
    ids = torch.tensor([[number for run in nano.anchor_runs((4, 4)) for number in run.ids]])
    output = network.generate(input_ids=ids, num_beams=3, max_new_tokens=3, do_sample=False, **images)
    assert output.shape[1] > ids.shape[1]


def test_nano_is_a_transformers_class(nano_folder: str) -> None:
    assert isinstance(AutoModelForImageTextToText.from_pretrained(nano_folder), NanoForConditionalGeneration)


def test_new_tokens_start_at_the_mean(nano: Host, network: NanoForConditionalGeneration) -> None:
    llm = LlamaForCausalLM(network.config.text_config)
    old = llm.config.vocab_size - 4
    llm.resize_token_embeddings(old)
    mean = llm.model.embed_tokens.weight.mean(0)
    host, _ = build_nano_host(llm, nano.tokenizer, NanoTower(network.config).net.state_dict())
    for row in host.get_input_embeddings().weight[old:]:
        torch.testing.assert_close(row, mean)
    assert host.lm_head.weight is host.get_input_embeddings().weight


def test_other_weights_than_the_towers_are_refused(nano: Host, network: NanoForConditionalGeneration) -> None:
    with pytest.raises(HostError, match="1 tensors given as the vision tower are not EfficientNet-Lite0"):
        build_nano_host(LlamaForCausalLM(network.config.text_config), nano.tokenizer, {"x": torch.zeros(1)})


def test_text_cannot_hold_special_tokens(nano: Host, qwen: Host) -> None:
    for host in (nano, qwen):
        ids = host.encode_text("What <|motion_pad|><|im_end|> moves?")
        assert host.motion_token_id not in ids
        assert host.chat.end not in ids
        assert host.tokenizer.decode(ids) == "What <|motion_pad|><|im_end|> moves?"


def test_qwen_takes_an_unused_row_for_motion(qwen: Host) -> None:
    assert qwen.motion_token_id == len(qwen.tokenizer) - 1
    assert qwen.motion_token_id < qwen.vocab_size
    assert qwen.image_token_id == qwen.tokenizer.convert_tokens_to_ids("<|image_pad|>")


@settings(max_examples=25, deadline=None)
@given(width=st.integers(8, 700), height=st.integers(8, 700))
def test_qwen_knows_an_anchors_tokens_before_it_is_decoded(qwen: Host, width: int, height: int) -> None:
    if max(width, height) / min(width, height) > 12:
        return
    expected = qwen.tokens_per_anchor(width, height)
    images = qwen.prepare_images([picture(width, height)])
    assert expected <= 12
    assert [rows * columns for rows, columns in qwen.image_grids(images)] == [expected]
    assert len(images["pixel_values"]) == 4 * expected


def test_qwen_refuses_what_its_processor_cannot_scale(qwen: Host, qwen_folder: str) -> None:
    with pytest.raises(HostError, match="2010 x 10 pixels is too thin"):
        qwen.prepare_images([picture(2010, 10)])
    with pytest.raises(HostError, match="10 x 2010 pixels is too thin"):
        qwen.tokens_per_anchor(10, 2010)
    with pytest.raises(UsageError, match="max_anchor_tokens=3 is less"):
        load_host(qwen_folder, max_anchor_tokens=3)


def test_a_missing_nano_host_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HIMMEL_CACHE", str(tmp_path))
    with pytest.raises(HostError, match="himmel nano get"):
        load_host("nano")


def test_other_hosts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="There is no host"):
        load_host(str(tmp_path / "none"))
    with (
        patch("socket.getaddrinfo", side_effect=AssertionError("the network is asked")),
        pytest.raises(HostError, match="There is no host 'nowhere'"),
    ):
        load_host("nowhere")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(HostError, match=r"'llama', which is not supported; .* nano, Qwen2\.5-VL, Qwen3-VL, InternVL"):
        load_host(str(tmp_path))


def test_damaged_weights_are_one_sentence(nano_folder: str, qwen_folder: str, tmp_path: Path) -> None:
    for folder in (nano_folder, qwen_folder):
        copy = tmp_path / Path(folder).name
        copy.mkdir()
        for file in Path(folder).iterdir():
            (copy / file.name).write_bytes(file.read_bytes()[: 1000 if file.name == "model.safetensors" else None])
        with pytest.raises(HostError, match="cannot be"):
            load_host(str(copy)).load_network()


def test_qwen_refuses_a_budget_that_a_picture_cannot_keep(qwen_folder: str) -> None:
    host = load_host(qwen_folder, max_anchor_tokens=4)
    assert host.tokens_per_anchor(28, 28) == 4
    with pytest.raises(HostError, match=r"28 x 30 pixels costs 6 tokens on Qwen2\.5-VL, more than max_anchor_tokens=4"):
        host.prepare_images([picture(28, 30)])


def test_llava_in_its_authors_form_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llava", "architectures": ["LlavaQwenForCausalLM"]}')
    with pytest.raises(HostError, match=r"LLaVA-Video in its authors' own format, .* name a conversion of it"):
        load_host(str(tmp_path))


def test_the_processors_older_template_file_is_read(tiny_host: Callable[[str], str]) -> None:
    folder = tiny_host("llava_onevision")
    assert AutoTokenizer.from_pretrained(folder).chat_template is None
    assert "selectattr" in load_host(folder).tokenizer.chat_template


def test_internvl_lends_motion_the_video_placeholders_row(tiny_host: Callable[[str], str]) -> None:
    host = load_host(tiny_host("internvl"))
    assert len(host.tokenizer) == host.vocab_size
    assert host.motion_token_id == host.tokenizer.convert_tokens_to_ids("<video>")
    assert host.motion_token_id not in host.encode_text("<video>")


def test_a_tokenizer_without_a_row_to_lend_is_refused(qwen_folder: str, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(qwen_folder, tmp_path / "full"))
    settings = json.loads((copy / "config.json").read_text())
    settings["text_config"]["vocab_size"] = 320
    (copy / "config.json").write_text(json.dumps(settings))
    with pytest.raises(HostError, match="320 embedding rows and its tokenizer fills them all"):
        load_host(str(copy))


def test_a_line_of_pixels_takes_no_square_of_its_length(tiny_host: Callable[[str], str]) -> None:
    """This one would take 30 GB."""
    host = load_host(tiny_host("llava_onevision"), max_anchor_tokens=12)
    assert host.prepare_images([np.zeros((3, 100_000, 3), np.uint8)])["image_sizes"].tolist() == [[3, 100_000]]
    # What is made smaller first is still there: a tenth of the square and its blurred edges, in the middle.
    (pixels,) = host.prepare_images([np.full((500, 5_000, 3), 255, np.uint8)])["pixel_values"]
    rows = (pixels != pixels[:, :1]).any(0).all(1)
    assert rows.float().mean() == pytest.approx(0.15, abs=0.07)
    assert rows[len(rows) // 2]

import pytest

from himmel.adapter import AdapterConfig
from himmel.errors import UsageError


@pytest.mark.parametrize("config", [AdapterConfig.paper(host_hidden_size=2048), AdapterConfig.nano()])
def test_save_and_load_give_the_same_config(config, tmp_path):
    config.save_pretrained(tmp_path)
    loaded = AdapterConfig.from_pretrained(tmp_path)
    assert loaded.to_dict() == config.to_dict()
    assert loaded.streams == ("context", "motion", "residual")


def test_paper_and_nano_follow_the_design():
    paper, nano = AdapterConfig.paper(), AdapterConfig.nano()
    assert (paper.hidden_size, paper.host_hidden_size, paper.tokens_per_interval) == (768, 3584, 64)
    assert (paper.map_size, paper.context_channels, paper.context_size, paper.branch) == (64, 3, 112, "resnet18")
    assert (nano.hidden_size, nano.host_hidden_size, nano.tokens_per_interval) == (192, 576, 9)
    assert (nano.map_size, nano.context_channels, nano.context_size, nano.branch) == (20, 1472, 7, "conv")


def test_a_config_of_before_the_families_means_ssm():
    old = AdapterConfig.nano().to_dict()
    for name in ("encoder", "siglip", "siglip_weights"):
        del old[name]
    assert AdapterConfig.from_dict(old).to_dict() == AdapterConfig.nano(encoder="ssm").to_dict()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"streams": ()}, ("streams=[]", "context, motion, residual")),
        ({"streams": ("motion", "smell")}, ("'smell'", "context, motion, residual")),
        ({"streams": ("motion", "motion")}, ("'motion', 'motion'",)),
        ({"fusion": "softmax"}, ("fusion='softmax'", "gated")),
        ({"streams": ("context", "motion", "rgb_diff")}, ("'rgb_diff'", "name one of them")),
        ({"encoder": "vit"}, ("encoder='vit'", "shared_vit")),
        ({"siglip": {"hiden_size": 8}}, ("'hiden_size'", "hidden_size")),
        ({"branch": "vit"}, ("branch='vit'", "resnet18")),
        ({"conv_channels": (8, 8)}, ("conv_channels=[8, 8]", "three")),
        ({"ssm_head_dim": 24}, ("ssm_head_dim=24", "64")),
        ({"attention_heads": 5}, ("attention_heads=5", "32")),
    ],
)
def test_impossible_settings_are_one_sentence(tiny, changes, words):
    with pytest.raises(UsageError) as caught:
        tiny(**changes)
    message = str(caught.value)
    assert all(word in message for word in words)
    assert "\n" not in message
    assert message.endswith(".")

"""What an anchor will cost is what it costs, for any size, by the image processor and by the network itself."""

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from transformers import LlavaOnevisionProcessor, PreTrainedModel

from himmel.errors import HostError, UsageError
from himmel.hosts import Host, load_host
from tiny_hosts import make_tiny_hosts

BUDGETS = {
    "nano": (16,),
    "qwen2_5_vl": (4, 12, 64),
    "qwen3_vl": (4, 12, 64),
    "internvl": (4, 11, 12, 31, 52),
    "llava_onevision": (5, 9, 10, 20, 21, 60, 200),
}
CASES = [(kind, budget) for kind, budgets in BUDGETS.items() for budget in budgets]
SIZES = st.tuples(st.integers(30, 400), st.integers(30, 400))


def picture(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def host_and_budget(request: pytest.FixtureRequest, tiny_host: Callable[[str], str]) -> tuple[Host, int]:
    kind, budget = request.param
    return load_host(tiny_host(kind), max_anchor_tokens=budget), budget


@pytest.fixture(scope="module")
def host(host_and_budget: tuple[Host, int]) -> Host:
    return host_and_budget[0]


@pytest.fixture(scope="module")
def network(host: Host) -> PreTrainedModel:
    return host.load_network()


@settings(max_examples=12)
@given(sizes=st.lists(SIZES, min_size=1, max_size=3))
def test_known_before_decoding(host: Host, network: PreTrainedModel, sizes: list[tuple[int, int]]) -> None:
    try:
        expected = [host.tokens_per_anchor(*size) for size in sizes]
    except HostError:
        reject()
    images = host.prepare_images([picture(*size) for size in sizes])
    grids = host.image_grids(images)
    assert [rows * columns for rows, columns in grids] == expected
    assert [len(host.token_boxes(grid, *size)) for grid, size in zip(grids, sizes, strict=True)] == expected
    with torch.no_grad():
        features = cast(Any, host.image_features(network, host.join_images([images])).pooler_output)
    assert [len(tokens) for tokens in features] == expected
    assert all(tokens.shape[1] == host.hidden_size for tokens in features)


@settings(max_examples=60)
@given(width=st.integers(1, 8000), height=st.integers(1, 8000))
def test_never_above_the_budget(host_and_budget: tuple[Host, int], width: int, height: int) -> None:
    host, budget = host_and_budget
    try:
        tokens = host.tokens_per_anchor(width, height)
    except HostError:
        # Qwen's tokens are whole squares: the thinnest pictures, and those scaled up, cannot be made small enough.
        assert "qwen" in host.name
        assert width * height < 4 * 32**2 or max(width, height) > min(budget, 200) * min(width, height)
    else:
        assert 1 <= tokens <= budget


@pytest.mark.parametrize(
    ("kind", "least"), [("qwen2_5_vl", 4), ("qwen3_vl", 4), ("internvl", 4), ("llava_onevision", 5)]
)
def test_a_budget_below_the_least_is_refused(kind: str, least: int, tiny_host: Callable[[str], str]) -> None:
    load_host(tiny_host(kind), max_anchor_tokens=least)
    with pytest.raises(UsageError, match=f"max_anchor_tokens={least - 1} is less than .* give at least {least}"):
        load_host(tiny_host(kind), max_anchor_tokens=least - 1)


@pytest.fixture(scope="module")
def published_sizes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Host]:
    """Narrow hosts that see tiles as large as the published ones."""
    folder = tmp_path_factory.mktemp("published")
    make_tiny_hosts.make_internvl(folder / "internvl", tile=448)
    make_tiny_hosts.make_llava_onevision(folder / "llava_onevision", tile=384)
    return cache(lambda kind, budget: load_host(str(folder / kind), max_anchor_tokens=budget))


@pytest.mark.parametrize(
    ("kind", "budget", "expected"),
    [
        # By default one tile; with room for three, the two that suit 16 : 9 and a small copy; 12 at most, and the copy.
        ("internvl", 256, 256),
        ("internvl", 767, 256),
        ("internvl", 768, 768),
        ("internvl", 13 * 256, 9 * 256),
        ("internvl", 10**6, 9 * 256),
        # A frame, a padded square, two tiles of which the padding is cut off (27 + 2 * 27 rows and columns), and more.
        ("llava_onevision", 256, 197),
        ("llava_onevision", 729, 197),
        ("llava_onevision", 730, 730),
        ("llava_onevision", 1484, 730),
        ("llava_onevision", 1485, 729 + 15 * 28),
    ],
)
def test_figures_of_the_published_sizes(
    kind: str, budget: int, expected: int, published_sizes: Callable[[str, int], Host]
) -> None:
    assert published_sizes(kind, budget).tokens_per_anchor(1920, 1080) == expected


@settings(max_examples=300)
@given(width=st.integers(20, 5000), height=st.integers(20, 5000))
def test_llava_counts_tiles_as_its_processor_does(
    width: int, height: int, published_sizes: Callable[[str, int], Host]
) -> None:
    host: Any = published_sizes("llava_onevision", 10**6)
    # The processor itself wants a video processor, which needs torchvision; its rule wants only these.
    settings_only = SimpleNamespace(
        image_processor=SimpleNamespace(image_grid_pinpoints=host.config.image_grid_pinpoints),
        num_image_tokens=729,
        vision_aspect_ratio=host.config.vision_aspect_ratio,
        _get_unpadded_features=lambda *given: LlavaOnevisionProcessor._get_unpadded_features(settings_only, *given),
    )
    expected = LlavaOnevisionProcessor._get_number_of_features(cast(Any, settings_only), height, width, 384, 384)
    assert host.tokens_per_anchor(width, height) == expected


@pytest.mark.parametrize("size", [(320, 180), (150, 240)])
def test_boxes_are_where_the_tower_sees_a_change(host: Host, size: tuple[int, int]) -> None:
    width, height = size
    if host.name == "nano":
        pytest.skip("its tokens look where they have learned to look: tests/hosts/nano/test_projector.py")
    network = host.load_network()
    for name, weight in network.named_parameters():
        # A random tower of few patches mixes them all; without its attention each sees itself.
        if "vision_tower" in name and ".out_proj." in name:
            torch.nn.init.zeros_(weight)
    try:
        host.tokens_per_anchor(width, height)
    except HostError:
        pytest.skip("too few tokens for a picture of this shape")
    plain = np.full((height, width, 3), 100, np.uint8)
    places = [(left, top) for left in (0.05, 0.4, 0.75) for top in (0.05, 0.4, 0.75)]
    changed = []
    for left, top in places:
        spot = plain.copy()
        spot[round(top * height) :, round(left * width) :][: height // 5, : width // 5] = (255, 0, 200)
        changed.append(spot)
    images = host.prepare_images([plain, *changed])
    boxes = host.token_boxes(host.image_grids(images)[0], width, height)
    with torch.no_grad():
        features = cast(Any, host.image_features(network, host.join_images([images])).pooler_output)
    shown = ~np.isnan(boxes[:, 0])
    for (left, top), tokens in zip(places, features[1:], strict=True):
        difference = (tokens - features[0]).norm(dim=-1).numpy()
        most = boxes[np.argmax(np.where(shown, difference, -1))]
        # The spot is a fifth wide and high; a token sees a little beyond its box.
        assert most[0] - 0.1 < left + 0.2
        assert most[2] + 0.1 > left
        assert most[1] - 0.1 < top + 0.2
        assert most[3] + 0.1 > top


def test_new_lines_are_nowhere_and_borders_beside_the_picture(published_sizes: Callable[[str, int], Host]) -> None:
    frame, whole, tiles = (
        published_sizes("llava_onevision", budget).token_boxes((1, 0), 1920, 1080) for budget in (256, 730, 1485)
    )
    assert [int(np.isnan(boxes[:, 0]).sum()) for boxes in (frame, whole, tiles)] == [1, 1, 15]
    assert np.isnan(tiles[729 + 27]).all()
    assert np.nanmin(frame) == 0
    assert np.nanmax(frame) == 1
    # The square has a border of 420 of 1,080 lines above and below.
    assert whole[0] == pytest.approx([0, -420 / 1080, 1 / 27, -420 / 1080 + 1920 / 27 / 1080])
    assert whole[728, 3] == pytest.approx(1 + 420 / 1080)

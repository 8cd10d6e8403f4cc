import numpy as np
import pytest
import torch
from matplotlib.colors import hsv_to_rgb

from himmel.adapter.pictures import draw_maps


def test_motion_has_the_hue_of_its_direction_and_rest_is_white():
    angles = np.linspace(0, 2 * np.pi, 25, endpoint=False)
    speeds = np.array([0.0, 0.3, 1.0, 30.0])
    right, down = speeds[:, None] * np.cos(angles), speeds[:, None] * np.sin(angles)
    maps = torch.from_numpy(np.stack((right, down)).astype(np.float32))[None]
    drawn = draw_maps("motion", torch.nn.functional.pad(maps, (0, 0, 0, 21)), 25)[0, :, :4].permute(1, 2, 0).numpy()
    strength = (speeds / (speeds + 1))[:, None].repeat(25, axis=1)
    hue = (np.arctan2(down, right) / (2 * np.pi)) % 1
    expected = hsv_to_rgb(np.stack((hue, strength, 1 - 0.12 * strength), axis=-1))
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    assert (drawn[0] == 1).all()


def test_residual_and_rgb_difference_by_channel():
    residual = torch.tensor([0.5, -3.0, 2.0, 0.25]).reshape(1, 4, 1, 1).expand(1, 4, 8, 8)
    expected = torch.tensor([np.tanh(0.5), np.tanh(2.0), 0.25], dtype=torch.float32)
    torch.testing.assert_close(draw_maps("residual", residual, 4)[0, :, 1, 2], expected)
    assert draw_maps("residual", torch.zeros(1, 4, 8, 8), 4).max() == 0
    difference = torch.tensor([-1.0, 0.0, 1e3]).reshape(1, 3, 1, 1).expand(1, 3, 8, 8)
    expected = torch.tensor([0.5 - 0.5 * np.tanh(1), 0.5, 1.0], dtype=torch.float32)
    torch.testing.assert_close(draw_maps("rgb_diff", difference, 4)[0, :, 1, 2], expected)


@pytest.mark.parametrize(("stream", "channels"), [("motion", 2), ("residual", 4), ("rgb_diff", 3)])
def test_pictures_of_any_maps_are_in_range_and_keep_their_places(stream, channels):
    maps = torch.zeros(2, channels, 10, 10)
    maps[1, :, 7:, :3] = 20.0 if stream != "residual" else 1.0
    drawn = draw_maps(stream, maps, 40)
    assert drawn.shape == (2, 3, 40, 40)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    changed = (drawn[1] - drawn[0]).abs().amax(0) > 0.1
    assert changed[30:, :10].all()
    assert not changed[:24].any()
    assert not changed[:, 16:].any()

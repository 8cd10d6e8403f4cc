import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from himmel.data.cache.quantise import from_int8, from_shares, to_half, to_int8, to_shares


def heavy_tailed(seed: int, scale: float) -> npt.NDArray[np.float32]:
    """Maps [5, 2, 7, 9] as motion is: most of it slow, some very fast."""
    rng = np.random.default_rng(seed)
    return (scale * rng.standard_cauchy((5, 2, 7, 9))).astype(np.float32)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 1.0, 50.0]))
def test_the_error_of_int8_is_bounded_as_stated(seed: int, scale: float) -> None:
    values = heavy_tailed(seed, scale).astype(np.float64)
    stored, largest = to_int8(values.astype(np.float32))
    back = from_int8(stored, largest)
    for step in range(5):
        for channel in range(2):
            of_one = values[step, channel]
            most = np.abs(of_one).max()
            t = 127 * np.sqrt(np.abs(of_one) / most)
            bound = most * (t + 0.25) / 127**2
            error = np.abs(back[step, channel] - of_one)
            assert (error <= bound * (1 + 1e-4) + 1e-6 * most).all()


def test_what_is_fastest_is_not_cut_off_and_what_is_slow_beside_it_is_not_lost() -> None:
    values = np.zeros((2, 1, 1, 4), np.float32)
    values[0, 0, 0] = -500, 0.25, 2, 0
    values[1, 0, 0] = 1, 0.25, -0.5, 0
    back = from_int8(*to_int8(values))
    assert back[0, 0, 0, 0] == -500
    assert back[0, 0, 0, 1] == pytest.approx(0.25, abs=0.1)
    assert back[0, 0, 0, 2] == pytest.approx(2, abs=0.26)
    assert back[1, 0, 0].tolist() == pytest.approx([1, 0.25, -0.5, 0], abs=0.006)
    assert (back == 0).tolist() == (values == 0).tolist()


def test_maps_of_zeros_and_of_no_steps_come_back() -> None:
    for shape in ((3, 2, 4, 4), (0, 2, 4, 4)):
        stored, largest = to_int8(np.zeros(shape, np.float32))
        assert stored.shape == shape
        assert not from_int8(stored, largest).any()


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=50))
def test_shares_are_within_one_part_and_stay_what_they_are_at_both_ends(shares: list[float]) -> None:
    values = np.array(shares, np.float32)
    back = from_shares(to_shares(values))
    large = values >= 1 / 255
    assert (np.abs(back - values)[large] <= 1 / 510 + 1e-6).all()
    assert (np.abs(back - values)[~large] <= 1 / 255).all()
    assert ((back == 0) == (values == 0)).all()
    assert (back[values == 1] == 1).all()


def test_float16_is_within_its_relative_error_and_never_infinite() -> None:
    values = np.concatenate([heavy_tailed(0, 3.0).ravel(), np.float32([1e6, -1e6])])
    back = to_half(values).astype(np.float64)
    inside = np.abs(values) < 65504
    assert (np.abs(back - values)[inside] <= np.maximum(np.abs(values[inside]) * 2**-11, 2**-25)).all()
    assert back[-2:].tolist() == [65504, -65504]

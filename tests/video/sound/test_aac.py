"""Packets of AAC that no encoder makes: damaged ones, and syntax that few use."""

import numpy as np
import pytest

from himmel.video.sound.aac import HEAD, Packing, read_packing, read_powers
from himmel.video.sound.tables import LONGEST, RATES, scale_factor_code, widths

PLAIN = Packing(48000, adts=False)


def _powers(*packets: str, packing: Packing = PLAIN) -> np.ndarray:
    """Of packets whose bits are given as text; blanks don't count."""
    heads = np.zeros((len(packets), HEAD), np.uint8)
    sizes = []
    for head, text in zip(heads, packets, strict=True):
        bits = text.replace(" ", "")
        data = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
        head[: len(data)] = np.frombuffer(data, np.uint8)[:HEAD]
        sizes.append(len(data))
    return read_powers(heads, np.array(sizes, np.int64), packing)


def _long(bands: int, sections: str, factors: str, *, gain: int = 100) -> str:
    """One channel with a long window: SCE, tag, gain, ics_info, sections, scale factors."""
    return f"000 0000 {gain:08b} 0 00 0 {bands:06b} 0 {sections} {factors}"


def test_the_code_of_scale_factors_is_whole() -> None:
    differences, lengths = scale_factor_code()
    assert len(differences) == len(lengths) == 1 << LONGEST
    assert set(differences.tolist()) == set(range(-60, 61))
    # ISO/IEC 14496-3, table 4.A.1: the shortest codewords, one of 12 bits, and the last of all.
    words = {"0": 0, "100": -1, "1010": 1, "1011": -2, "1100": 2, "111111110100": -16, 19 * "1": -47}
    for word, difference in words.items():
        assert differences[int(word.ljust(LONGEST, "0"), 2)] == difference
        assert lengths[int(word.ljust(LONGEST, "0"), 2)] == len(word)


def test_bands_cover_their_windows() -> None:
    for rate in RATES:
        assert widths(rate, short=False).sum() == 1024
        assert widths(rate, short=True).sum() == 128


def test_six_decibels_are_four_steps_of_gain() -> None:
    # Three bands by codebook 1, and no differences between their scale factors.
    quiet, loud = _powers(*(_long(3, "0001 00011", "000", gain=gain) for gain in (100, 104)))
    assert quiet > 0
    assert 10 * np.log10(loud / quiet) == pytest.approx(20 * np.log10(2))


def test_bands_without_coefficients_have_no_power() -> None:
    assert _powers(_long(3, "0000 00011", ""))[0] == 0
    assert _powers(_long(0, "", ""))[0] == 0


def test_noise_has_the_power_that_it_says() -> None:
    # Codebook 13, 9 bits of energy: 2^((gain - 90 + value - 256) / 2) for the whole band.
    (power,) = _powers(_long(1, "1101 00001", f"{256 + 90:09b}", gain=100))
    assert power == pytest.approx(2.0**50 / (2 * 1024**2 * 2**30))


def test_what_comes_before_the_channel_is_passed() -> None:
    block = _long(3, "0001 00011", "000")
    fill = "110 0011" + 3 * "10101010"
    data = "100 0000 0 00000010" + 16 * "1"
    assert _powers(block, fill + block, data + block, fill + data + block) == pytest.approx(_powers(block)[0])


def test_eight_short_windows_are_grouped() -> None:
    # Two groups, of five windows and of three; a section for each.
    block = "000 0000 01100100 0 10 0 0010 1111011 0001 010 0001 010 0000"
    assert _powers(block)[0] == pytest.approx(8 * 8 * 0.25 / (8 * 2 * 128**2 * 2**30))


@pytest.mark.parametrize(
    "block",
    [
        _long(50, "0001 11111 00001", "0"),  # more bands than there are
        _long(3, "0001 00100", "0000"),  # a section beyond the last band
        _long(3, "1100 00011", "000"),  # a codebook that is reserved
        "000 0000 01100100 1 00 0 000001 0",  # a reserved bit
        "000 0000 01100100 0 00 0 000001 1",  # prediction
        "011 0000 01100100",  # an element that is no channel
        "111",  # an end without any
        _long(3, "0001 00011", 2 * "1111111111111110011", gain=250),  # a scale factor above 255
        _long(3, "0001 00011", "")[:-12],  # cut off
        "110 1111 11111111",  # a fill element longer than the packet
    ],
)
def test_damage_is_not_known(block: str) -> None:
    assert np.isnan(_powers(block)[0])


def test_random_bytes_do_no_harm() -> None:
    heads = np.random.default_rng(0).integers(0, 256, (2000, HEAD), np.uint8)
    sizes = np.random.default_rng(1).integers(0, 2 * HEAD, 2000)
    for packing in (PLAIN, Packing(7350, adts=True)):
        powers = read_powers(heads, sizes, packing)
        assert (np.isnan(powers) | (powers >= 0)).all()
        assert np.isnan(powers).mean() > 0.5


def test_sections_of_no_length_end_with_the_packet() -> None:
    assert np.isnan(_powers(_long(3, 800 * "0001 00000", ""))[0])


@pytest.mark.parametrize(
    ("extradata", "first", "packing"),
    [
        (b"\x11\x90", b"", Packing(48000, adts=False)),
        (b"\x12\x10\x56\xe5\x00", b"", Packing(44100, adts=False)),
        (b"\x2b\x92\x08\x00", b"", Packing(22050, adts=False)),  # HE-AAC: the rate of its core
        (b"\x0a\x10", b"", None),  # AAC Main
        (b"\xf8\xe6\x20", b"", None),  # ELD
        (b"\x17\x80\x5d\xc0\x08", b"", None),  # a rate that has no index
        (None, b"\xff\xf1\x4c\x80\x20\x1f\xfc", Packing(48000, adts=True)),
        (None, b"\xff\xf1\x0c\x80\x20\x1f\xfc", None),  # AAC Main
        (None, b"\x56\xe0\x00\x00\x00\x00\x00", None),  # LATM
        (None, b"", None),
    ],
)
def test_what_is_read_and_what_is_not(extradata: bytes | None, first: bytes, packing: Packing | None) -> None:
    assert read_packing(extradata, first) == packing

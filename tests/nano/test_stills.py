"""Pictures that the projector learns from, and their words."""

import numpy as np
import pytest

from himmel.errors import UsageError
from himmel.hosts.nano.projector import SLOTS
from himmel.nano.catalogue import EMOJI
from himmel.nano.clips import FIRST_EVAL_SEED, SIZE
from himmel.nano.draw import draw_spec
from himmel.nano.stills import draw_still, slot_words
from himmel.nano.words import image_words

_CORNERS = {"top left": 0, "top right": 1, "bottom left": 2, "bottom right": 3}


def test_slots_say_what_is_where() -> None:
    for seed in range(200):
        spec = draw_spec(seed)
        said, _ = slot_words(spec)
        assert set(said) <= {*image_words(), None}
        by_slot = dict(zip(SLOTS, said, strict=True))
        for name, place in _CORNERS.items():
            here = [thing for thing in spec.things if thing.place == place]
            if not here:
                assert by_slot[f"name {name}"] == by_slot[f"colour {name}"] == "."
            elif here[0].emoji:
                assert (by_slot[f"colour {name}"], by_slot[f"name {name}"]) == (None, here[0].name)
            else:
                assert f"{by_slot[f'colour {name}']} {by_slot[f'name {name}']}" == here[0].name
        counted = [thing for thing in spec.things if thing.place is None][:-1]
        assert by_slot["number"] == ("one", "two", "three", "four")[len(counted) - 1]
        assert f"{by_slot['colour of those counted']} {by_slot['shape of those counted']}" == counted[0].name
        assert f"{by_slot['colour of the other']} {by_slot['shape of the other']}" == spec.things[-1].name


def test_held_out_names_are_not_taught() -> None:
    names = [place for place, slot in enumerate(SLOTS) if slot.startswith("name")]
    for seed in range(100):
        said, _ = slot_words(draw_spec(FIRST_EVAL_SEED + seed, "eval"))
        assert not {said[place] for place in names} & set(EMOJI)


def test_about_a_fifth_of_the_names_are_reserved() -> None:
    taught: dict[str, set[bool]] = {}
    for seed in range(1500):
        said, reserved = slot_words(draw_spec(seed))
        for word, kept in zip(said, reserved, strict=True):
            if word in EMOJI:
                taught.setdefault(word, set()).add(bool(kept))
    assert all(len(kept) == 1 for kept in taught.values())
    assert 0.12 < np.mean([kept == {True} for kept in taught.values()]) < 0.3


@pytest.mark.assets
def test_a_picture_is_the_same_each_time_and_coded() -> None:
    one, other = draw_still(5), draw_still(5)
    assert one.picture.shape == (SIZE, SIZE, 3)
    assert np.array_equal(one.picture, other.picture)
    assert one.words == other.words
    assert not np.array_equal(one.picture, draw_still(6).picture)


def test_a_seed_of_the_other_half_is_refused() -> None:
    with pytest.raises(UsageError, match="is not one of split 'train'"):
        draw_still(FIRST_EVAL_SEED)

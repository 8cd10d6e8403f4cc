"""Orders of samples: every pass whole, every process its own share, the same again from any step."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from himmel.data.samples import Group, draw_order
from himmel.data.samples.order import alternate

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=4)


class Places(Dataset[int]):
    """Item i is i."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, place: int) -> int:
        return place


def _groups(sizes: list[int], kinds: str = "video") -> list[Group]:
    ends = np.cumsum([0, *sizes])
    return [
        Group(kinds if kinds != "mixed" else ("video", "image", "text")[index % 3], np.arange(start, stop))
        for index, (start, stop) in enumerate(pairwise(ends))
    ]


@given(sizes=SIZES, batch_size=st.integers(1, 9), batches=st.integers(1, 30), seed=st.integers(0, 9))
def test_each_pass_over_a_set_is_whole_before_the_next_begins(
    sizes: list[int], batch_size: int, batches: int, seed: int
) -> None:
    order = draw_order(_groups(sizes), batches=batches, batch_size=batch_size, seed=seed)
    assert len(order) == batches * batch_size
    for group in _groups(sizes):
        mine = order[np.isin(order, group.rows)]
        for start in range(0, len(mine), len(group.rows)):
            part = mine[start : start + len(group.rows)]
            assert len(set(part.tolist())) == len(part)


@given(sizes=SIZES, batch_size=st.integers(1, 9), seed=st.integers(0, 9))
def test_sets_of_equal_weight_are_one_set(sizes: list[int], batch_size: int, seed: int) -> None:
    total = sum(sizes)
    order = draw_order(_groups(sizes), batches=batch_size * total, batch_size=batch_size, seed=seed)
    # In so many draws each sample comes batch_size ** 2 times, give or take the last pass of its set.
    times = np.bincount(order, minlength=total)
    assert abs(times - batch_size**2).max() <= 1 + len(sizes)


@given(
    sizes=st.lists(st.integers(1, 40), min_size=3, max_size=5),
    batch_size=st.integers(1, 9),
    batches=st.integers(1, 30),
    by_length=st.booleans(),
)
def test_a_batch_shows_one_kind_of_thing(sizes: list[int], batch_size: int, batches: int, by_length: bool) -> None:
    groups = _groups(sizes, "mixed")
    kind_of = np.concatenate([np.full(len(one.rows), ("video", "image", "text").index(one.kind)) for one in groups])
    lengths = np.arange(sum(sizes))[::-1].copy() if by_length else None
    order = draw_order(groups, batches=batches, batch_size=batch_size, seed=1, sizes=lengths)
    kinds = kind_of[order].reshape(batches, batch_size)
    assert (kinds == kinds[:, :1]).all()


def test_weights_say_how_often_a_sample_is_drawn() -> None:
    groups = [
        Group("video", np.arange(10), weight=3.0),
        Group("video", np.arange(10, 40)),
        Group("text", np.arange(40, 60), weight=0.0),
    ]
    order = draw_order(groups, batches=60, batch_size=10, seed=0)
    times = np.bincount(order, minlength=60)
    assert times[:10].tolist() == [30] * 10
    assert times[10:40].tolist() == [10] * 30
    assert not times[40:].any()


@given(shares=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=5), count=st.integers(1, 300))
def test_shares_hold_in_every_beginning(shares: list[float], count: int) -> None:
    schedule = alternate(np.array(shares), count)
    assert len(schedule) == count
    wanted = np.array(shares) / sum(shares)
    for stop in range(1, count + 1):
        counts = np.bincount(schedule[:stop], minlength=len(shares))
        assert abs(counts - stop * wanted).max() <= len(shares)


@given(rows=st.integers(8, 60), batch_size=st.integers(1, 4), seed=st.integers(0, 20))
def test_no_video_meets_itself_in_a_batch(rows: int, batch_size: int, seed: int) -> None:
    order = draw_order([Group("video", np.arange(rows))], batches=3 * rows, batch_size=batch_size, seed=seed)
    for batch in order.reshape(-1, batch_size):
        assert len(set(batch.tolist())) == batch_size


def test_samples_of_similar_length_share_a_batch() -> None:
    lengths = np.random.default_rng(0).permutation(512)
    group = Group("video", np.arange(512))
    plain = draw_order([group], batches=64, batch_size=8, seed=0)
    grouped = draw_order([group], batches=64, batch_size=8, seed=0, sizes=lengths)
    assert sorted(plain) == sorted(grouped) == list(range(512))
    spread = np.ptp(lengths[grouped].reshape(64, 8), axis=1)
    assert spread.max() == 7
    assert np.ptp(lengths[plain].reshape(64, 8), axis=1).min() > 100
    # Batches themselves are not sorted.
    assert (np.diff(lengths[grouped].reshape(64, 8)[:, 0]) < 0).any()


@given(
    ranks=st.integers(1, 4),
    micro=st.integers(1, 4),
    accumulation=st.integers(1, 3),
    steps=st.integers(1, 6),
    data=st.data(),
)
def test_processes_share_out_each_batch_and_go_on_where_they_stopped(
    ranks: int, micro: int, accumulation: int, steps: int, data: st.DataObject
) -> None:
    """As accelerate shares out batches among processes, and skips those that a resumed run has seen."""
    from accelerate import skip_first_batches
    from accelerate.data_loader import BatchSamplerShard

    batch_size = ranks * micro * accumulation
    places = Places(steps * batch_size)
    done = data.draw(st.integers(0, steps - 1))
    taken: list[list[int]] = [[] for _ in range(steps)]
    for rank in range(ranks):
        sampler = BatchSampler(SequentialSampler(places), micro, drop_last=False)
        shard = BatchSamplerShard(sampler, num_processes=ranks, process_index=rank)
        loader = DataLoader(places, batch_sampler=shard)
        resumed = skip_first_batches(loader, done * accumulation)
        for number, batch in enumerate(resumed):
            taken[done + number // accumulation] += batch.tolist()
    for step in range(steps):
        wanted = list(range(step * batch_size, (step + 1) * batch_size)) if step >= done else []
        assert sorted(taken[step]) == wanted


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_of_a_loader_keep_the_order(workers: int) -> None:
    loader = DataLoader(Places(24), batch_size=2, sampler=SequentialSampler(Places(24)), num_workers=workers)
    assert [place for batch in loader for place in batch.tolist()] == list(range(24))

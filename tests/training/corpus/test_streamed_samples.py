"""How a stream of samples is shared out among processes and workers: whole, and nothing twice."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from himmel.data.samples import Sample, SampleTable, Turn
from himmel.data.samples.skipped import SkippedList
from himmel.errors import UsageError
from himmel.training.corpus.samples import DrawnSamples, StreamedSamples


def _items(length: int, folder: Path) -> DrawnSamples[str]:
    """Samples whose answer is their place, made of nothing."""
    table = SampleTable.of((0, Sample(str(i), (), (Turn("q", str(i)),))) for i in range(length))
    skipped = SkippedList(folder / "skipped.jsonl")
    return DrawnSamples(table, np.arange(length), _answer, seed=0, skipped=skipped)


def _answer(sample: Sample) -> str:
    return sample.turns[0].answer


@given(
    ranks=st.integers(1, 4),
    batch_size=st.integers(1, 4),
    workers=st.integers(1, 4),
    rounds=st.integers(1, 6),
    data=st.data(),
)
def test_a_stream_shares_out_the_same_batches_without_gaps(
    ranks: int, batch_size: int, workers: int, rounds: int, data: st.DataObject
) -> None:
    whole = ranks * batch_size
    start = whole * data.draw(st.integers(0, rounds - 1))
    items = _items(rounds * whole, Path())
    batches: dict[tuple[int, int], list[int]] = {}
    for rank in range(ranks):
        stream = StreamedSamples(items, batch_size=batch_size, rank=rank, ranks=ranks, start=start)
        shares = [list(stream.places(worker=worker, workers=workers)) for worker in range(workers)]
        for number in range(rounds - start // whole):
            share = shares[number % workers]
            first = number // workers * batch_size
            batches[number, rank] = share[first : first + batch_size]
        assert sum(map(len, shares)) == (rounds * whole - start) // ranks
    taken = [place for key in sorted(batches) for place in batches[key]]
    assert taken == list(range(start, rounds * whole))


def test_a_loader_of_a_stream_gives_what_one_of_items_gives(tmp_path: Path) -> None:
    items = _items(24, tmp_path)
    plain = list(DataLoader(items, batch_size=2))
    stream = StreamedSamples(items, batch_size=2)
    assert list(DataLoader(stream, batch_size=2, num_workers=2)) == plain
    with pytest.raises(UsageError, match="24 items cannot be shared out among 5 processes in batches of 1"):
        StreamedSamples(items, batch_size=1, ranks=5)

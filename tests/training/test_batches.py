import copy
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch.utils.data import DataLoader

from himmel.model import align_targets
from himmel.nano.kinds import Kind
from himmel.training.batches import AlignmentCollator, DrawnClips, InstructCollator
from himmel.training.labels import LabelPictures
from himmel.training.store import ClipStore
from himmel.training.targets import TargetStore
from tiny_hosts import Setup, build, nano_config, tiny_adapter
from training_batches import alignment_collator

Fill = Callable[[int], ClipStore]


def test_every_pass_draws_each_clip_once_in_a_new_order() -> None:
    items = DrawnClips(range(100, 110), length=30, seed=3)
    passes = [[items[i][1] for i in range(start, start + 10)] for start in (0, 10, 20)]
    assert all(sorted(one) == list(range(100, 110)) for one in passes)
    assert passes[0] != passes[1]
    assert passes[0] == [DrawnClips(range(100, 110), length=30, seed=3)[i][1] for i in range(10)]


def test_alignment_batch_joins_clips_and_marks_those_that_move_on(setup: Setup, filled_store: Fill) -> None:
    store = filled_store(4)
    batch = alignment_collator(store, setup)([(0, 0), (1, 1), (2, 3)])
    sample = setup.samples[0]
    count = sample.num_intervals
    assert batch["motion"].shape == (3 * count, *sample.motion.shape[1:])
    # Seed 0 returns (and is still), seeds 1 and 3 do not return.
    assert batch["valid"].tolist() == [False] * count + [True] * 2 * count
    assert batch["probe_values"][:, 0].tolist() == [0.0] * count + [1.0] * count + [3.0] * count
    expected = align_targets(setup.model.host, setup.model.network, [sample])
    torch.testing.assert_close(batch["targets"][:count], expected)


def _answers(setup: Setup, labels: torch.Tensor) -> str:
    return setup.processor.decode(labels[labels >= 0])


def test_instruction_batch_learns_the_right_options_and_nothing_else(setup: Setup, filled_store: Fill) -> None:
    collator = InstructCollator(filled_store(1), setup.processor, questions_per_clip=4, seed=0)
    batch = collator([(0, 0)])
    assert sorted(_answers(setup, batch["inputs"].labels[0]).replace("blue", "").replace("red", "red ").split()) in (
        ["red", "right"],
        ["redright"],
        ["rightred"],
    )
    assert setup.model(**batch).loss.isfinite()


def test_questions_are_drawn_from_the_seed_and_the_item(setup: Setup, filled_store: Fill) -> None:
    store = filled_store(1)
    first, again = (InstructCollator(store, setup.processor, questions_per_clip=1, seed=5) for _ in range(2))
    drawn = [_answers(setup, first([(item, 0)])["inputs"].labels[0]) for item in range(12)]
    assert drawn == [_answers(setup, again([(item, 0)])["inputs"].labels[0]) for item in range(12)]
    assert len(set(drawn)) == 2


@pytest.mark.parametrize(
    ("shows", "image", "motion"), [("video", True, True), ("anchors", True, False), ("nothing", False, False)]
)
def test_what_is_shown_is_in_the_prompt(
    setup: Setup, filled_store: Fill, shows: Literal["video", "anchors", "nothing"], image: bool, motion: bool
) -> None:
    collator = InstructCollator(filled_store(1), setup.processor, questions_per_clip=4, seed=0, shows=shows)
    inputs = collator([(0, 0)])["inputs"]
    tokens = setup.processor.count_tokens(inputs)
    assert (tokens["image"] > 0, tokens["motion"] > 0) == (image, motion)
    assert setup.model(inputs).loss.isfinite()


def test_sentences_are_learned_beside_the_questions(setup: Setup, filled_store: Fill) -> None:
    options = {"questions_per_clip": 4, "seed": 0, "sentence_share": 0.35}
    collator = InstructCollator(filled_store(1), setup.processor, **options)
    said = ["I see seed 0" in _answers(setup, collator([(item, 0)])["inputs"].labels[0]) for item in range(60)]
    assert 10 < sum(said) < 35


def test_questions_about_motion_come_first_in_most_clips(setup: Setup, filled_store: Fill) -> None:
    collator = InstructCollator(filled_store(1), setup.processor, questions_per_clip=1, seed=0)
    moving = ["right" in _answers(setup, collator([(item, 0)])["inputs"].labels[0]) for item in range(100)]
    assert 70 < sum(moving) < 97


def test_a_kind_of_which_no_share_is_asked_is_not(setup: Setup, filled_store: Fill) -> None:
    store = filled_store(1)
    kinds = [question.kind for question in store.load(0).questions]
    assert "direction" in kinds
    assert len(kinds) > 1

    def count_right(shares: dict[Kind, float]) -> int:
        collator = InstructCollator(store, setup.processor, questions_per_clip=4, seed=0, asked_shares=shares)
        return sum("right" in _answers(setup, collator([(item, 0)])["inputs"].labels[0]) for item in range(60))

    assert count_right({}) == 60
    assert count_right({"direction": 0.0}) == 0
    assert 10 < count_right({"direction": 0.4}) < 40
    # A clip is asked something.
    assert count_right(dict.fromkeys(kinds, 0.0)) in (0, 60)


def test_blind_batches_ask_about_motion_alone_without_pictures(setup: Setup, filled_store: Fill) -> None:
    collator = InstructCollator(filled_store(1), setup.processor, questions_per_clip=4, seed=0, blind_share=1.0)
    batch = collator([(0, 0)])
    assert not batch["inputs"].images
    assert setup.processor.count_tokens(batch["inputs"])["image"] == 0
    assert _answers(setup, batch["inputs"].labels[0]) == "right"
    assert setup.model(**batch).loss.isfinite()


def test_still_batches_show_one_anchor_and_ask_what_is_still(setup: Setup, filled_store: Fill) -> None:
    store = filled_store(2)
    collator = InstructCollator(store, setup.processor, questions_per_clip=4, seed=0, still_share=1.0)
    batch = collator([(0, 0), (1, 1)])["inputs"]
    tokens = setup.processor.count_tokens(batch)
    assert (tokens["image"], tokens["motion"]) == (2 * setup.model.host.config.tokens_per_anchor, 0)
    assert [_answers(setup, labels) for labels in batch.labels] == ["red", "red"]
    # The second clip doesn't come back to where it was: its first anchor is what the questions are about.
    features = store.load(1).sample.images["tower_features"]
    seen = [collator([(item, 1)])["inputs"].images["tower_features"] for item in range(6)]
    assert all(torch.equal(one, features[:1].to(one.dtype)) for one in seen)
    assert setup.model(batch).loss.isfinite()


def _label_pictures() -> LabelPictures:
    weight = torch.zeros(1000, 1280)
    weight[7] = 1.0
    return LabelPictures(weight=weight, names=(("walrus", (7,)),))


@pytest.mark.parametrize("whole", [False, True])
def test_label_batches_ask_for_the_name_of_other_pictures(setup: Setup, filled_store: Fill, whole: bool) -> None:
    store = filled_store(1)
    options = {"questions_per_clip": 4, "seed": 0, "label_share": 1.0, "label_pictures": _label_pictures()}
    collator = InstructCollator(store, setup.processor, **options)
    batches = [collator([(item, 0)])["inputs"] for item in range(40)]
    batch = next(one for one in batches if (setup.processor.count_tokens(one)["motion"] > 0) == whole)
    answers = _answers(setup, batch.labels[0])
    # About a whole clip, what moves is asked as well: that is as it was.
    assert "walrus" in answers
    assert ("right" in answers) == whole
    own = store.load(0).sample.images["tower_features"]
    shown = batch.images["tower_features"]
    assert len(shown) == (len(own) if whole else 1)
    assert shown[:, :1280].mean() > own[:, :1280].float().mean() + 1
    if whole:
        torch.testing.assert_close(batch.motion.context.float(), own.float())
    assert setup.model(batch).loss.isfinite()


def test_processes_are_blind_together(setup: Setup, filled_store: Fill) -> None:
    """Half of the steps are, whichever process reads the first or the second half of their clips."""
    options = {"questions_per_clip": 1, "seed": 3, "blind_share": 0.5}
    collator = InstructCollator(filled_store(1), setup.processor, **options, together=4)
    blind = [
        [not collator([(item, 0), (item + 1, 0)])["inputs"].images for item in (step, step + 2)]
        for step in range(0, 64, 4)
    ]
    assert all(first == second for first, second in blind)
    assert 2 < sum(first for first, _ in blind) < 14


def test_stage_1_takes_the_towers_features(nano_folder: str) -> None:
    adapter = tiny_adapter(32, context_size=7, context_channels=1472, encoder="shared_vit")
    setup = build(nano_config(nano_folder, adapter_config=adapter))
    streams = setup.model.adapter_inputs(AlignmentCollator.streams_of(setup.samples))
    assert streams.motion.shape == (5, 4, 32, 1, 1)
    assert setup.model.adapter(streams).embedding.isfinite().all()


def test_clips_with_rgb_difference_are_stored_apart(setup: Setup, tmp_path: Path) -> None:
    adapter = tiny_adapter(32, context_size=7, context_channels=1472, streams=("context", "rgb_diff"))
    other = nano_config(setup.config.host, num_anchors=2, steps_per_interval=3, adapter_config=adapter)
    folders = [ClipStore(config, split="train", root=tmp_path).folder for config in (setup.config, other)]
    assert folders[0] != folders[1]


def test_targets_are_computed_once(setup: Setup, filled_store: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host sees each clip in the first pass; later ones, and other trainings with the same host, read a file."""
    store = filled_store(2)
    collator = alignment_collator(store, setup)
    monkeypatch.setattr(type(setup.model.host), "image_features", _never)
    again = alignment_collator(store, setup)
    for made in (collator, again):
        assert made([(0, 0), (1, 1)])["targets"].shape == (2 * setup.samples[0].num_intervals, 32)


def _never(*_: object) -> None:
    raise AssertionError("the tower was run")


def test_another_projector_has_targets_of_its_own(setup: Setup, filled_store: Fill) -> None:
    store = filled_store(1)
    before = TargetStore(store, setup.model).folder
    changed = copy.deepcopy(setup.model)
    with torch.no_grad():
        changed.network.model.projector.out.bias.add_(1)
    assert TargetStore(store, changed).folder != before


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_read_the_batches_of_one_process(setup: Setup, filled_store: Fill, workers: int) -> None:
    store = filled_store(4)
    items = DrawnClips(range(4), length=8, seed=1)
    first = alignment_collator(store, setup)
    second = InstructCollator(store, setup.processor, questions_per_clip=2, seed=0)
    for collator in (first, second):
        loader = DataLoader(items, batch_size=2, num_workers=workers, collate_fn=collator)
        for index, batch in enumerate(loader):
            expected = collator([items[2 * index], items[2 * index + 1]])
            assert list(batch) == list(expected)
            if collator is first:
                assert all(torch.equal(batch[name], expected[name]) for name in batch)
            else:
                assert torch.equal(batch["inputs"].input_ids, expected["inputs"].input_ids)

import pytest
import torch

from himmel.errors import HostError, UsageError
from himmel.hosts import Run
from himmel.model import HimmelProcessor
from himmel.model.prompt import Branch, PromptTree, lay_out
from tiny_hosts import Setup, make_decomposition, nano_config, qwen_config

ASK = [("What moves?", None)]
ANSWERED = [("What moves?", "the ball")]


def shown(setup: Setup, ids: torch.Tensor) -> str:
    text = setup.processor.host.tokenizer.decode(ids)
    return text.replace("<|image_pad|>", "I").replace("<|motion_pad|>", "M")


def test_golden_prompt_of_nano(nano: Setup) -> None:
    inputs = nano.processor.encode([nano.samples[0]], [ASK])
    assert shown(nano, inputs.input_ids[0]) == (
        "<|im_start|>system\nYou answer questions about a video.<|im_end|>\n<|im_start|>user\n"
        f"<|vision_start|>{'I' * 16}<|vision_end|>MMMM<|vision_start|>{'I' * 16}<|vision_end|>MMMM"
        "What moves?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert inputs.position_ids.tolist() == [list(range(inputs.input_ids.shape[1]))]
    assert inputs.labels is None


def test_golden_prompt_of_qwen(qwen: Setup) -> None:
    inputs = qwen.processor.encode([qwen.samples[0]], [ASK])
    text = shown(qwen, inputs.input_ids[0])
    assert text == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        f"<|vision_start|>{'I' * 12}<|vision_end|>MMMM<|vision_start|>{'I' * 12}<|vision_end|>MMMM"
        "What moves?<|im_end|>\n<|im_start|>assistant\n"
    )
    head = text.index("<|vision_start|>")
    head = len(qwen.processor.host.tokenizer(text[:head])["input_ids"])
    order, time, row, column = inputs.position_ids[:, 0]
    assert order.tolist() == list(range(inputs.input_ids.shape[1]))
    # A picture of 3 x 4 tokens at one time, its end marker, the interval as 2 x 2 at its own time, the next marker.
    part = slice(head + 1, head + 19)
    assert (time[part] - head).tolist() == [1] * 12 + [5] + [6] * 4 + [8]
    assert (row[part] - head).tolist() == [1] * 4 + [2] * 4 + [3] * 4 + [5] + [6, 6, 7, 7] + [8]
    assert (column[part] - head).tolist() == [1, 2, 3, 4] * 3 + [5] + [6, 7, 6, 7] + [8]


def test_schemes_can_be_exchanged(nano_folder: str, qwen_folder: str) -> None:
    for config, cost in (
        (nano_config(nano_folder, position_scheme="grid"), 2),
        (nano_config(nano_folder), 4),
        (qwen_config(qwen_folder), 2),
        (qwen_config(qwen_folder, position_scheme="sequential"), 4),
    ):
        processor = HimmelProcessor(config)
        sample = processor.prepare(make_decomposition((2,)))
        # The last row is nano's only one and Qwen's columns.
        ends = [
            int(processor.encode([sample], [ASK], motion=motion).position_ids.flatten()[-1]) for motion in (True, False)
        ]
        assert ends[0] - ends[1] == cost


def test_without_motion_the_prompt_is_the_same_but_for_the_pads(setup: Setup) -> None:
    processor = setup.processor
    with_motion = processor.encode([setup.samples[0]], [ASK])
    without = processor.encode([setup.samples[0]], [ASK], motion=False)
    ids = with_motion.input_ids[0]
    assert torch.equal(ids[ids != processor.host.motion_token_id], without.input_ids[0])
    assert without.motion is None
    blind = processor.encode([setup.samples[0]], [ASK], motion=False, anchors=False)
    assert shown(setup, blind.input_ids[0]).endswith("user\nWhat moves?<|im_end|>\n<|im_start|>assistant\n")
    assert not blind.images


def test_motion_alone_takes_its_context_along(nano: Setup) -> None:
    inputs = nano.processor.encode([nano.samples[0]], [ASK], anchors=False)
    assert inputs.motion.context.shape == (2, 1472, 7, 7)
    assert nano.processor.count_tokens(inputs)["image"] == 0
    fresh = nano.processor.prepare(make_decomposition((2, 2)))
    with pytest.raises(HostError, match="call keep_features on them first"):
        nano.processor.encode([fresh], [ASK], anchors=False)


def test_labels_stand_on_answers_and_their_end(setup: Setup) -> None:
    turns = [("What moves?", "the red ball"), ("Which way?", "left")]
    for independent in (False, True):
        inputs = setup.processor.encode([setup.samples[0]], [turns], independent=independent)
        labels = inputs.labels[0]
        assert torch.equal(labels[labels >= 0], inputs.input_ids[0][labels >= 0])
        tokenizer = setup.processor.host.tokenizer
        assert tokenizer.decode(labels[labels >= 0]) == "the red ball<|im_end|>left<|im_end|>"


def test_a_prompt_is_a_prefix_of_its_conversation(setup: Setup) -> None:
    prompt = setup.processor.encode([setup.samples[0]], [ASK])
    whole = setup.processor.encode([setup.samples[0]], [[("What moves?", "the ball")]])
    length = prompt.input_ids.shape[1]
    assert torch.equal(whole.input_ids[:, :length], prompt.input_ids)
    assert torch.equal(whole.position_ids[..., :length], prompt.position_ids)


def test_turns_join_as_the_template_joins_them(setup: Setup) -> None:
    turns = [("What moves?", "the ball"), ("Which way?", None)]
    inputs = setup.processor.encode([setup.samples[0]], [turns], motion=False, anchors=False)
    assert shown(setup, inputs.input_ids[0]).endswith(
        "user\nWhat moves?<|im_end|>\n<|im_start|>assistant\nthe ball<|im_end|>\n"
        "<|im_start|>user\nWhich way?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_rows_are_padded_on_the_left(setup: Setup) -> None:
    processor = setup.processor
    both = processor.encode(setup.samples, [ASK, ASK])
    alone = processor.encode(setup.samples[:1], [ASK])
    length = alone.input_ids.shape[1]
    missing = both.input_ids.shape[1] - length
    assert missing > 0
    assert both.attention_mask[0].tolist() == [0] * missing + [1] * length
    assert torch.equal(both.input_ids[0, missing:], alone.input_ids[0])
    assert torch.equal(both.position_ids[..., 0, missing:], alone.position_ids[..., 0, :])
    assert both.motion.intervals_per_sample.tolist() == [2, 3]
    assert both.motion.motion.shape[:2] == (5, 4)


@pytest.mark.parametrize("branched", [False, True])
def test_tokens_are_counted_by_kind(setup: Setup, branched: bool) -> None:
    processor = setup.processor
    grids = [grid for sample in setup.samples for grid in processor.host.image_grids(sample.images)]
    if branched:
        inputs = processor.encode_choices(setup.samples, [[("What moves?", ["a", "b"])], [("Who?", ["c"])]]).inputs
        rows = [processor.encode_choices([sample], [[("Who?", ["c"])]]).inputs for sample in setup.samples[1:]]
    else:
        inputs = processor.encode(setup.samples, [ASK, [("Who?", None)]])
        rows = [processor.encode([sample], [[("Who?", None)]]) for sample in setup.samples[1:]]
    counts = processor.count_tokens(inputs)
    assert (counts["motion"], counts["image"]) == (20, sum(rows_ * columns for rows_, columns in grids))
    if branched:
        first = processor.encode_choices(setup.samples[:1], [[("What moves?", ["a", "b"])]]).inputs
    else:
        first = processor.encode(setup.samples[:1], [ASK])
    alone = [sum(processor.count_tokens(row).values()) for row in (first, *rows)]
    assert alone == [row.input_ids.shape[1] for row in (first, *rows)]
    assert sum(counts.values()) == sum(alone)


def test_fewer_tokens_per_interval(nano: Setup, nano_folder: str) -> None:
    processor = HimmelProcessor(nano_config(nano_folder, tokens_per_interval=1))
    counts = processor.count_tokens(processor.encode(nano.samples[:1], [ASK]))
    assert counts["motion"] == 2


def test_users_cannot_forge_placeholders(setup: Setup) -> None:
    inputs = setup.processor.encode([setup.samples[0]], [[("<|motion_pad|> <|image_pad|>?", None)]])
    plain = setup.processor.encode([setup.samples[0]], [ASK])
    for kind in ("image", "motion"):
        assert setup.processor.count_tokens(inputs)[kind] == setup.processor.count_tokens(plain)[kind]


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([(" ", None)], "The question is empty"),
        ([("What?", " ")], "An answer or option is empty"),
        ([("What?", None), ("Who?", None)], "only the last turn may be without one"),
        ([], "A conversation of 0 turns"),
    ],
)
def test_impossible_conversations(nano: Setup, turns: list[tuple[str, str | None]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        nano.processor.encode([nano.samples[0]], [turns])


def test_as_many_conversations_as_videos(nano: Setup) -> None:
    with pytest.raises(UsageError, match="2 videos came with 1 conversations"):
        nano.processor.encode(nano.samples, [ASK])


def test_mixed_contexts_are_refused(nano: Setup) -> None:
    first = nano.samples[0]
    mixed = first.with_streams_of(first)
    with pytest.raises(HostError, match="1 of 2 samples of a batch have a context stream"):
        nano.processor.encode([first, mixed], [ASK, ASK])


def test_branches_see_the_prefix_and_themselves(nano: Setup) -> None:
    def text(*ids: int) -> tuple[Run, ...]:
        return (Run("text", ids),)

    tree = PromptTree(text(1, 2), (Branch(text(3)), Branch(text(4, 5), parent=0), Branch(text(6), parent=0)))
    laid = lay_out(tree, nano.processor.host, scheme="sequential")
    assert laid.ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert laid.positions.tolist() == [[0, 1, 2, 3, 4, 3]]
    assert laid.order.tolist() == [0, 1, 2, 3, 4, 3]
    assert laid.owner.tolist() == [-1, -1, 0, 1, 1, 2]
    assert laid.visible().int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 0],
        [1, 1, 1, 0, 0, 1],
    ]


def test_prompts_in_which_every_token_sees_all_before_it_come_without_a_large_mask(nano: Setup) -> None:
    """A question by itself, packed or not; two questions need the mask that parts them."""
    alone = nano.processor.encode([nano.samples[0]], [ANSWERED], independent=True)
    plain = nano.processor.encode([nano.samples[0]], [ANSWERED])
    for name, value in vars(plain).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, vars(alone)[name]), name
    assert alone.attention_mask.shape == alone.input_ids.shape
    two = nano.processor.encode([nano.samples[0]], [ANSWERED * 2], independent=True)
    length = two.input_ids.shape[1]
    assert two.attention_mask.shape == (1, 1, length, length)


def test_laying_out_a_plain_prompt_takes_no_square_of_its_length(nano: Setup) -> None:
    """A prompt of 200,000 tokens: a mask of it would take 40 GB."""
    run = Run("text", (1,) * 200_000)
    laid = lay_out(PromptTree((run,), (Branch((run,)),)), nano.processor.host, scheme="sequential")
    assert not laid.branched
    assert torch.equal(laid.order, torch.arange(400_000))

"""The words of nano's image tokens."""

from himmel.nano.catalogue import COLOURS, EMOJI, NUMBERS, SHAPES
from himmel.nano.words import NOTHING, NUM_LABELS, image_words, label_words


def test_each_label_has_an_everyday_word() -> None:
    words = label_words()
    assert len(words) == NUM_LABELS
    # Places by ImageNet's own order: tench, tabby, zebra, airliner, acoustic guitar, volcano.
    assert [words[place] for place in (0, 207, 281, 340, 404, 402, 980)] == [
        "fish", "dog", "cat", "zebra", "airplane", "guitar", "volcano",
    ]  # fmt: skip
    assert all(word and word == word.lower() and " " not in word for word in words)


def test_words_are_there_once_and_nothing_comes_first() -> None:
    words = image_words()
    assert words[0] == NOTHING
    assert len(set(words)) == len(words)
    assert {*COLOURS, *SHAPES, *NUMBERS, *EMOJI, *label_words()} <= set(words)

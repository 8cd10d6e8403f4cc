"""A question as the model is asked it: its wording with or without its options, and what is scored as an answer."""

from dataclasses import dataclass
from string import ascii_uppercase
from typing import Final, get_args

from himmel._checks import check_choice, check_options, check_question
from himmel.choices import AnswerForm, Listing, Scoring
from himmel.errors import UsageError

DEFAULT_LISTING: Final[Listing] = "none"
DEFAULT_ANSWER_FORM: Final[AnswerForm] = "text"
_ASK_FOR_LETTER: Final = "Answer with the option's letter from the given choices directly."
_ASK_FOR_TEXT: Final = "Answer with one of the options, word for word."


@dataclass(frozen=True)
class Question:
    """One question about a video or a picture.

    Attributes:
        text: what is asked, without the options; or a whole prompt that names them already (with `listing="none"`).
        choices: the options in their order, at least two different ones; empty where the model answers in its own
            words.
        scoring: how an option's likelihood becomes its score, see `himmel.model.scoring.weigh`; None: as suits the
            host, see `Host.scoring`.
        listing: whether the prompt lists the options: not at all, one a line, or one a line behind a letter.
        answer_form: whether an option's text is scored or its letter; letters must be listed.
        before: earlier turns about the same video, the question and the answer of each; not with options.

    Raises:
        UsageError: a question, an option or an earlier answer is empty, a name does not exist, letters are asked for
            and not listed, there are more options than letters, or options come after earlier turns.
    """

    text: str
    choices: tuple[str, ...] = ()
    scoring: Scoring | None = None
    listing: Listing = DEFAULT_LISTING
    answer_form: AnswerForm = DEFAULT_ANSWER_FORM
    before: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        check_question(self.text)
        # A tuple of its own: the caller may change a list later.
        object.__setattr__(self, "choices", check_options(self.choices))
        for question, answer in self.before:
            check_question(question)
            if not answer.strip():
                raise UsageError("An answer of an earlier turn is empty; give a text for each.")
        if self.before and self.choices:
            raise UsageError("Options came with earlier turns; ask about them without any.")
        if self.scoring is not None:
            check_choice("scoring", self.scoring, get_args(Scoring))
        check_choice("listing", self.listing, get_args(Listing))
        check_choice("answer_form", self.answer_form, get_args(AnswerForm))
        if self.answer_form == "letter" and self.listing != "letters":
            raise UsageError(
                f"answer_form='letter' with listing={self.listing!r} asks for letters that the prompt does not show; "
                "use listing='letters'."
            )
        if self.listing == "letters" and len(self.choices) > len(ascii_uppercase):
            raise UsageError(
                f"{len(self.choices)} options are more than the {len(ascii_uppercase)} letters; use listing='texts'."
            )

    @property
    def letters(self) -> tuple[str, ...]:
        """A, B, C and so on, one for each option."""
        return tuple(ascii_uppercase[: len(self.choices)])

    @property
    def prompt(self) -> str:
        """What is asked: the question, and below it the options and how to answer, where they are listed."""
        if not self.choices or self.listing == "none":
            return self.text
        lines = [choice.strip() for choice in self.choices]
        if self.listing == "letters":
            lines = [f"{letter}. {line}" for letter, line in zip(self.letters, lines, strict=True)]
        how = _ASK_FOR_LETTER if self.answer_form == "letter" else _ASK_FOR_TEXT
        return "\n".join([self.text.strip(), *lines, how])

    @property
    def targets(self) -> tuple[str, ...]:
        """The answers whose likelihood is computed, one for each option."""
        return self.letters if self.answer_form == "letter" else self.choices

"""Errors meant for the person at the keyboard: one sentence with what is wrong, the offending value, and what to do."""


class HimmelError(Exception):
    """A failure that the user can act on; the CLI prints its message without a traceback and exits with `exit_code`."""

    exit_code = 1


class UsageError(HimmelError):
    """An argument or option is wrong for any input (exit code 2)."""

    exit_code = 2


class PromptTooLongError(UsageError):
    """A prompt takes more positions than the host was made for."""


class MissingPackageError(HimmelError, ImportError):
    """Something needs a package of an extra that is not installed, such as torch in a plain install."""


class VideoError(HimmelError):
    """A file cannot be read as a video, or its pictures cannot be decoded."""


class HostError(HimmelError):
    """A host, an adapter or a checkpoint is missing, damaged or does not fit."""


class RecipeError(HimmelError):
    """A recipe is missing, malformed or asks for something that does not exist."""

    exit_code = 2

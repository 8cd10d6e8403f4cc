"""The command `himmel`: its verbs, and what it says when one fails."""

import os
import sys
import traceback
from typing import Annotated, NoReturn

import typer

import himmel
from himmel._garbage import leave_the_rest_to_the_system
from himmel._install import missing_package
from himmel._trouble import explain
from himmel.cli.ask import ask
from himmel.cli.audit import audit
from himmel.cli.budget import budget
from himmel.cli.cache import cache_app
from himmel.cli.compress import compress
from himmel.cli.deploy import card, merge, push
from himmel.cli.describe import describe
from himmel.cli.doctor import doctor
from himmel.cli.evaluate import eval_app
from himmel.cli.interrupt import EXIT_CODE, interruptible, tell
from himmel.cli.nano import nano_app
from himmel.cli.params import params
from himmel.cli.plot import plot
from himmel.cli.prepare import prepare
from himmel.cli.recipe import recipe_app, train_app
from himmel.cli.report import report
from himmel.cli.serve import serve
from himmel.cli.streams import streams
from himmel.cli.studio import studio
from himmel.cli.view import view
from himmel.cli.watch import watch
from himmel.errors import HimmelError

app = typer.Typer(
    name="himmel",
    help="Ask a video: motion is read from what the file already stores, not from every frame.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
# In the order of the help.
app.command(rich_help_panel="Videos")(ask)
app.command(rich_help_panel="Videos")(describe)
app.command(rich_help_panel="Videos")(streams)
app.command(rich_help_panel="Videos")(view)
app.command(rich_help_panel="Videos")(watch)
app.command(rich_help_panel="Videos")(studio)
app.command(rich_help_panel="Videos")(audit)
app.command(rich_help_panel="Videos")(compress)
app.command(rich_help_panel="This machine")(doctor)
app.command(rich_help_panel="This machine")(serve)
app.command(rich_help_panel="Costs")(budget)
app.command(rich_help_panel="Costs")(params)
app.command(rich_help_panel="Training")(prepare)
app.add_typer(train_app, name="train", rich_help_panel="Training")
app.command(rich_help_panel="Training")(plot)
app.command(rich_help_panel="Training")(report)
app.command(rich_help_panel="Publishing")(merge)
app.command(rich_help_panel="Publishing")(card)
app.command(rich_help_panel="Publishing")(push)
app.add_typer(nano_app, name="nano", rich_help_panel="This machine")
app.add_typer(cache_app, name="cache", rich_help_panel="Training")
app.add_typer(recipe_app, name="recipe", rich_help_panel="Training")
app.add_typer(eval_app, name="eval", rich_help_panel="Training")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"himmel {himmel.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the code an error comes from.")] = False,
) -> None:
    # Both options are read elsewhere: --version by its callback, --debug by `main`, which outlives this call.
    del version, debug


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command; any error becomes one sentence on stderr and an exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if "torch" not in sys.modules:
        # Read when torch is loaded: its threads wait without computing, which is ten times as fast beside other work.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        # About a tenth of a millisecond: most waits are shorter, and putting a thread to sleep costs as much.
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    leave_the_rest_to_the_system()
    # Only before the verb; behind it, the word may be part of a question.
    debug = arguments[:1] == ["--debug"]
    try:
        with interruptible():
            code = app(arguments, prog_name="himmel", standalone_mode=False)
            # What is still in Python's own buffer may not fit where stdout goes.
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of a pipe has gone, as `head` does.
        _drop_stdout()
        sys.exit(1)
    except KeyboardInterrupt:
        code = EXIT_CODE
    except HimmelError as error:
        _fail(str(error), error.exit_code, debug=debug)
    except typer.TyperException as error:
        _fail(_sentence_about_usage(error, arguments), error.exit_code, debug=debug)
    except Exception as error:
        _fail(_sentence_about(error), 1, debug=debug)
    # Typer, too, turns KeyboardInterrupt into this code.
    if code == EXIT_CODE:
        tell()
    # Verbs return nothing; Typer returns the code of an early end, as that of --version.
    sys.exit(code or 0)


def _sentence_about_usage(error: typer.TyperException, arguments: list[str]) -> str:
    said = " ".join(error.format_message().split()).replace("Value error, ", "").rstrip(".")
    if not said:
        # The verb was left out, and its group's help is printed already.
        return ""
    verbs = [*(command.callback.__name__ for command in app.registered_commands if command.callback is not None)]
    groups = [str(group.name) for group in app.registered_groups]
    words = [word for word in arguments if not word.startswith("-")]
    verb = words[:2] if words[:1] and words[0] in groups else words[:1] if words and words[0] in verbs else []
    return f"{said}; see `{' '.join(['himmel', *verb, '--help'])}`."


def _sentence_about(error: Exception) -> str:
    outside = explain(error)
    if outside is not None:
        return outside
    missing = missing_package(error) if isinstance(error, ModuleNotFoundError) else None
    if missing is not None:
        return str(missing)
    sentence = f"unexpected {type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
    return f"{sentence}; please report it with the output of `himmel --debug ...`."


def _fail(sentence: str, exit_code: int, *, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    if sentence:
        typer.echo(f"himmel: {sentence}", err=True)
    try:
        sys.stdout.flush()
    except OSError:
        _drop_stdout()
    sys.exit(exit_code)


def _drop_stdout() -> None:
    """Let go of what stdout still holds, or Python would try to write it once more when it ends, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

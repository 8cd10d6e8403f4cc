"""VLMEvalKit with one more model, as it has no plug-ins: adds the model and calls VLMEvalKit's own `run.py`.

In a checkout of VLMEvalKit, with options of its own behind `--`:

`python -m himmel.serving.vlmeval --method dense --option num_frames=32 --host Qwen/Qwen2.5-VL-3B-Instruct -- --data
Video-MME_64frame`
"""

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from functools import partial

from himmel._checks import check_whole
from himmel._options import read_options
from himmel.errors import HimmelError, UsageError

# VLMEvalKit treats models by parts of their names, and results of two models must not go by the same one.
_TAKEN = ("Qwen2-VL", "Qwen2.5-VL", "Qwen2.5-Omni", "Llama-4", "llava_onevision")
_MAX_NEW_TOKENS = 512


def main(arguments: Sequence[str] | None = None) -> int:
    """Run VLMEvalKit; returns the exit code: 0, 1 (failed), 2 (bad usage).

    Args:
        arguments: as on the command line, which None reads.
    """
    parser = argparse.ArgumentParser(
        prog="python -m himmel.serving.vlmeval",
        description="Evaluate a host by a method of himmel with VLMEvalKit; run this in VLMEvalKit's checkout.",
        allow_abbrev=False,
    )
    parser.add_argument("--method", default="himmel", help="name of a method (default: himmel)")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the method")
    parser.add_argument("--host", help="folder or repository name of a host")
    parser.add_argument("--adapter", help="checkpoint folder")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 or mps")
    parser.add_argument("--name", help="under which results are kept (default: himmel-METHOD)")
    parser.add_argument("--max-new-tokens", type=int, default=_MAX_NEW_TOKENS, help="most tokens of an answer")
    parser.add_argument("rest", nargs="*", metavar="...", help="behind `--`: options of VLMEvalKit, such as --data")
    given = parser.parse_args(arguments)
    try:
        _launch(given)
    except HimmelError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _launch(given: argparse.Namespace) -> None:
    name = given.name or f"himmel-{given.method}"
    taken = next((part for part in _TAKEN if part in name), None)
    if taken is not None:
        raise UsageError(
            f"The name {name!r} contains {taken!r}, which VLMEvalKit treats in its own way; choose another."
        )
    if "--model" in given.rest or "--config" in given.rest:
        raise UsageError("--model and --config would choose other models; leave them out, and use --name for a name.")
    options = read_options(given.option, {})
    check_whole("max_new_tokens", given.max_new_tokens, 1, 2**20)
    if importlib.util.find_spec("vlmeval") is None or importlib.util.find_spec("run") is None:
        raise UsageError("VLMEvalKit's run.py is not here; change to the folder of its checkout and run this there.")
    run = importlib.import_module("run")
    from himmel.serving.vlmeval_model import HimmelVLM

    run.supported_VLM[name] = partial(
        HimmelVLM,
        max_new_tokens=given.max_new_tokens,
        method=given.method,
        options=options,
        host=given.host,
        adapter=given.adapter,
        device=given.device,
    )
    run.load_env()
    sys.argv = ["run.py", *given.rest, "--model", name]
    run.main()


if __name__ == "__main__":
    sys.exit(main())

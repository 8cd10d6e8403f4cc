"""The command `himmel`, which stops in the middle of its work, so that a test finds it there on a slow machine."""

_HELD = """
import time
import {module} as module
whole = module.track
def track(items, **options):
    for number, item in enumerate(whole(items, **options), start=1):
        yield item
        if number == {count}:
            time.sleep(3600)
module.track = track
from himmel.cli import main
main()
"""


def held_command(module: str, *, count: int) -> str:
    """Python code of the command.

    Args:
        module: of the work whose progress is tracked.
        count: items after which it does no more and does not end either.
    """
    return _HELD.format(module=module, count=count)

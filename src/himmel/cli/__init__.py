"""The command line: one command, a verb for each job, a module for each group of verbs.

A module of this package imports torch, transformers, PyAV and the like only inside the verb that needs them, so that
help and light verbs answer at once.
"""

from himmel.cli.app import main

__all__ = ["main"]

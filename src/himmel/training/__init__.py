"""Stage 1, stage 2 and the data they learn from."""

from himmel.training.recipe import Recipe, load_recipe
from himmel.training.run import run_recipe

__all__ = ["Recipe", "load_recipe", "run_recipe"]

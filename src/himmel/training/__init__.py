"""Stage 1, stage 2 and the data they learn from."""

from himmel.training.plan import Stage, plan_stages
from himmel.training.recipe import Recipe
from himmel.training.resolve import resolve_recipe

__all__ = ["Recipe", "Stage", "plan_stages", "resolve_recipe"]

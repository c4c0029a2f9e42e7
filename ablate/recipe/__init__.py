"""Recipes: YAML → `Recipe` → variants → `Settings` → fingerprint.

Errors have line numbers. Nothing here imports torch or the user's code.
"""

from ablate.recipe.fingerprint import ENGINE_VERSION, code_files, fingerprint, identity, run_fingerprint
from ablate.recipe.problems import Position, Problem, RecipeError
from ablate.recipe.recipe import Recipe
from ablate.recipe.schema import recipe_schema
from ablate.recipe.settings import Choice, Monitor, Settings, differences
from ablate.recipe.variant import Change, Compare, Variant

__all__ = [
    "ENGINE_VERSION",
    "Change",
    "Choice",
    "Compare",
    "Monitor",
    "Position",
    "Problem",
    "Recipe",
    "RecipeError",
    "Settings",
    "Variant",
    "code_files",
    "differences",
    "fingerprint",
    "identity",
    "recipe_schema",
    "run_fingerprint",
]

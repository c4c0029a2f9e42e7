"""Whether data can be grouped as asked, and whether networks, losses, metrics and tricks suit them, said before anything trains."""

from __future__ import annotations

from ablate.data.data import Data
from ablate.data.dataset import Spec
from ablate.data.load import known_spec
from ablate.losses.loss import Loss
from ablate.metrics.metric import Metric
from ablate.models.model import Model
from ablate.recipe import Problem, Recipe, RecipeError
from ablate.recipe.settings import Choice
from ablate.tricks.trick import Trick


def check_fit(recipe: Recipe) -> None:
    """Raise `RecipeError` with a line for each network, loss, metric or trick of a row that its data do not allow, and for data that cannot be grouped so.

    Asks only data whose facts are known without reading them (`Data.spec`); the job asks again, of all data.
    """
    problems: dict[str, Problem] = {}
    for variant in (*recipe.variants, *recipe.needed):
        settings = variant.settings
        try:
            spec = known_spec(settings.data)
        except ValueError as error:
            problems.setdefault(str(error), Problem(variant.position, f"{variant.name}: {error}"))
            continue
        for choice in (settings.data, settings.model, settings.loss, *settings.metrics, *settings.tricks):
            try:
                _check(choice, spec)
            except ValueError as error:
                # rows that inherit it would only say it again
                problems.setdefault(str(error), Problem(variant.position, f"{variant.name}: {error}"))
    if problems:
        raise RecipeError(list(problems.values()))


def _check(choice: Choice, spec: Spec | None) -> None:
    options = choice.options
    if isinstance(options, Data):
        options.check()
    elif spec is not None and isinstance(options, Trick):
        options.check(spec)
    elif spec is not None and isinstance(options, Loss | Metric | Model):
        options.check(str(choice.name), spec)

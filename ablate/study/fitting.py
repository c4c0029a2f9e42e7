"""Whether networks, losses, metrics and tricks suit the data, said before anything trains."""

from __future__ import annotations

from ablate.data.load import known_spec
from ablate.losses.loss import Loss
from ablate.metrics.metric import Metric
from ablate.models.model import Model
from ablate.recipe import Problem, Recipe, RecipeError
from ablate.tricks.trick import Trick


def check_fit(recipe: Recipe) -> None:
    """Raise `RecipeError` with a line for each network, loss, metric or trick of a row that its data do not allow.

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
        if spec is None:
            continue
        for choice in (settings.model, settings.loss, *settings.metrics, *settings.tricks):
            if isinstance(choice.options, Loss | Metric | Model | Trick):
                try:
                    if isinstance(choice.options, Trick):
                        choice.options.check(spec)
                    elif isinstance(choice.options, Model):
                        choice.options.for_data(str(choice.name), spec)
                    else:
                        choice.options.check(str(choice.name), spec)
                except ValueError as error:
                    # rows that inherit it would only say it again
                    problems.setdefault(str(error), Problem(variant.position, f"{variant.name}: {error}"))
    if problems:
        raise RecipeError(list(problems.values()))

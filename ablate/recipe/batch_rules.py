"""Which settings of `batch` fit data, network and loss, as far as the recipe says it."""

from __future__ import annotations

from collections.abc import Mapping

from ablate.recipe.node import show
from ablate.recipe.settings import BatchForm, Choice, Training


def odd_batch(training: Training, choices: Mapping[str, Choice | None]) -> tuple[str, str] | None:
    """The section that is wrong, and what is wrong with it; None if all fits."""
    batch = training.batch
    for kind, keys in (("data", ("inputs", "targets", "collate", "per_epoch")), ("model", ("call", "output"))):
        choice = choices[kind]
        if choice is not None and choice.target is None:
            for key in keys:
                if getattr(batch, key) != BatchForm.model_fields[key].default:
                    return "batch", f"batch.{key} requires {kind} with a target. Remove it."
    model, loss = choices["model"], choices["loss"]
    if loss is not None and loss.name == "from_model" and model is not None and model.target is None:
        what = f"requires a network that computes its own loss, but model (={model.name}) does not"
        return "loss", f"loss (=from_model) {what}. Use a model with a target, or another loss."
    if batch.per_epoch is not None:
        what = f"batch.per_epoch (={batch.per_epoch}) reads an IterableDataset in its own order"
        for key in ("shuffle", "workers", "loader"):
            given = getattr(training, key)
            if given != Training.model_fields[key].default and given != "streamed":
                return key, f"{what}, so {key} (={show(given)}) has no effect. Remove {key}."
    return None

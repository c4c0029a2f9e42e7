"""Load the data of a recipe, from a named dataset or a custom target."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ablate.data.data import Data
from ablate.data.dataset import Parts, Spec
from ablate.data.reconstruction import reconstructed, reconstructed_spec
from ablate.data.shared import key_of, taken
from ablate.data.side_effects import Surroundings
from ablate.data.split import Fold, in_fold
from ablate.data.user import SHARED_OUT, from_target, knows_folds
from ablate.recipe.folds import Folds
from ablate.recipe.settings import BatchForm, Choice, Settings
from ablate.registry.lazy import torch

STEADY = 42
"""Seed of the global random generators while custom data are loaded."""


def load_parts(
    choice: Choice,
    folder: Path | None,
    folds: Folds | None = None,
    number: int | None = None,
    *,
    double: bool = False,
    form: BatchForm | None = None,
) -> Parts:
    """Read and split; with ``folds``, fold ``number`` is the validation set. ``double``: floats in float64.
    ``form``: the parts of the samples of custom data.

    A target is imported from the recipe's ``folder`` and called, unless another process has called it and shares what
    it returned (`ablate.data.shared`); only jobs do this.

    ``notes`` of the result include the number of samples per split. Raises ValueError (one line).
    """
    fold = None if folds is None or number is None else Fold(folds, number)
    if choice.target is not None:
        where = f"data.target (={choice.target})"
        with steady_generators():
            choice.resolve(folder)  # importing the module may be part of what other custom code needs
            if (ready := taken(choice, folder, double=double, form=form)) is None:
                parts = from_target(choice, folder, fold, double=double, form=form)
            else:
                parts = ready if fold is None else in_fold(ready, fold, SHARED_OUT, where)
        check_targets(parts, where)
        return parts
    if fold is None and (ready := taken(choice, folder, double=double, form=form)) is not None:
        return ready
    data = choice.built_in(Data).of_precision(double=double)
    parts = (data if fold is None else data.of_fold(fold)).load()
    if data.reconstruct:
        parts = reconstructed(parts, torch.float64 if double else torch.float32)
    check_targets(parts, f"data (={choice.name})")
    counts = {name: len(part) for name in ("train", "valid", "test") if (part := getattr(parts, name)) is not None}
    return replace(parts, notes={**counts, **parts.notes})


def load_whole(
    choice: Choice, folder: Path | None, folds: Folds | None, *, double: bool, form: BatchForm | None
) -> tuple[Parts | None, bool]:
    """The data before they are split into ``folds``, and whether they are all that loading left behind.

    None if each fold has data of its own. Custom data are not checked. Raises as `load_parts`.
    """
    if choice.target is None:
        return load_parts(choice, folder, double=double, form=form), True
    with steady_generators():
        function = choice.resolve(folder)
        if folds is not None and knows_folds(function):
            return None, False
        before = Surroundings()
        parts = from_target(choice, folder, double=double, form=form)
        return parts, before.are_as_now()


def data_of(settings: Settings, folder: Path | None, folds: Folds | None, loaded: dict[str, Parts]) -> Parts:
    """The data of some settings (of the first fold); ``loaded`` keeps the last dataset. Raises as `load_parts`."""
    double = settings.precision == "float64"
    key = key_of(settings.data, folder, double=double, form=settings.batch)
    if key not in loaded:
        loaded.clear()  # one dataset at a time
        loaded[key] = load_parts(settings.data, folder, folds, 0, double=double, form=settings.batch)
    return loaded[key]


def check_targets(parts: Parts, where: str) -> None:
    """Raise ValueError (one line) if a target is infinite, or all of a training or validation set are missing: every
    training would diverge. Streamed data are not checked.
    """
    for name, split, part in (
        ("train", "training", parts.train),
        ("valid", "validation", parts.valid),
        ("test", "test", parts.test),
    ):
        if part is None or not isinstance(part.targets, torch.Tensor) or not part.targets.is_floating_point():
            continue
        if bool((bad := part.targets.isinf()).any()):
            place = int(bad.reshape(len(bad), -1).any(1).to(torch.uint8).argmax())
            sample = place if part.rows is None else int(part.rows[place])
            raise ValueError(
                f"{where} has an infinite target in sample {sample} of the {split} set. Replace it, or use NaN if it "
                "is missing."
            )
        if name != "test" and bool(part.targets.isnan().all()):
            raise ValueError(f"{where} has no targets in the {split} set: all are missing (NaN). Add targets.")


def known_spec(choice: Choice) -> Spec | None:
    """The facts that are known without reading data or running custom code, or None.

    Raises ValueError (one line) for invalid settings.
    """
    if not isinstance(choice.options, Data) or (spec := choice.options.spec()) is None:
        return None
    return reconstructed_spec(spec) if choice.options.reconstruct else spec


@contextmanager
def steady_generators() -> Iterator[None]:
    """Sets the global generators (torch's, NumPy's, Python's) to a fixed state, and restores them afterwards.

    A custom function that splits or samples without its own seed then returns the same data in every run, variant and
    command.
    """
    import random

    import numpy as np

    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(STEADY)
        np.random.seed(STEADY)
        random.seed(STEADY)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])

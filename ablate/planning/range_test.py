"""A learning-rate range test, and short trainings with the rates that it leaves: which learning rate to try first.

Smith 2017, Cyclical Learning Rates for Training Neural Networks, section 3.3: the loss over a learning rate that grows
exponentially. The usual suggestions are read off this curve, but which of them is right depends on the optimizer and
the network. So rates around and below the lowest loss, each half of the one before, are tried in a short training
each. Short trainings favor high learning rates: of those that are about as good, the geometric mean is suggested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ablate.planning.helper_process import asked
from ablate.recipe.folds import Folds
from ablate.recipe.settings import Choice, Settings
from ablate.recipe.tuning import RESERVED
from ablate.recipe.variant import Variant
from ablate.trainers.trainer import OwnTrainer, trainer_of

if TYPE_CHECKING:
    from ablate.data.dataset import Parts
    from ablate.engine.contract import Assignment

Floats = NDArray[np.float64]

STEPS, LOW, HIGH = 140, 1e-6, 10.0
"""The steps of the range test, 20 for each power of ten, and its learning rates."""

TRIAL, EVALUATED = 100, (80, 90, 100)
"""Steps of each short training, and those after which it is evaluated."""

TRIED = 7
"""The number of rates that are tried: twice the one with the lowest loss, it, half of it …"""

CLOSE = 4 / 3
"""Rates whose validation loss is at most this many times the lowest one are about as good. Set on four trainings of the
digits and two of real faces, with a grid of rates each (docs/diagnosis.md).
"""

WIDTH = 9
"""Points over which the curve is smoothed, with Hann weights, which do not shift it."""

STOP = 4.0
"""The curve ends at this many times its lowest point (fastai, ``LRFinder``)."""

SMALL = 10**6
"""Parameters below which one thread is enough."""

SIGNIFICANT = 2
"""Digits of the suggested rate."""


@dataclass(frozen=True)
class Found:
    """The result for one variant. ``rates`` and ``losses`` (n,) are the smoothed curve of the range test, over the
    median of ``seeds``; ``usual`` the suggestions read off it; ``tried`` maps rates to the validation losses of
    short trainings (infinite if they diverged). ``suggested`` is None if none of them learns anything.
    ``noise_scale``: the gradient noise scale in samples (McCandlish et al. 2018), None if it is not known.
    """

    rates: Sequence[float]
    losses: Sequence[float]
    usual: Mapping[str, float]
    tried: Mapping[float, float]
    suggested: float | None
    seeds: int
    noise_scale: float | None = None


def check(variant: Variant) -> None:
    """Raises ValueError (one line) for a variant whose training has no learning rate to find."""
    where, settings = f"VARIANT (={variant.name})", variant.settings
    if isinstance(trainer_of(settings), OwnTrainer) or settings.joined:
        raise ValueError(f"{where} must be trained by the built-in loop, which sets the learning rate.")
    if settings.source_rows:
        raise ValueError(f"{where} must not start from the weights of other variants. Use one that does not.")


def find_rate(settings: Settings, folder: Path, folds: Folds | None, count: int) -> Found:
    """The learning rate to try first, with ``count`` seeds. Runs in a helper process, because it needs the user's code.

    Raises ValueError in one line, and what the training would raise.
    """
    return asked(search, [(settings, folder, folds, count)], _refuse)[0]  # type: ignore[return-value]  # no failure


def _refuse(error: str) -> None:
    raise ValueError(error)


def search(settings: Settings, folder: Path, folds: Folds | None, count: int) -> Found:
    """`find_rate`, in this process."""
    from ablate.data.load import load_parts
    from ablate.engine.compute_cost import known_parameters
    from ablate.engine.contract import Assignment
    from ablate.engine.range_test import take_steps
    from ablate.registry.lazy import torch

    fold = None if folds is None else 0
    data = load_parts(settings.data, folder, folds, fold, form=settings.batch)
    seeds = tuple(range(RESERVED, RESERVED + count))
    quick = settings.replace(workers=0, compile=False)
    if (known_parameters(settings, data.spec, folder) or 0) < SMALL:  # several threads would only wait for each other
        torch.set_num_threads(1)
    assignment = Assignment(quick, seeds, folder, fold=fold, folds=folds)
    rates = np.geomspace(LOW, HIGH, STEPS)
    shown, curve = smoothed(rates, take_steps(assignment, data, rates).losses)
    lowest = shown[int(np.argmin(curve))]
    tried = {}
    for rate in (2 * lowest / 2**i for i in range(TRIED)):
        valid = take_steps(assignment, data, np.full(TRIAL, rate), EVALUATED).valid
        tried[float(rate)] = float(np.median(valid)) if np.isfinite(valid).all() else float("inf")
    chosen = choose(tried, float(curve[: WIDTH // 2 + 1].mean()))
    noise = None if chosen is None else noise_scale(assignment, data, chosen)
    return Found(shown.tolist(), curve.tolist(), usual(shown, curve), tried, chosen, count, noise)


def noise_scale(assignment: Assignment, data: Parts, rate: float) -> float | None:
    """The gradient noise scale in a short training with this rate; None if it cannot be measured."""
    from ablate.engine.range_test import take_steps
    from ablate.tracked.gradients import NoiseScale

    watch = Choice("watch", "noise_scale", None, NoiseScale(every=5))
    try:
        watched = replace(assignment, settings=assignment.settings.replace(watch=(watch,)))
        return take_steps(watched, data, np.full(TRIAL, rate)).noise_scale
    except ValueError:
        return None


def smoothed(rates: Floats, losses: Floats) -> tuple[Floats, Floats]:
    """The median over the seeds of losses (R, steps), smoothed, up to where it is `STOP` times its minimum."""
    finite = np.logical_and.reduce(np.isfinite(losses), axis=0)
    n = len(finite) if finite.all() else int(np.argmin(finite))
    if n <= WIDTH:
        raise ValueError("The loss is not finite even at the lowest learning rates. 'ablate check' looks for bugs.")
    weights = np.hanning(WIDTH + 2)[1:-1]
    padded = np.pad(np.median(losses[:, :n], axis=0), WIDTH // 2, mode="edge")
    curve = np.convolve(padded, weights / weights.sum(), "valid")
    over = np.flatnonzero(curve > STOP * np.minimum.accumulate(curve))
    end = int(over[0]) + 1 if len(over) and curve.min() > 0 else n
    return rates[:end], curve[:end]


def usual(rates: Floats, curve: Floats) -> dict[str, float]:
    """The suggestions of fastai's ``lr_find`` for a curve (n,): where it is steepest, in the middle of its longest
    valley, and a tenth of where it is lowest.
    """
    lowest = max(int(np.argmin(curve)), 1)
    slope = np.gradient(curve, np.log(rates))
    return {
        "steepest": float(rates[int(np.argmin(slope[: lowest + 1]))]),
        "valley": float(rates[valley(curve)]),
        "minimum/10": float(rates[lowest] / 10),
    }


def valley(curve: Floats) -> int:
    """The index in the middle of the longest decreasing subsequence, as fastai's ``valley`` has it."""
    n = len(curve)
    lengths = np.ones(n, dtype=int)
    for i in range(1, n):
        before = lengths[:i][curve[:i] > curve[i]]
        lengths[i] = 1 + (int(before.max()) if len(before) else 0)
    end = int(np.argmax(lengths))
    start = max(end - int(lengths[end]), 0)
    third = (end - start) / 3
    return start + int(third) + int(third / 2)


def choose(tried: Mapping[float, float], start: float) -> float | None:
    """The geometric mean of the rates whose loss is close to the lowest; None if no loss is below ``start``."""
    best = min(tried.values())
    if not best < start:
        return None
    limit = best * CLOSE if best > 0 else best + (CLOSE - 1) * (start - best)
    good = [rate for rate, loss in tried.items() if loss <= limit]
    return float(f"{np.exp(np.mean(np.log(good))):.{SIGNIFICANT}g}")

"""The table as numbers: one row per variant, in full precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ablate.evidence.crossed import NoNewSamples
from ablate.evidence.seeds import Tally, Unit
from ablate.evidence.verdicts import Verdict
from ablate.notes.note import Note
from ablate.recipe.measured import LOSSES, TEST_LOSS, Reach
from ablate.recipe.variant import Compare
from ablate.store.places import Axis
from ablate.store.records import Status

ALL_LOSSES = (*LOSSES, TEST_LOSS)
"""Metrics in the unit of a variant's loss."""


@dataclass(frozen=True)
class Row:
    """One variant over its finished seeds. None: not known.

    ``seeds`` counts the finished ones; losses and metrics are means over them, ``_sd`` their standard deviation (ddof
    1, for two seeds or more). ``epochs`` (as trained, with early stopping) and ``best_epoch`` are integers if all
    seeds agree, else their mean; before any seed has finished, ``epochs`` is the setting. ``seconds`` and
    ``device_seconds`` are per seed. ``metrics`` holds name → mean and ``<name>_sd`` → standard deviation.

    ``delta_parent`` (with its interval, p-value, corrected p-value and verdict) and ``delta_baseline`` (with its
    interval) are mean paired differences, this variant minus the other. ``effect_size`` is the former in standard
    deviations over seeds (Hedges' g with the mean variance of the two variants); ``more_seeds`` estimates the number of
    additional seeds for a verdict. ``gain_per_minute`` is the improvement over the baseline per minute of a seed's
    training. ``compared_last`` and ``compared_best`` are the compared metric at those epochs. ``unlike`` notes
    differences from the parent besides the variant's change. ``interaction`` (with its interval, and its p-value
    corrected over the study's interactions) is the effect of the second of two changes on top of the first, minus its
    effect alone. ``steps`` counts the optimizer steps of a seed; ``peak_memory`` (bytes) is the largest of the
    variant's jobs, which the seeds of a stack share. With ``folds``, each seed trained once per fold: values are means
    over a seed's folds; if there is one seed, everything else (``_sd``, intervals, p-values) is over its folds.
    ``reached`` holds, for each entry of the recipe's ``reach``, the median epochs and seconds to it (None if a run
    never reached it) and the number of runs that did.
    """

    variant: str
    parent: str | None = None
    description: str = ""
    changes: tuple[str, ...] = ()
    status: Status = "queued"
    seeds: int = 0
    epochs: float | None = None
    best_epoch: float | None = None
    train_loss: float | None = None
    train_loss_sd: float | None = None
    train_loss_clean: float | None = None
    valid_loss: float | None = None
    valid_loss_sd: float | None = None
    delta_parent: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p_adjusted: float | None = None
    verdict: Verdict | None = None
    delta_baseline: float | None = None
    seconds: float | None = None
    device_seconds: float | None = None
    parameters: int | None = None
    published: Mapping[str, float] | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    tally: Tally = field(default_factory=Tally)
    p: float | None = None
    effect_size: float | None = None
    more_seeds: int | None = None
    baseline_ci_low: float | None = None
    baseline_ci_high: float | None = None
    compared_last: float | None = None
    compared_best: float | None = None
    gain_per_minute: float | None = None
    unlike: tuple[Note, ...] = ()
    interaction: float | None = None
    interaction_low: float | None = None
    interaction_high: float | None = None
    interaction_p: float | None = None
    steps: float | None = None
    peak_memory: float | None = None
    folds: int | None = None
    train_loss_clean_sd: float | None = None
    reached: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def partial(self) -> bool:
        """Whether there are means, but not over all planned seeds."""
        return 0 < self.finished < self.tally.planned and self.status != "diverged"

    @property
    def finished(self) -> int:
        """The number of finished seeds, or of finished folds of one seed."""
        return self.tally.finished if self.tally.unit == "fold" else self.seeds

    @property
    def repeats(self) -> int:
        """The number of values of a standard deviation: `finished`, identical ones once."""
        return self.finished - self.tally.identical

    def value(self, name: str) -> float | None:
        """A loss or a metric by name."""
        return getattr(self, name) if name in LOSSES else self.metrics.get(name)

    def sd(self, name: str) -> float | None:
        """The standard deviation of a loss or a metric over the seeds."""
        return getattr(self, f"{name}_sd") if name in LOSSES else self.metrics.get(f"{name}_sd")


@dataclass(frozen=True)
class Family:
    """What p-values are corrected over: the numbers of the recipe's comparisons and interactions, whether they are
    shown or not, finished or not.

    ``pooled``: whether the variances of comparisons are estimated together.
    """

    comparisons: int = 0
    interactions: int = 0
    pooled: bool = False


@dataclass(frozen=True)
class Table:
    """A study's rows, in the recipe's order. ``metrics`` names all metrics besides the losses, ``recipe_metrics`` those
    that the recipe asks for. Epochs are counted on ``axis``: the user's own training may count steps, or neither.
    ``new_samples("net2")`` is a variant's difference from its parent on new samples, which is computed when it is asked
    for.

    ``print(table)`` shows it with one line per row.
    """

    study: str
    compare: Compare
    rows: tuple[Row, ...]
    metrics: tuple[str, ...] = ()
    description: str = ""
    reach: tuple[Reach, ...] = ()
    recipe_metrics: tuple[str, ...] = ()
    family: Family = field(default_factory=Family)
    axis: Axis = "epoch"
    new_samples: NoNewSamples = field(default_factory=NoNewSamples, compare=False, repr=False)

    def __str__(self) -> str:
        return plain_text(self)

    @property
    def planned(self) -> int:
        """The largest planned number of seeds, or of folds of one seed, of any row."""
        return max((row.tally.planned for row in self.rows), default=0)

    @property
    def unit(self) -> Unit:
        """What standard deviations are over and differences are paired by."""
        return next((row.tally.unit for row in self.rows), "seed")


TITLES = ("variant", "from", "{metric}", "sd", "seeds", "delta_parent", "95% CI", "verdict", "status")
WIDEST = 30
"""The most characters of a name."""


def plain_text(table: Table) -> str:
    """The study and the compared metric in one line, then one line per row, without empty columns."""
    from tabulate import tabulate

    compare = table.compare
    at = "" if compare.at == "selected" else f" at the {compare.at} epoch"
    head = f"{table.study}: {compare.metric}{at}, {compare.better} is better"
    lines = [_cells(row, compare.metric) for row in table.rows]
    titles = [title.format(metric=compare.metric) for title in TITLES]
    kept = [i for i in range(len(titles)) if i == 0 or any(line[i] for line in lines)]
    body = tabulate(
        [[line[i] for i in kept] for line in lines],
        headers=[titles[i] for i in kept],
        tablefmt="simple",
        colalign=["right" if titles[i] in (compare.metric, "sd", "seeds", "delta_parent") else "left" for i in kept]
        if lines
        else None,
        disable_numparse=True,
    )
    return f"{head}\n{body}"


def _cells(row: Row, metric: str) -> list[str]:
    """A row's cells, one for each of `TITLES`."""
    between = None if row.ci_low is None or row.ci_high is None else f"[{row.ci_low:+.3g}, {row.ci_high:+.3g}]"
    return [
        short(row.variant),
        short(row.parent or ""),
        number(row.value(metric), ".4g"),
        number(row.sd(metric), ".2g"),
        str(row.seeds),
        number(row.delta_parent, "+.3g"),
        between or "",
        row.verdict or "",
        row.status,
    ]


def number(value: float | None, format: str) -> str:
    """A number in few digits; empty if it is not known."""
    return "" if value is None else f"{value:{format}}"


def short(name: str) -> str:
    """A name on one line, without control characters, shortened to `WIDEST`."""
    line = "".join(c for c in " ".join(name.split()) if c.isprintable())
    return line if len(line) <= WIDEST else line[: WIDEST - 1] + "…"

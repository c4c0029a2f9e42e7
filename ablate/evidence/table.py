"""The table as numbers: one row per variant, at full precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ablate.evidence.seeds import Tally, Unit
from ablate.evidence.verdicts import Verdict
from ablate.recipe.measured import TEST_LOSS
from ablate.recipe.monitored import LOSSES
from ablate.recipe.reach import Reach
from ablate.recipe.variant import Compare
from ablate.store.records import Status

ALL_LOSSES = (*LOSSES, TEST_LOSS)
"""What is in the unit of a row's loss."""


@dataclass(frozen=True)
class Row:
    """One variant over its finished seeds. None is what is not known.

    ``seeds`` counts the finished ones; losses and metrics are means over them, ``_sd`` their standard deviation (ddof 1, from two seeds on).
    ``epochs`` (as trained, early stops counted) and ``best_epoch`` are whole where all seeds agree, else their mean; before any seed has finished,
    ``epochs`` is what the settings say. ``seconds`` and ``device_seconds`` are per seed. ``metrics`` holds name → mean and ``<name>_sd`` → standard deviation.

    ``delta_parent`` (with its interval, p-value, p-value adjusted over the rows, and verdict) and ``delta_baseline`` (with its interval) are mean paired
    differences, this row minus the other. ``effect_size`` is the former in standard deviations of seeds (Hedges' g with the mean variance of the two rows);
    ``more_seeds`` is about how many would settle what is unclear. ``gain_per_minute`` is how much better than the baseline a row is, for each minute that
    a seed of it trains. ``compared_last`` and ``compared_best`` are the compared metric at those epochs. ``unlike`` says what the row and its parent differ
    in beside the row's change. ``interaction`` (with its interval, and its p-value adjusted over the study's interactions) is what the second of two changes
    is worth on top of the first, less what it is worth alone. ``steps`` are the optimizer's, of a seed; ``peak_memory`` (bytes) is the most that any of the
    row's jobs took, which the seeds of a stack share. With ``folds``, each seed trained once a fold: values are means over a seed's folds, and of one
    seed alone everything else (``_sd``, intervals, p-values) is over its folds. ``reached`` holds, for each mark of the recipe's ``reach``, the median epochs
    and seconds to it (None where some run never came there) and how many runs did.
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
    notes: tuple[str, ...] = ()
    tally: Tally = field(default_factory=Tally)
    p: float | None = None
    effect_size: float | None = None
    more_seeds: int | None = None
    baseline_ci_low: float | None = None
    baseline_ci_high: float | None = None
    compared_last: float | None = None
    compared_best: float | None = None
    gain_per_minute: float | None = None
    unlike: tuple[str, ...] = ()
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
        """Whether there are means, but not over all the seeds that were asked for."""
        return 0 < self.repeats < self.tally.planned and self.status != "diverged"

    @property
    def repeats(self) -> int:
        """What deviations are over: finished seeds, or the finished folds of one seed."""
        return self.tally.finished if self.tally.unit == "fold" else self.seeds

    def value(self, name: str) -> float | None:
        """A loss or a metric by name."""
        found: float | None = getattr(self, name) if name in LOSSES else self.metrics.get(name)
        return found

    def sd(self, name: str) -> float | None:
        """The standard deviation of a loss or a metric over the seeds."""
        if name in LOSSES:
            found: float | None = getattr(self, f"{name}_sd", None)
            return found
        return self.metrics.get(f"{name}_sd")

    def dump(self) -> dict[str, Any]:
        """The row in plain JSON values: stable keys, full precision, None for what is not known; metrics follow under their own names.

        A metric that is called like one of the row's own keys appears as ``metric_<name>``.
        """
        keys = [name for name in self.__dataclass_fields__ if name not in ("metrics", "notes", "tally", "reached")]
        tree = {("from" if key == "parent" else key): getattr(self, key) for key in keys}
        tree |= {"changes": list(self.changes), "published": dict(self.published) if self.published else None}
        tree["unlike"] = list(self.unlike)
        tree |= self.reached
        return tree | {(f"metric_{name}" if name in tree else name): value for name, value in self.metrics.items()}


@dataclass(frozen=True)
class Table:
    """A study's rows, in the recipe's order. ``metrics`` names what was measured beside the losses; ``reach`` are the marks that rows are timed to.

    ``print(table)`` shows it in a line per row.
    """

    study: str
    compare: Compare
    rows: tuple[Row, ...]
    metrics: tuple[str, ...] = ()
    description: str = ""
    reach: tuple[Reach, ...] = ()

    def __str__(self) -> str:
        return plain_text(self)

    @property
    def planned(self) -> int:
        """The largest number of seeds, or of folds of one seed, that any row was asked for."""
        return max((row.tally.planned for row in self.rows), default=0)

    @property
    def unit(self) -> Unit:
        """What deviations are over and differences are paired by."""
        return next((row.tally.unit for row in self.rows), "seed")

    def dump(self) -> dict[str, Any]:
        """The table in plain JSON values: ``study``, ``compare`` and ``rows``."""
        compare: dict[str, Any] = {"metric": self.compare.metric, "better": self.compare.better, "at": self.compare.at}
        compare["smallest_effect"] = self.compare.smallest_effect
        return {"study": self.study, "compare": compare, "rows": [row.dump() for row in self.rows]}


TITLES = ("variant", "from", "{metric}", "sd", "seeds", "delta_parent", "95 %", "verdict", "status")
WIDEST = 30
"""Characters of a name."""


def plain_text(table: Table) -> str:
    """The study and what it compares in one line, then a line for each row; columns that are empty throughout are left out."""
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
    """A row's texts, one for each of `TITLES`."""
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
    """A number in few digits, nothing for what is not known."""
    return "" if value is None else f"{value:{format}}"


def short(name: str) -> str:
    """A name on one line, without control characters, its end left out where it is long."""
    line = "".join(c for c in " ".join(name.split()) if c.isprintable())
    return line if len(line) <= WIDEST else line[: WIDEST - 1] + "…"

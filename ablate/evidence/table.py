"""The table as numbers: one row per variant, in full precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ablate.evidence.crossed import NoNewSamples
from ablate.evidence.diagnosis import NoDiagnosis
from ablate.evidence.paired import LEVEL
from ablate.evidence.seeds import Tally, Unit
from ablate.evidence.trick_table import TrickTable
from ablate.evidence.verdicts import Verdict
from ablate.notes.note import Note
from ablate.recipe.looks import Looks
from ablate.recipe.measured import LOSSES, TEST_LOSS, Reach
from ablate.recipe.variant import Compare
from ablate.store.checked import EarlierScatter, Look
from ablate.store.places import Axis
from ablate.store.records import Status, Step

ALL_LOSSES = (*LOSSES, TEST_LOSS)
"""Metrics in the unit of a variant's loss."""


@dataclass(frozen=True)
class TopUp:
    """Seeds that were added after a verdict was shown, and the comparison with the parent on these ``seeds`` alone.

    ``low`` and ``high`` are its interval, which covers 1 − ``level``. A ``p_adjusted`` below ``level`` is significant.
    """

    seeds: tuple[int, ...]
    delta: float
    low: float | None
    high: float | None
    level: float
    p_adjusted: float | None
    verdict: Verdict | None


@dataclass(frozen=True)
class Row:
    """One variant over its finished seeds. None: not known.

    ``seeds`` counts the finished ones; losses and metrics are means over them, ``_sd`` their standard deviation (ddof
    1, for two seeds or more). ``epochs`` (as trained, with early stopping) and ``best_epoch`` are integers if all
    seeds agree, else their mean; before any seed has finished, ``epochs`` is the setting. ``seconds`` and
    ``device_seconds`` are per seed. ``metrics`` holds name → mean and ``<name>_sd`` → standard deviation.

    ``delta_parent`` (with its interval, p-value, corrected p-value and verdict) and ``delta_baseline`` (with its
    interval) are mean paired differences, this variant minus the other. ``effect_size`` is the former in standard
    deviations over seeds (Hedges' g with the mean variance of the two variants). If the verdict is unclear,
    ``detectable`` is the smallest effect that ``detectable_seeds`` seeds would show. ``judged_seeds`` are those of the
    verdict if it is not on all finished seeds, ``look`` (from 1) is the declared look that it is from, and the interval
    covers 1 − ``level``. ``top_ups`` are the comparisons on seeds that were added after a verdict was shown, and
    ``delta_all`` the mean difference over all seeds. ``gain_per_minute`` is the improvement over the baseline per
    minute of a seed's training. ``compared_last`` and ``compared_best`` are the compared metric at those epochs.
    ``unlike`` notes differences from the parent besides the variant's change. ``interaction`` (with its interval, and
    its p-value corrected over the study's interactions) is the effect of the second of two changes on top of the first,
    minus its effect alone. ``steps`` counts the optimizer steps of a seed; ``peak_memory`` (bytes) is the largest of
    the variant's jobs, which the seeds of a stack share. With ``folds``, each seed trained once per fold: values are
    means over a seed's folds; if there is one seed, everything else (``_sd``, intervals, p-values) is over its folds.
    With ``tune``, ``tried`` candidates were trained with ``tried_seeds`` reserved seeds each, ``chosen`` are the
    settings of the best one, by path, and ``tied`` those within one standard error of it. ``total_device_seconds`` are
    those of all runs, with ``tuning_device_seconds`` of the candidates.
    ``failed`` counts the seeds that failed by the recipe's ``compare.failed`` (None without it). If any did, the
    ``median`` of the compared metric (over the seeds that ended) takes the place of its mean, and there is no verdict.
    With ``compare.scale: log``, differences, their intervals and ``detectable`` are of natural logarithms.
    ``reached`` holds, for each entry of the recipe's ``reach``, the median epochs and seconds to it (None if a run
    never reached it) and the number of runs that did. ``delta_percent`` is ``delta_parent`` in percent of the parent's
    mean over the same seeds; ``best`` tells whether the compared metric is the best or not significantly worse.
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
    detectable: float | None = None
    detectable_seeds: int | None = None
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
    judged_seeds: tuple[int, ...] | None = None
    look: int | None = None
    level: float = LEVEL
    top_ups: tuple[TopUp, ...] = ()
    delta_all: float | None = None
    delta_percent: float | None = None
    best: bool | None = None
    tried: int | None = None
    tried_seeds: int | None = None
    chosen: Mapping[str, float] | None = None
    tied: tuple[Mapping[str, float], ...] = ()
    tuning_device_seconds: float | None = None
    total_device_seconds: float | None = None
    failed: int | None = None
    median: float | None = None

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

    ``pooled``: whether the variances of comparisons are estimated together. ``looks`` are the declared ones. ``key``
    identifies all of it; ``changed``: verdicts have been shown for another one. ``pairing``: how many times more the
    differences would vary if seeds were not paired (`pairing_factor`); None if it is not known. ``unfinished``: results
    are still to come, and each comparison counts twice (`counted`).
    """

    comparisons: int = 0
    interactions: int = 0
    pooled: bool = False
    looks: Looks | None = None
    key: str = ""
    changed: bool = False
    pairing: float | None = None
    unfinished: bool = False


@dataclass(frozen=True)
class SelectedPath:
    """How the design greedy chose the variants: on reserved ``seeds``, which took ``device_seconds``; so far, unless
    ``complete``. Each step has the mean gain in ``metric`` of every trick that it tried, and the one that was kept.
    """

    seeds: tuple[int, ...]
    metric: str
    steps: tuple[Step, ...]
    candidates: int
    device_seconds: float | None
    complete: bool


@dataclass(frozen=True)
class Table:
    """A study's rows, in the recipe's order. ``metrics`` names all metrics besides the losses, ``recipe_metrics`` those
    that the recipe asks for. Epochs are counted on ``axis``: the user's own training may count steps, or neither.
    ``looked`` are the verdicts that it is the first to show, ``prior`` the comparisons of earlier studies whose scatter
    they use. ``tricks`` has the effects of tricks that a design estimates from several variants.
    ``new_samples("net2")`` is a variant's difference from its parent on new samples, which is computed when it is asked
    for, and ``diagnosis("net2")`` what its curves say about its training. ``path`` says how the design greedy chose
    the variants.

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
    looked: tuple[Look, ...] = field(default=(), compare=False, repr=False)
    tricks: TrickTable | None = None
    path: SelectedPath | None = None
    prior: tuple[EarlierScatter, ...] = ()
    new_samples: NoNewSamples = field(default_factory=NoNewSamples, compare=False, repr=False)
    diagnosis: NoDiagnosis = field(default_factory=NoDiagnosis, compare=False, repr=False)

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
    scale = ", differences of logarithms" if compare.log else ""
    head = f"{table.study}: {compare.metric}{compare.when}, {compare.better} is better{scale}"
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
        number(row.value(metric), ".4g") if row.median is None else f"median {row.median:.4g}",
        number(row.sd(metric), ".2g"),
        str(row.seeds),
        number(row.delta_parent, "+.3g"),
        between or "",
        f"{row.failed}/{row.tally.ended} failed" if row.failed else row.verdict or "",
        row.status,
    ]


def number(value: float | None, format: str) -> str:
    """A number in few digits; empty if it is not known."""
    return "" if value is None else f"{value:{format}}"


def short(name: str) -> str:
    """A name on one line, without control characters, shortened to `WIDEST`."""
    line = "".join(c for c in " ".join(name.split()) if c.isprintable())
    return line if len(line) <= WIDEST else line[: WIDEST - 1] + "…"

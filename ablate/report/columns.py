"""All columns of a table, those that it shows by default, their selection by key or title, and the order of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ablate.evidence.seeds import reach_keys
from ablate.evidence.table import Row, Table
from ablate.recipe.measured import LOSSES
from ablate.recipe.variant import MeanOfLast
from ablate.registry import suggestion
from ablate.report.column import (
    Column,
    Value,
    blank,
    delta,
    deviations,
    each,
    numbers,
    outcome,
    published,
    spread,
    starred,
    timed,
    words,
)
from ablate.report.diagnosis import short
from ablate.report.notes import joined, values_text
from ablate.report.numbers import count, deviation, duration, fixed_column, memory, percent, probability, share, tenths
from ablate.report.wording import grouped, plain, signed, status_text, titled, verdict_text

MOST_METRICS = 2
"""Metrics of the recipe that the default table shows; of more, it shows the compared one alone."""

ALIASES = {
    "name": "variant",
    "parent": "from",
    "sd": "spread",
    "± sd": "spread",
    "± sd (n)": "spread",
    "n": "seeds",
    "other_differences": "unlike",
}


class ArgumentError(ValueError):
    """An invalid argument of a function of this room; on the command line, its name is a flag."""


def available(table: Table) -> dict[str, Column]:
    """All columns by key: those of every table, in the order of its JSON, then published numbers, metrics, and columns
    for readers.
    """
    metric, axis = table.compare.metric, table.axis
    new = new_samples(table)
    fixed = [
        words("variant", "Name", lambda row: row.variant),
        words("from", "Parent", lambda row: row.parent),
        words("description", "Description", lambda row: row.description),
        words("changes", "Changes", lambda row: "; ".join(row.changes)),
        replace(
            words("status", "Status", lambda row: row.status),
            texts=lambda table: [plain(status_text(row)) for row in table.rows],
        ),
        numbers("seeds", "Seeds", lambda row: row.seeds, each(count)),
        numbers("folds", "Folds", lambda row: row.folds, lambda values: blank(each(count)(values))),
        numbers("epochs", f"{axis.capitalize()}s", lambda row: row.epochs, each(tenths)),
        numbers("best_epoch", f"Best {axis}", lambda row: row.best_epoch, each(tenths)),
        outcome("train_loss", "Train loss", "train_loss"),
        numbers("train_loss_sd", "Train loss sd", lambda row: row.train_loss_sd, each(deviation)),
        outcome("train_loss_clean", "Train loss (eval mode)", "train_loss_clean"),
        numbers(
            "train_loss_clean_sd", "Train loss (eval mode) sd", lambda row: row.train_loss_clean_sd, each(deviation)
        ),
        outcome("valid_loss", "Validation loss", "valid_loss"),
        numbers("valid_loss_sd", "Validation loss sd", lambda row: row.valid_loss_sd, each(deviation)),
        delta(
            "delta_parent", "Δ parent", lambda row: row.delta_parent, lambda row: row.ci_low, lambda row: row.ci_high
        ),
        delta("ci_low", "CI low", lambda row: row.ci_low),
        delta("ci_high", "CI high", lambda row: row.ci_high),
        numbers("p", "p", lambda row: row.p, each(probability)),
        numbers("p_adjusted", "p (Holm)", lambda row: row.p_adjusted, each(probability)),
        replace(
            words("verdict", "Verdict", lambda row: row.verdict),
            texts=lambda table: [verdict_text(row, log=table.compare.log) for row in table.rows],
        ),
        delta("detectable", "Detectable", lambda row: row.detectable),
        numbers(
            "detectable_seeds", "Detectable with", lambda row: row.detectable_seeds, lambda v: blank(each(count)(v))
        ),
        numbers("look", "Look", lambda row: row.look, lambda values: blank(each(count)(values))),
        numbers("effect_size", "Effect size", lambda row: row.effect_size, lambda values: [signed(v) for v in values]),
        delta(
            "delta_baseline",
            "Δ baseline",
            lambda row: row.delta_baseline,
            lambda row: row.baseline_ci_low,
            lambda row: row.baseline_ci_high,
        ),
        delta("baseline_ci_low", "Δ baseline CI low", lambda row: row.baseline_ci_low),
        delta("baseline_ci_high", "Δ baseline CI high", lambda row: row.baseline_ci_high),
        delta(
            "delta_new_samples",
            "Δ on new samples",
            new["delta_new_samples"],
            new["new_samples_low"],
            new["new_samples_high"],
        ),
        delta("new_samples_low", "Δ on new samples CI low", new["new_samples_low"]),
        delta("new_samples_high", "Δ on new samples CI high", new["new_samples_high"]),
        numbers("new_samples_share", "Share of the samples", new["new_samples_share"], each(share)),
        numbers("compared_last", f"{titled(metric)} (last)", lambda row: row.compared_last, fixed_column),
        numbers("compared_best", f"{titled(metric)} (best)", lambda row: row.compared_best, fixed_column),
        numbers("delta_percent", "Δ %", lambda row: row.delta_percent, lambda values: [percent(v) for v in values]),
        numbers("seconds", "Seconds", lambda row: row.seconds, each(duration)),
        numbers("device_seconds", "Device seconds", lambda row: row.device_seconds, each(duration)),
        numbers(
            "tuning_device_seconds", "Device seconds to tune", lambda row: row.tuning_device_seconds, each(duration)
        ),
        numbers("total_device_seconds", "Device seconds in all", lambda row: row.total_device_seconds, each(duration)),
        replace(
            numbers("tried", "Tried", lambda row: row.tried, each(count)),
            texts=lambda table: [f"{row.tried} × {row.tried_seeds}" if row.tried else "" for row in table.rows],
        ),
        words("chosen", "Chosen", lambda row: values_text(row.chosen or {})),
        numbers("steps", "Steps", lambda row: row.steps, each(grouped)),
        numbers("peak_memory", "Peak memory", lambda row: row.peak_memory, each(memory)),
        numbers("parameters", "Parameters", lambda row: row.parameters, each(grouped)),
        numbers(
            "gain_per_minute",
            "Gain per minute",
            lambda row: row.gain_per_minute,
            lambda values: blank(fixed_column(values)),
        ),
        words("unlike", "Other differences", lambda row: joined(row.unlike, row.tally.unit)),
        starred(
            delta(
                "interaction",
                "Interaction",
                lambda row: row.interaction,
                lambda row: row.interaction_low,
                lambda row: row.interaction_high,
            )
        ),
        delta("interaction_low", "Interaction CI low", lambda row: row.interaction_low),
        delta("interaction_high", "Interaction CI high", lambda row: row.interaction_high),
        numbers("interaction_p", "Interaction p (Holm)", lambda row: row.interaction_p, each(probability)),
        numbers("failed", "Failed", lambda row: row.failed, lambda values: blank(each(count)(values))),
        numbers("median", f"{titled(metric)} (median)", lambda row: row.median, lambda v: blank(fixed_column(v))),
    ]
    if table.compare.log:  # so that data files say what their differences are
        fixed.append(words("scale", "Scale", lambda row: table.compare.scale))
    for mark in table.reach:
        epochs, seconds, runs = reach_keys(mark)
        sign = "≤" if mark.better == "lower" else "≥"
        goal = f"{titled(mark.metric, inside=True)} {sign} {mark.value:g}"
        fixed += [timed(epochs, f"{axis.capitalize()}s to {goal}", runs), timed(seconds, f"Seconds to {goal}", runs)]
        fixed.append(came(runs, f"Runs to {goal}"))
    readers = [
        spread(table),
        published("published", published_title(table), published_metric(table)),
        words("notes", "Notes", lambda row: joined(row.notes, row.tally.unit)),
        words("diagnosis", "Diagnosis", lambda row: short(table.diagnosis(row.variant))),
    ]
    quoted = dict.fromkeys(name for row in table.rows for name in row.published or {})
    taken = {column.key for column in (*fixed, *readers)}
    measured: list[Column] = []
    for name in table.metrics:
        key = f"metric_{name}" if name in taken else name
        measured += [outcome(key, titled(name), name), deviations(f"{name}_sd", name)]
    columns = [
        *fixed,
        *(published(f"published_{n}", f"Published {titled(n, inside=True)}", n) for n in quoted),
        *measured,
    ]
    known = {column.key: column for column in (*columns, *readers)}
    key = metric_key(known, metric)
    if isinstance(table.compare.at, MeanOfLast) and key in known:
        known[key] = replace(known[key], title=f"{known[key].title} ({table.compare.at.words})")
    return known


def new_samples(table: Table) -> dict[str, Callable[[Row], float | None]]:
    """The values that are computed from single samples when they are asked for, by key."""

    def of(name: str) -> Callable[[Row], float | None]:
        return lambda row: getattr(table.new_samples(row.variant), name, None)

    keys = {"delta_new_samples": "delta", "new_samples_low": "low", "new_samples_high": "high"}
    return {key: of(name) for key, name in (keys | {"new_samples_share": "sample_share"}).items()}


def came(key: str, title: str) -> Column:
    """The number of runs that reached a value."""
    return numbers(key, title, lambda row: row.reached.get(key), each(count))


def data_keys(table: Table) -> list[str]:
    """The columns of a data file: all but those that repeat others, and the diagnosis, which reads all curves."""
    return [key for key in available(table) if key not in ("spread", "published", "diagnosis")]


def default_keys(table: Table) -> list[str]:
    """Losses, the compared metric and the recipe's metrics (up to `MOST_METRICS`), statistics over seeds, and the
    status if a row is not finished.
    """
    keys = ["variant", "description", "epochs", "train_loss", "valid_loss"]
    metric, columns = table.compare.metric, available(table)
    compared = metric if metric in LOSSES or metric not in table.metrics else metric_key(columns, metric)
    if compared not in keys and compared in columns:
        keys.append(compared)
    several = table.planned > 1
    if several:
        keys.insert(keys.index(compared) + 1 if compared in keys else len(keys), "spread")
    own = [metric_key(columns, name) for name in table.recipe_metrics if name in table.metrics]
    if len(own) <= MOST_METRICS:
        keys += [key for key in own if key not in keys]
    if any(row.published for row in table.rows):
        beside = metric_key(columns, published_metric(table))
        place = keys.index(beside) + 1 if beside in keys else len(keys)
        keys.insert(place + (keys[place : place + 1] == ["spread"]), "published")
    if several:
        keys += ["delta_parent", "verdict"]
    if any(row.interaction is not None for row in table.rows):
        keys.append("interaction")
    if tested(table) is not None and (key := metric_key(columns, str(tested(table)))) not in keys:
        keys.append(key)
    keys += [key for mark in table.reach for key in reach_keys(mark)[:2]]
    if any(row.tried for row in table.rows):
        keys += ["tried", "total_device_seconds"]
    if any(row.status != "finished" for row in table.rows):
        keys.append("status")
    return keys


def tested(table: Table) -> str | None:
    """The compared metric on the test set, if it was measured."""
    metric = table.compare.metric
    name = metric if metric.startswith("test_") else "test_loss" if metric in LOSSES else f"test_{metric}"
    return name if name in table.metrics else None


def metric_key(columns: dict[str, Column], name: str) -> str:
    """The key of a loss's or metric's column."""
    return f"metric_{name}" if f"metric_{name}" in columns else name


def published_metric(table: Table) -> str:
    """The published metric that is shown: the compared one if a row has it, else validation loss, else the first."""
    names = list(dict.fromkeys(name for row in table.rows for name in row.published or {}))
    return next((name for name in (table.compare.metric, "valid_loss", *names) if name in names), "valid_loss")


def published_title(table: Table) -> str:
    """``Published``, with the metric's name if it is not the one in the column before."""
    name = published_metric(table)
    return "Published" if name in ("valid_loss", table.compare.metric) else f"Published {titled(name, inside=True)}"


def select_columns(
    table: Table, names: Sequence[str] | None = None, sort: str | None = None
) -> tuple[Table, list[Column]]:
    """The sorted table, and the selected columns (by key or title).

    ``sort`` names a column, with a minus before it to sort in descending order; rows without a value come last. Raises
    ValueError for unknown names.
    """
    columns = available(table)
    chosen = [columns[find(columns, name, "columns")] for name in names or default_keys(table)]
    if not sort:
        return table, chosen
    by = columns[find(columns, sort.removeprefix("-"), "sort")]
    known = [row for row in table.rows if by.value(row) not in (None, "")]
    rest = [row for row in table.rows if by.value(row) in (None, "")]
    known.sort(key=lambda row: order(by.value(row)), reverse=sort.startswith("-"))
    return replace(table, rows=(*known, *rest)), chosen


def order(value: Value) -> tuple[float, str]:
    """Numbers by size, text without regard to case."""
    return (0.0, value.casefold()) if isinstance(value, str) else (value or 0.0, "")


def find(columns: dict[str, Column], name: str, flag: str) -> str:
    """The key of the column ``name``. Raises ValueError with the nearest one."""
    wanted = name.strip()
    if wanted in columns:
        return wanted
    folded = wanted.casefold().replace("-", "_")
    called = {spelling.casefold(): key for key, column in columns.items() for spelling in (column.title, key)} | ALIASES
    for spelling in (folded, folded.replace(" ", "_"), wanted.casefold()):
        if spelling in called:
            return called[spelling]
    near = suggestion(folded, [*columns, *ALIASES])
    hint = f"Did you mean '{near}'?" if near else f"Available: {', '.join(columns)}."
    raise ArgumentError(f"{flag} (={wanted}) is not a column of this table. {hint}")

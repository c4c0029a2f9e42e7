"""The columns that a table can show, and those that it shows unless told otherwise."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from ablate.evidence.more_seeds import MOST
from ablate.evidence.paired import LEVEL
from ablate.evidence.table import LOSSES, Row, Table
from ablate.registry import suggestion
from ablate.report.numbers import UNKNOWN, count, deviation, difference, duration, fixed_column, places, probability
from ablate.report.status import status_text

PARTIAL = "†"
"""Marks a mean over fewer seeds than were asked for. It stands before the number, so that decimals stay aligned."""

UNLIKE = "‡"
"""Marks a difference to a parent that is unlike the row in more than the row's change."""

FOUND = "*"
"""Marks an interaction that is more than chance."""

Value = str | float | None
Alignment = Literal["left", "right"]


@dataclass(frozen=True)
class Column:
    """One column. ``value`` gives a row's plain value, for sorting and data files; ``texts`` gives the cells of all rows, so that decimals agree."""

    key: str
    title: str
    alignment: Alignment
    value: Callable[[Row], Value]
    texts: Callable[[Table], list[str]]


class Cells(NamedTuple):
    """A table as text: what every renderer starts from."""

    titles: list[str]
    rows: list[list[str]]
    alignments: list[Alignment]


class ArgumentError(ValueError):
    """An argument of a function of this room that is wrong, by its name: the command line calls it ``--name``."""


ALIASES = {"name": "variant", "parent": "from", "sd": "spread", "n": "seeds"}


def words(key: str, title: str, value: Callable[[Row], str | None]) -> Column:
    """A column of text."""
    return Column(key, title, "left", value, lambda table: [plain(value(row) or "") for row in table.rows])


def numbers(
    key: str, title: str, value: Callable[[Row], float | None], texts: Callable[[Iterable[float | None]], list[str]]
) -> Column:
    """A column of numbers."""
    return Column(key, title, "right", value, lambda table: texts(value(row) for row in table.rows))


def each(text: Callable[[float | None], str]) -> Callable[[Iterable[float | None]], list[str]]:
    """Format numbers one by one."""
    return lambda values: [text(value) for value in values]


def outcome(key: str, title: str, name: str) -> Column:
    """A column of means of a loss or a metric; those over fewer seeds than planned carry the mark."""

    def texts(table: Table) -> list[str]:
        shown = fixed_column(row.value(name) for row in table.rows)
        marked = (row.partial and row.value(name) is not None for row in table.rows)
        return [PARTIAL + text if mark else text for text, mark in zip(shown, marked, strict=True)]

    return Column(key, title, "right", lambda row: row.value(name), texts)


def spread(name: str) -> Column:
    """``± sd (n)`` of the compared metric."""

    def text(row: Row) -> str:
        if row.value(name) is None:
            return ""
        n = f"({row.seeds}/{row.tally.planned})" if row.partial else f"({row.seeds})"
        return f"±{deviation(row.sd(name))} {n}" if row.sd(name) is not None else n

    return Column(
        "spread", "± sd (n)", "right", lambda row: row.sd(name), lambda table: [text(row) for row in table.rows]
    )


Number = Callable[[Row], float | None]


def delta(key: str, title: str, value: Number, low: Number | None = None, high: Number | None = None) -> Column:
    """Differences in the compared metric, as fine as the metric itself is shown, or finer where they need it; with an interval if there is one."""

    def texts(table: Table) -> list[str]:
        decimals = delta_places(table, value)
        return [
            (UNLIKE if row.unlike and key == "delta_parent" and value(row) is not None else "")
            + difference(value(row), low(row) if low else None, high(row) if high else None, decimals)
            for row in table.rows
        ]

    return Column(key, title, "right", value, texts)


def delta_places(table: Table, value: Number) -> int:
    """Decimals of differences: as many as the metric itself is shown with, or more where they need them."""
    base = places(row.value(table.compare.metric) for row in table.rows)
    return max(base, min(base + 2, places((value(row) for row in table.rows), 2)))


def starred(column: Column) -> Column:
    """Interactions with a mark before those that are found."""

    def texts(table: Table) -> list[str]:
        found = (row.interaction_p is not None and row.interaction_p < LEVEL for row in table.rows)
        return [FOUND + text if mark else text for mark, text in zip(found, column.texts(table), strict=True)]

    return replace(column, texts=texts)


def verdict_text(row: Row) -> str:
    """The verdict; where it is unclear, with about how many more seeds it would take."""
    if row.verdict != "unclear" or row.p_adjusted is None:
        return row.verdict or ""
    if row.more_seeds is None:
        return f"unclear (>{MOST} more seeds)"
    return f"unclear (≈{row.more_seeds} more seed{'s' if row.more_seeds > 1 else ''})"


def published(key: str, title: str, name: str) -> Column:
    """What a publication gives for a metric."""
    return numbers(
        key, title, lambda row: (row.published or {}).get(name), lambda values: blank(fixed_column(list(values)))
    )


def blank(texts: list[str]) -> list[str]:
    """Leave out what nobody claims."""
    return ["" if text == UNKNOWN else text for text in texts]


def available(table: Table) -> dict[str, Column]:
    """All columns by key: those of every table, in the order of its JSON, then published numbers, metrics, and texts for readers."""
    metric = table.compare.metric
    fixed = [
        words("variant", "Name", lambda row: row.variant),
        words("from", "From", lambda row: row.parent),
        words("description", "Description", lambda row: row.description),
        words("changes", "Changes", lambda row: "; ".join(row.changes)),
        replace(
            words("status", "Status", lambda row: row.status),
            texts=lambda table: [plain(status_text(row)) for row in table.rows],
        ),
        numbers("seeds", "Seeds", lambda row: row.seeds, each(count)),
        numbers("epochs", "Epochs", lambda row: row.epochs, each(count)),
        numbers("best_epoch", "Best epoch", lambda row: row.best_epoch, each(count)),
        outcome("train_loss", "Train loss", "train_loss"),
        numbers("train_loss_sd", "Train loss sd", lambda row: row.train_loss_sd, each(deviation)),
        outcome("train_loss_clean", "Train loss (clean)", "train_loss_clean"),
        outcome("valid_loss", "Valid loss", "valid_loss"),
        numbers("valid_loss_sd", "Valid loss sd", lambda row: row.valid_loss_sd, each(deviation)),
        delta(
            "delta_parent", "Δ parent", lambda row: row.delta_parent, lambda row: row.ci_low, lambda row: row.ci_high
        ),
        delta("ci_low", "95 % from", lambda row: row.ci_low),
        delta("ci_high", "95 % to", lambda row: row.ci_high),
        numbers("p", "p", lambda row: row.p, each(probability)),
        numbers("p_adjusted", "p (Holm)", lambda row: row.p_adjusted, each(probability)),
        replace(
            words("verdict", "Verdict", lambda row: row.verdict),
            texts=lambda table: [verdict_text(row) for row in table.rows],
        ),
        numbers("more_seeds", "More seeds", lambda row: row.more_seeds, lambda values: blank(each(count)(values))),
        numbers("effect_size", "Effect (sd)", lambda row: row.effect_size, lambda values: [signed(v) for v in values]),
        delta(
            "delta_baseline",
            "Δ baseline",
            lambda row: row.delta_baseline,
            lambda row: row.baseline_ci_low,
            lambda row: row.baseline_ci_high,
        ),
        delta("baseline_ci_low", "Δ baseline from", lambda row: row.baseline_ci_low),
        delta("baseline_ci_high", "Δ baseline to", lambda row: row.baseline_ci_high),
        numbers("compared_last", f"{titled(metric)} (last)", lambda row: row.compared_last, fixed_column),
        numbers("compared_best", f"{titled(metric)} (best)", lambda row: row.compared_best, fixed_column),
        numbers("seconds", "Seconds", lambda row: row.seconds, each(duration)),
        numbers("device_seconds", "Device seconds", lambda row: row.device_seconds, each(duration)),
        numbers("parameters", "Parameters", lambda row: row.parameters, each(grouped)),
        numbers(
            "gain_per_minute",
            "Gain a minute",
            lambda row: row.gain_per_minute,
            lambda values: blank(fixed_column(values)),
        ),
        words("unlike", "Unlike its parent", lambda row: "; ".join(row.unlike)),
        starred(
            delta(
                "interaction",
                "Interaction",
                lambda row: row.interaction,
                lambda row: row.interaction_low,
                lambda row: row.interaction_high,
            )
        ),
        delta("interaction_low", "Interaction from", lambda row: row.interaction_low),
        delta("interaction_high", "Interaction to", lambda row: row.interaction_high),
        numbers("interaction_p", "Interaction p (Holm)", lambda row: row.interaction_p, each(probability)),
    ]
    readers = [
        spread(metric),
        published("published", published_title(table), published_metric(table)),
        words("notes", "Notes", lambda row: "; ".join(row.notes)),
    ]
    quoted = dict.fromkeys(name for row in table.rows for name in row.published or {})
    taken = {column.key for column in (*fixed, *readers)}
    measured: list[Column] = []
    for name in table.metrics:
        key = f"metric_{name}" if name in taken else name
        measured += [outcome(key, titled(name), name), deviations(f"{name}_sd", name)]
    columns = [*fixed, *(published(f"published_{n}", f"Published {titled(n).lower()}", n) for n in quoted), *measured]
    return {column.key: column for column in (*columns, *readers)}


def deviations(key: str, name: str) -> Column:
    """Standard deviations of a metric."""
    return numbers(key, f"{titled(name)} sd", lambda row: row.sd(name), each(deviation))


def data_keys(table: Table) -> list[str]:
    """The columns of a data file: all but those that only repeat others for readers."""
    return [key for key in available(table) if key not in ("spread", "published")]


def default_keys(table: Table) -> list[str]:
    """The classic table, then what several seeds say, published numbers beside ours, and the status where some row is not finished."""
    keys = ["variant", "description", "epochs", "train_loss", "valid_loss"]
    metric, columns = table.compare.metric, available(table)
    compared = metric if metric in LOSSES or metric not in table.metrics else metric_key(columns, metric)
    if compared not in keys and compared in columns:
        keys.append(compared)
    several = table.planned > 1
    if several:
        keys.insert(keys.index(compared) + 1 if compared in keys else len(keys), "spread")
    if any(row.published for row in table.rows):
        beside = metric_key(columns, published_metric(table))
        place = keys.index(beside) + 1 if beside in keys else len(keys)
        keys.insert(place + (keys[place : place + 1] == ["spread"]), "published")
    if several:
        keys += ["delta_parent", "verdict"]
    if any(row.interaction is not None for row in table.rows):
        keys.append("interaction")
    if any(row.status != "finished" for row in table.rows):
        keys.append("status")
    return keys


def metric_key(columns: dict[str, Column], name: str) -> str:
    """The key of a loss's or metric's column."""
    return f"metric_{name}" if f"metric_{name}" in columns else name


def published_metric(table: Table) -> str:
    """Which published number stands beside ours: the compared one where a row has it, else the valid loss, else the first there is."""
    names = list(dict.fromkeys(name for row in table.rows for name in row.published or {}))
    return next((name for name in (table.compare.metric, "valid_loss", *names) if name in names), "valid_loss")


def published_title(table: Table) -> str:
    """``Published``, and of what where that is not the number before it."""
    name = published_metric(table)
    return "Published" if name in ("valid_loss", table.compare.metric) else f"Published {titled(name).lower()}"


def select_columns(
    table: Table, names: Sequence[str] | None = None, sort: str | None = None
) -> tuple[Table, list[Column]]:
    """The table in the order asked for, and the columns asked for (by key or title).

    ``sort`` names a column, with a minus before it for the largest first; rows without a value come last. Raises ValueError for unknown names.
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
    """The key of the column that is called ``name``. Raises ValueError with the nearest one there is."""
    wanted = name.strip()
    if wanted in columns:
        return wanted
    folded = wanted.casefold().replace("-", "_")
    called = {spelling.casefold(): key for key, column in columns.items() for spelling in (column.title, key)} | ALIASES
    for spelling in (folded, folded.replace(" ", "_"), wanted.casefold()):
        if spelling in called:
            return called[spelling]
    near = suggestion(folded, [*columns, *ALIASES])
    hint = f"Did you mean '{near}'?" if near else f"There are {', '.join(columns)}."
    raise ArgumentError(f"{flag} (={wanted}) is not a column of this table. {hint}")


def cells(table: Table, columns: Sequence[Column]) -> Cells:
    """Titles, rows of text and alignments."""
    texts = [column.texts(table) for column in columns]
    rows = [list(row) for row in zip(*texts, strict=True)]
    return Cells([plain(column.title) for column in columns], rows, [column.alignment for column in columns])


def plain(text: str) -> str:
    """Text on one line, without control and direction-changing characters: names come from anywhere, terminals obey too much."""
    kept = (
        c
        for c in " ".join(text.split())
        if unicodedata.category(c) != "Cc" and c not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )
    return "".join(kept)


def titled(name: str) -> str:
    """``valid_loss`` as ``Valid loss``."""
    spaced = name.replace("_", " ")
    return spaced[:1].upper() + spaced[1:]


def signed(value: float | None) -> str:
    """An effect size, to two decimals."""
    return "" if value is None else f"{value:+.2f}"


def grouped(value: float | None) -> str:
    """A large count with its thousands apart."""
    return count(value) if value is None else f"{round(value):,}"

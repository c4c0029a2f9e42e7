"""A table as plain text, for a look at it in Python; `ablate.report` has the one for readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablate.evidence.table import Row, Table

TITLES = ("variant", "from", "{metric}", "sd", "seeds", "delta_parent", "95 %", "verdict", "status")
WIDEST = 30
"""Characters of a name."""


def plain_text(table: Table) -> str:
    """The study and what it compares in one line, then a line for each row; columns that are empty throughout are left out."""
    from tabulate import tabulate

    compare = table.compare
    at = "" if compare.at == "selected" else f" at the {compare.at} epoch"
    head = f"{table.study}: {compare.metric}{at}, {compare.better} is better"
    lines = [cells(row, compare.metric) for row in table.rows]
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


def cells(row: Row, metric: str) -> list[str]:
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

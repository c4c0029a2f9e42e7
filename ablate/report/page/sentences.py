"""The verdict on each variant as a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from ablate.evidence.contrasts import UNDER_WAY
from ablate.evidence.table import Row, Table
from ablate.report.column import delta_places
from ablate.report.columns import available, metric_key
from ablate.report.figure import MINUS
from ablate.report.notes import joined
from ablate.report.numbers import deviation, fixed, probability, ratio_places, times, within
from ablate.report.paper import with_spread
from ablate.report.wording import cover, failed_text, plain, seeds_between, status_text, titled

PREDICATES = {"unclear": "is unclear", "no difference": "makes no difference", "unstable": "is unstable"}
"""Verdicts as predicates; others are verbs."""


@dataclass(frozen=True)
class Sentence:
    """``net2`` (``convolutions``) ``helps``: ``it lowers …``. ``verdict`` is None if there is none."""

    variant: str
    about: str
    predicate: str
    rest: str
    verdict: str | None

    def __str__(self) -> str:
        return f"{self.head} {self.predicate}{': ' if self.rest else ''}{self.rest}."

    @property
    def head(self) -> str:
        return f"{self.variant} ({self.about})" if self.about else self.variant


def sentences(table: Table) -> list[Sentence]:
    """A sentence for each variant of the table, in its order."""
    columns, metric = available(table), table.compare.metric
    column = columns.get(metric_key(columns, metric))
    means = [""] * len(table.rows) if column is None else with_spread(column, metric).texts(table)
    places = delta_places(table, lambda row: row.delta_parent, lambda row: row.ci_low, lambda row: row.ci_high)
    return [sentence(table, *one) for one in zip(table.rows, means, places, strict=True)]


def sentence(table: Table, row: Row, mean: str, decimals: int) -> Sentence:
    """The sentence of a row whose compared metric reads ``mean``."""
    measured = f"{titled(table.compare.metric, inside=True)}{table.compare.when} {mean}"
    effect = effect_text(table, row, decimals)
    if row.verdict == "unstable" or (row.status not in UNDER_WAY and row.status != "finished" and row.verdict is None):
        predicate = PREDICATES["unstable"] if row.verdict else "did not finish"
        return made(row, predicate, status_text(row))
    if row.failed:
        return made(row, "has no verdict", f"{failed_text(row)}; {measured}")
    if row.verdict is not None:
        return made(row, PREDICATES.get(row.verdict, row.verdict), f"{effect}{outlook(table, row)}")
    if row.status != "finished":
        return made(row, "has no verdict yet", status_text(row))
    over = seeds_between([row.seeds])
    if row.parent is None:
        return made(
            row, "is the baseline", f"{measured}, {over}" if row.value(table.compare.metric) is not None else ""
        )
    few = "; verdicts require at least three seeds" if row.tally.unit == "seed" and row.tally.planned < 3 else ""
    return made(row, "has no verdict", (effect or measured) + few)


def made(row: Row, predicate: str, rest: str) -> Sentence:
    """The sentence, with what else differs from the parent."""
    more = (
        f". Other differences: {joined(row.unlike, row.tally.unit)}"
        if row.unlike and row.delta_parent is not None
        else ""
    )
    rest = plain(rest + more).rstrip(".")
    return Sentence(plain(row.variant), plain(row.description), predicate, rest, row.verdict)


def effect_text(table: Table, row: Row, decimals: int) -> str:
    """``it lowers RMSE pixels by 0.907 (95% CI 0.758 to 1.056) compared with net1, p < 0.001``; empty if unknown."""
    if row.delta_parent is None:
        return ""
    name = f"{titled(table.compare.metric, inside=True)}{table.compare.when}"
    ends = [row.delta_parent, *(end for end in (row.ci_low, row.ci_high) if end is not None)]
    clear = row.verdict in ("helps", "hurts")
    if table.compare.log:
        half = (ends[2] - ends[1]) / 2 if len(ends) == 3 else row.delta_parent
        verb, texts = "multiplies", [times(end, ratio_places([half])) for end in ends]
    elif clear:
        verb = "lowers" if row.delta_parent < 0 else "raises"
        sizes = [row.delta_parent, *sorted(ends[1:], key=abs)]
        texts = [fixed(abs(size), decimals) for size in sizes]
    else:
        verb, texts = "changes", [fixed(end, decimals, "+") for end in ends]
    texts = [text.replace("-", MINUS) for text in texts]
    interval = f" ({cover([row])} CI {texts[1]} to {texts[2]})" if len(texts) == 3 else ""
    p = probability(row.p_adjusted)
    tail = f", p {p if p.startswith('<') else f'= {p}'}" if p else ""
    return f"it {verb} {name} by {texts[0]}{interval} compared with {row.parent}{tail}".replace("p <", "p < ")


def outlook(table: Table, row: Row) -> str:
    """What the verdict is based on, if not on all seeds, and what more seeds would show."""
    log, parts = table.compare.log, []
    if row.judged_seeds is not None:
        parts.append(f"on {len(row.judged_seeds)} of {row.finished} seeds")
    if row.verdict == "no difference":
        smallest = table.compare.smallest_effect
        around = "a factor of " if log else "±"
        parts.append("all seeds give the same results" if smallest is None else f"within {around}{smallest:g}")
    if row.verdict == "unclear" and row.detectable is not None:
        size = f"a factor of {within(row.detectable)}" if log else deviation(row.detectable)
        parts.append(f"{row.detectable_seeds} seeds would show an effect of {size}")
    return "".join(f"; {part}" for part in parts)

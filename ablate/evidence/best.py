"""The best variant, and those that are not significantly worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ablate.evidence.confounds import judged
from ablate.evidence.contrasts import contrast, examine
from ablate.evidence.paired import LEVEL, Estimator
from ablate.evidence.seeds import Seeds
from ablate.evidence.table import Row
from ablate.recipe.variant import Compare


def with_best(rows: Sequence[Row], known: Mapping[str, Seeds], compare: Compare, estimate: Estimator) -> list[Row]:
    """The rows, ``best`` set for those that are finished and have the compared metric.

    It is true for the one with the best mean, and for those whose paired difference from it is not significant: the
    test of verdicts, Holm-corrected over these comparisons. Of rows with fewer than three seeds, only those with the
    same mean. Rows on other validation data than the first one, or with another loss if losses are compared, do not
    take part. The best one is chosen by its results, so this describes the table and is no verdict.
    """
    known_rows = [row for row in rows if row.status == "finished" and row.value(compare.metric) is not None]
    variants = [known[row.variant].variant for row in known_rows]
    asked = [row for row, one in zip(known_rows, variants, strict=True) if judged(one, variants[0], compare.metric)]
    if len(asked) < 2:
        return list(rows)
    sign = 1.0 if compare.better == "lower" else -1.0
    first = min(asked, key=lambda row: sign * (row.value(compare.metric) or 0.0))
    others = [row.variant for row in asked if row is not first]
    pairs = {name: contrast(known[name], known[first.variant], compare) for name in others}
    found = examine(pairs, compare.better, None, estimate, len(others))

    def best(row: Row) -> bool:
        p = found[row.variant].judgement.p_adjusted if row.variant in found else None
        return row.value(compare.metric) == first.value(compare.metric) or (p is not None and p >= LEVEL)

    marked = {row.variant: best(row) for row in asked}
    return [replace(row, best=marked.get(row.variant)) for row in rows]

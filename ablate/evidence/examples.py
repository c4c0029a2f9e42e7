"""The validation samples on which two variants differ most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ablate.evidence.new_samples import Load, NoExamples, compared, read_examples
from ablate.evidence.seeds import Seeds
from ablate.recipe.variant import Compare
from ablate.store.records import StudyRecord, VariantRecord


@dataclass(frozen=True)
class ExampleRow:
    """One sample: its ``position`` in the data, its fold and group if there are any, the mean over seeds of the metric
    of each variant, their ``difference`` (the second minus the first) and its standard deviation over seeds.
    """

    position: int
    first: float
    second: float
    difference: float
    sd: float | None
    fold: int | None = None
    group: int | None = None


@dataclass(frozen=True)
class Examples:
    """The samples with the largest differences between two variants, the largest first, of ``samples`` in total, over
    ``seeds`` seeds.
    """

    study: str
    first: str
    second: str
    compare: Compare
    rows: tuple[ExampleRow, ...]
    samples: int
    seeds: int


def most_different(study: StudyRecord, first: str, second: str, load: Load, top: int) -> Examples:
    """The ``top`` samples on which two variants of a study differ most in the compared metric, over their finished
    seeds.

    Raises ValueError (one line) if the values of single samples are not known for both, or of different samples.
    """
    compare = study.recipe.compare
    records: dict[str, VariantRecord] = {one.variant.name: one for one in (*study.family, *study.rows)}
    mine, other = (Seeds(records[name], rounded=study.rounded) for name in (first, second))
    try:
        differences, samples = compared(other, mine, compare, load)
        values = read_examples(mine, compare.metric, compare.at, load).values
        theirs = read_examples(other, compare.metric, compare.at, load).values
    except NoExamples as error:
        raise ValueError(
            f"{error}. They are stored by the built-in loop, and by functions that call run.examples."
        ) from None
    common = [seed for seed in values if seed in theirs]
    means = [np.mean([side[seed] for seed in common], axis=0) for side in (values, theirs)]
    difference = differences.mean(axis=0)
    sds = differences.std(axis=0, ddof=1) if len(common) > 1 else None
    order = np.argsort(-np.abs(difference), kind="stable")[:top]
    folds = mine.folds is not None
    rows = tuple(
        ExampleRow(
            int(samples.ids[i, 1]),
            float(means[0][i]),
            float(means[1][i]),
            float(difference[i]),
            None if sds is None else float(sds[i]),
            int(samples.ids[i, 0]) if folds else None,
            None if samples.groups is None else int(samples.groups[i]),
        )
        for i in order
    )
    return Examples(study.recipe.study, first, second, compare, rows, len(difference), len(common))

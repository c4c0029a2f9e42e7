"""What tables and plans say about the size of the validation set."""

from __future__ import annotations

from ablate.evidence.crossed import NewSamples, NoNewSamples, VarianceParts
from ablate.evidence.table import Row, Table
from ablate.recipe.variant import Compare
from ablate.report.new_samples import limit, scatter
from ablate.report.summary import summary

LIMITED = NewSamples(0.1, -1.0, 1.2, VarianceParts(0.1, 1.0, 0.05), seeds=5, samples=360)
CLEAR = NewSamples(0.1, 0.05, 0.2, VarianceParts(0.1, 1.0, 0.05), seeds=5, samples=360)
LINE = (
    "The validation set (360 samples), not the seeds, limits what is known of new samples (b): with 1,000 samples, the "
    "standard error of Δ would be a third smaller; more seeds would hardly help."
)


class Known(NoNewSamples):
    def __init__(self, found, *, quick):
        self.found, self.quick = found, quick

    def __call__(self, variant):
        return self.found.get(variant)

    def is_quick(self):
        return self.quick


def table(*, quick):
    rows = (Row("a"), Row("b", "a", delta_parent=0.1), Row("c", "a", delta_parent=0.1))
    return Table("s", Compare(), rows, new_samples=Known({"b": LIMITED, "c": CLEAR}, quick=quick))


def test_the_line_names_the_variants_that_are_limited():
    assert limit({"b": LIMITED, "c": CLEAR}) == LINE
    assert limit({"c": CLEAR}) == ""
    assert limit({}) == ""


def test_a_table_says_it_with_its_column_or_if_it_is_quick():
    assert LINE in summary(table(quick=True), ["variant", "delta_parent"])
    assert LINE in summary(table(quick=False), ["variant", "delta_new_samples"])
    assert LINE not in summary(table(quick=False), ["variant", "delta_parent"])
    assert LINE not in summary(table(quick=True), ["variant", "valid_loss"])


def test_a_plan_says_how_much_of_the_scatter_is_due_to_the_samples():
    # half of the variance over seeds is that of 360 samples; 1,000 remove 64% of it
    assert scatter({"b": LIMITED}) == (
        "Finished runs: with 1,000 validation samples instead of 360, the variance of Δ over seeds would be about 32% "
        "smaller."
    )
    assert scatter({"b": LIMITED, "c": CLEAR}).endswith("about 32% smaller (median of 2 comparisons).")
    assert scatter({}) == ""

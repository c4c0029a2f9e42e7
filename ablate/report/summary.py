"""The lines under a table: a short legend, and notes about its variants."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set

from ablate.evidence.paired import LEVEL
from ablate.evidence.table import Row, Table
from ablate.notes.note import Kind, Note
from ablate.recipe.measured import LOSSES
from ablate.report.column import FOUND, PARTIAL, UNLIKE, alike
from ablate.report.columns import default_keys, published_metric
from ablate.report.new_samples import new_samples_lines
from ablate.report.notes import counted, joined, short_line
from ablate.report.selected_path import path_line, step_lines
from ablate.report.wording import cover, plain

MOST = 4
"""Lines under a table, unless its details are asked for."""

NAMED = 4
"""The most earlier studies whose names are shown."""

LONGEST = 200
"""The most characters of a line of notes."""

FIRST: tuple[Kind, ...] = (
    "ended_badly",
    "identical",
    "same_result",
    "no_effect_at_first",
    "not_finite",
    "not_finite_inputs",
    "targets_stay",
    "topped_up",
)
"""Notes that come before all others: they report likely bugs, or verdicts that are less reliable."""  # fmt: skip


def summary(table: Table, keys: Collection[str] | None = None, *, details: bool = False) -> list[str]:
    """The lines under a table with these columns (the default ones unless given).

    At most `MOST` of them, and one line for each kind of note that reports a likely bug; with ``details``, all of the
    legend and every note of each variant.
    """
    shown = set(default_keys(table) if keys is None else keys)
    legend, others = main_legend(table, shown), [*new_samples_lines(table, shown), *column_legend(table, shown)]
    if details:
        more = [*pooling_legend(table, shown), *others, *step_lines(table)]
        lines = [*legend, *marks(table, shown), *more, *variant_lines(table)]
        return [plain(line) for line in lines]
    kinds = by_kind((row, row.notes) for row in table.rows)
    first = [kind for kind in kinds if kind in FIRST]
    bugs, rest = kind_lines(table, kinds, first), kind_lines(table, kinds, kinds.keys() - first)
    lines = [*legend, *marks(table, shown, parents=True), *map(cut, [*others, *rest])]
    if len(lines) > MOST:
        hidden = len(lines) - MOST + 1
        lines = [*lines[: MOST - 1], f"{hidden} more {counted('note', hidden)}: add --notes."]
    lines[len(legend) : len(legend)] = map(cut, bugs)
    return [plain(line) for line in lines]


def main_legend(table: Table, shown: Set[str]) -> list[str]:
    """What differences and verdicts are, in two lines at most; on a path, and on the earlier studies that are used."""
    rows, metric = table.rows, table.compare.metric
    several, parent, baseline = len(rows) > 1, "delta_parent" in shown, "delta_baseline" in shown
    values = {
        "With one seed, differences may be due to chance. Intervals require two seeds, verdicts three (--seeds 3).": (
            several and table.planned == 1
        ),
        deviations(table): "spread" in shown and any(row.sd(metric) is not None for row in rows),
        differences(table, parent, baseline): any(
            (parent and row.delta_parent is not None) or (baseline and row.delta_baseline is not None) for row in rows
        ),
    }
    tests = {
        verdicts(table): shown & {"verdict", "p", "p_adjusted"} and any(row.p_adjusted is not None for row in rows),
        "Verdicts have been shown before for other comparisons or looks of this recipe: 5% holds for each alone.": (
            table.family.changed and "verdict" in shown
        ),
        "Verdicts require at least three seeds (--seeds 3).": (
            several and table.planned == 2 and table.unit == "seed" and "verdict" in shown
        ),
        f"Verdicts are based on {metric}. Selecting variants on the test set biases the results: "
        "compare a validation metric instead.": metric.startswith("test_"),
    }
    chosen = {path_line(table): table.path}
    prior = {earlier_studies(table): table.prior and shown & {"delta_parent", "verdict", "p", "p_adjusted"}}
    return [" ".join(line) for line in (told(values), told(chosen), told(tests), told(prior)) if line]


def earlier_studies(table: Table) -> str:
    """Which studies helped to estimate the scatter."""
    count, studies = len(table.prior), list(dict.fromkeys(one["study"] for one in table.prior))
    names = ", ".join(studies[:NAMED]) + ", …" * (len(studies) > NAMED)
    of = "an earlier study" if len(studies) == 1 else f"{len(studies)} earlier studies"
    return f"Scatter estimated with {count} {counted('comparison', count)} of {of} ({names})."


def told(texts: Mapping[str, object]) -> list[str]:
    """The texts whose condition holds."""
    return [text for text, holds in texts.items() if holds]


def marks(table: Table, shown: Set[str], *, parents: bool = False) -> list[str]:
    """What the marks in the table mean, in one line; with ``parents``, also what differs from the parents."""
    unlike = by_kind((row, row.unlike) for row in table.rows if row.delta_parent is not None)
    differing = "; ".join(line.removesuffix(".") for line in kind_lines(table, unlike, unlike))
    means = any(key in LOSSES or key in table.metrics for key in shown)
    texts = told(
        {
            cut(f"{UNLIKE} {differing}."): parents and unlike and "delta_parent" in shown,
            f"{PARTIAL} mean over finished {table.unit}s only.": means and any(row.partial for row in table.rows),
            f"unstable: a {table.unit} diverged, so no mean is given.": any(
                row.verdict == "unstable" for row in table.rows
            ),
            f"failed: {table.compare.metric} {table.compare.failed}, or diverged; the median is over all "
            f"{table.unit}s, and there is no verdict.": any(row.failed for row in table.rows),
        }
    )
    return [" ".join(texts)] if texts else []


def deviations(table: Table) -> str:
    """What standard deviations are over."""
    folds = next((row.folds for row in table.rows if row.folds), None)
    one = table.unit == "fold"
    if alike(table):
        of = " of one seed" if one else f", each the mean of {folds} folds" if folds else ""
        return f"± sd over {table.planned} {table.unit}s{of}."
    if one:
        return "± sd (1×k) over k folds of one seed."
    return "± sd (n) over n finished seeds" + (", each the mean of its k folds (n×k)." if folds else ".")


def differences(table: Table, parent: bool, baseline: bool) -> str:
    """What the differences are."""
    compare, rows = table.compare, table.rows
    columns = {"Δ parent": ("the parent's", parent), "Δ baseline": ("the baseline's", baseline)}
    what = ", ".join(column for column, (_, asked) in columns.items() if asked)
    whose = " or ".join(whose for whose, asked in columns.values() if asked)
    between = f"{compare.metric} minus {whose}{compare.when}"
    if compare.log:
        between = f"ratio of the geometric mean of {compare.metric} to {whose}{compare.when}"
    text = f"{what}: {between}, paired by {table.unit} ({compare.better} is better)"
    if any((parent and row.ci_low is not None) or (baseline and row.baseline_ci_low is not None) for row in table.rows):
        text += f"; [ ]: {cover(rows)} confidence interval, not adjusted for multiple comparisons"
    return text + "."


def verdicts(table: Table) -> str:
    """The test, and what the verdicts mean."""
    rows, smallest = table.rows, table.compare.smallest_effect
    planned = table.family.comparisons
    test = "moderated paired t-test" if table.family.pooled else "paired t-test"
    if table.unit == "fold":
        test = "corrected resampled t-test (Nadeau and Bengio 2003)"
    over = f", Holm-corrected over {planned} planned comparisons" if planned > 1 else ""
    over += " (each counted twice until all have finished)" if planned > 1 and table.family.unfinished else ""
    found = {row.verdict for row in rows}
    around = "a factor of " if table.compare.log else "±"
    within = f"interval within {around}{smallest:g}" if smallest is not None else "same results as the parent"
    more = " (n seeds would show: 80% power in a new study)" if any(row.detectable for row in rows) else ""
    looks, level = table.family.looks, "5% level"
    if looks is not None:
        test, level = f"{test} at {looks}", f"{level} over all looks"
    last = looks is not None and len(looks.at)
    words = {
        "helps/hurts: significant": found & {"helps", "hurts"},
        "'without X' helps: better without X": any(
            row.variant.startswith("without ") and row.parent == "full" and row.verdict for row in rows
        ),
        f"unclear: not significant{more}": "unclear" in found,
        f"no difference: {within}": "no difference" in found,
        "decided before the last look: Δ is likely overstated": any(
            row.verdict in ("helps", "hurts") and row.look and row.look < last for row in rows
        ),
    }
    return "; ".join([f"Verdict: {test}{over}, {level}", *told(words)]) + "."


def pooling_legend(table: Table, shown: Set[str]) -> list[str]:
    """How the variances of verdicts are estimated."""
    pooled = table.unit == "seed" and table.family.pooled
    text = (
        "The variance of each comparison is shrunk toward a common value (moderated, Smyth 2004), for tests and for "
        "intervals."
    )
    factor = table.family.pairing
    paired = "" if factor is None else f" Pairing by seed divides the variance of the differences by {factor:.2g}."
    return [text + paired] if pooled and shown & {"delta_parent", "verdict", "p", "p_adjusted"} else []


def column_legend(table: Table, shown: Set[str]) -> list[str]:
    """What other columns mean."""
    rows, metric = table.rows, table.compare.metric
    known = {key for key in shown if any(getattr(row, key, None) is not None for row in rows)}
    tested = any(key.startswith("test_") and key in table.metrics for key in shown)
    texts = {
        interactions(table): "interaction" in known,
        f"Effect size: Δ parent in standard deviations over {table.unit}s (Hedges' g, corrected for small samples).": (
            "effect_size" in known
        ),
        f"Gain per minute: improvement of {metric} over the baseline per minute of a seed's training.": (
            "gain_per_minute" in known
        ),
        "Peak memory: GPU memory of the job, shared by seeds trained in parallel; "
        "on the CPU, memory of the whole process.": "peak_memory" in known,
        "Epochs and seconds to a value: median over runs; – (3/5): no median, as 3 of 5 runs have reached it.": (
            any(row.reached for row in rows) and any(key.startswith("reach_") for key in shown)
        ),
        "Test columns: the test set, evaluated once after training; not used for verdicts.": (
            tested and not metric.startswith("test_")
        ),
        "Tried: candidates × seeds of 'tune', chosen on the validation set that judges: all values are optimistic, and "
        "verdicts hold for the chosen settings.": "tried" in known,
        f"Published: {published_metric(table)} as given in the recipe.": "published" in shown,
    }
    return told(texts)


def interactions(table: Table) -> str:
    """What an interaction is, and what its mark means."""
    text = "Interaction: effect of the second change on top of the first minus its effect alone (0: additive)"
    if table.compare.log:
        text = "Interaction: effect of the second change on top of the first over its effect alone (×1: multiplicative)"
    asked = [row.interaction_p for row in table.rows if row.interaction_p is not None]
    if any(p < LEVEL for p in asked):
        planned = table.family.interactions
        over = f", Holm-corrected over {planned} planned interactions" if planned > 1 else ""
        text += f"; {FOUND} significant (paired t-test{over})"
    return text + "."


def kind_lines(table: Table, found: Mapping[Kind, list[tuple[str, Note]]], kinds: Collection[Kind]) -> list[str]:
    """A line for each of these kinds of notes."""
    return [short_line(kind, notes, len(table.rows), table.unit) for kind, notes in found.items() if kind in kinds]


def cut(line: str) -> str:
    """A line without its end if it is long."""
    return line if len(line) <= LONGEST else f"{line[:LONGEST].rstrip()}… (--notes)"


def by_kind(rows: Iterable[tuple[Row, Iterable[Note]]]) -> dict[Kind, list[tuple[str, Note]]]:
    """Notes and the names of their variants by kind."""
    found: dict[Kind, list[tuple[str, Note]]] = {}
    for row, notes in rows:
        for note in notes:
            found.setdefault(note.kind, []).append((row.variant, note))
    return found


def variant_lines(table: Table) -> list[str]:
    """A line with the notes of each variant; ``all variants`` for notes of every one."""
    common = (
        [note for note in table.rows[0].notes if all(note in row.notes for row in table.rows)]
        if len(table.rows) > 1
        else []
    )
    lines = [f"all variants: {joined(common, table.unit)}."] if common else []
    for row in table.rows:
        own = [note for note in row.notes if note not in common]
        texts = [text for text in (joined(own, table.unit), joined(row.unlike, table.unit, f"{UNLIKE} ")) if text]
        if texts:
            lines.append(f"{row.variant}: {'; '.join(texts)}.")
    return lines

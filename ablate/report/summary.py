"""The sentences under a table: what its columns mean, and what has to be known of its rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set

from ablate.evidence.paired import LEVEL
from ablate.evidence.table import Table
from ablate.recipe.monitored import LOSSES
from ablate.report.column import FOUND, PARTIAL, UNLIKE
from ablate.report.columns import default_keys, published_metric
from ablate.report.wording import plain


def summary(table: Table, keys: Collection[str] | None = None, *, once: bool = False) -> list[str]:
    """A sentence for each thing that a reader of these columns (the default ones unless given) could take wrongly.

    ``once``: rows do not say how many seeds each had, as all had as many: the sentences do.
    """
    shown = set(default_keys(table) if keys is None else keys)
    return [plain(line) for line in (*meanings(table, shown, once), *notes(table))]


def meanings(table: Table, shown: Set[str], once: bool = False) -> list[str]:
    """What columns and marks mean, where they appear."""
    rows, metric = table.rows, table.compare.metric
    lines = []
    if "spread" in shown and any(row.sd(metric) is not None for row in rows):
        lines.append(deviations(table, once))
    deltas = shown & {"delta_parent", "delta_baseline"}
    if deltas and any(row.delta_parent is not None or row.delta_baseline is not None for row in rows):
        lines.append(differences(table, "delta_parent" in deltas, "delta_baseline" in deltas))
    if shown & {"verdict", "p", "p_adjusted"}:
        lines += verdicts(table, once)
    if "delta_parent" in shown and any(row.unlike for row in rows):
        lines.append(
            f"{UNLIKE} row and parent are unlike in more than the row's change, so the difference is not that change's alone."
        )
    if "interaction" in shown and any(row.interaction is not None for row in rows):
        lines += interactions(table)
    if "effect_size" in shown and any(row.effect_size is not None for row in rows):
        lines.append(
            f"Effect (sd): Δ parent in standard deviations of {table.unit}s, corrected for few of them (Hedges' g)."
        )
    if "gain_per_minute" in shown and any(row.gain_per_minute is not None for row in rows):
        lines.append(
            f"Gain a minute: how much better than the baseline in {metric}, for each minute that a seed trains."
        )
    if "peak_memory" in shown and any(row.peak_memory is not None for row in rows):
        lines.append(
            "Peak memory: of the job, which the seeds of a stack share; without a GPU of its whole process, torch included."
        )
    if any(row.reached for row in rows) and any(key.startswith("reach_") for key in shown):
        lines.append("Epochs, seconds to a value: median over runs; 3/5 where 3 of 5 came there.")
    if metric.startswith("test_"):
        lines.append(
            f"{metric} is what verdicts stand on: what is chosen by the test part is no longer tested. Compare a validation metric."
        )
    elif any(key.startswith("test_") and key in table.metrics for key in shown):
        lines.append("Test columns: the test part, scored once at the end; no verdict stands on it.")
    if "published" in shown:
        lines.append(f"Published: {published_metric(table)} as the recipe quotes it.")
    if any(row.partial for row in rows) and any(key in LOSSES or key in table.metrics for key in shown):
        lines.append(f"{PARTIAL} mean over the finished seeds only.")
    if any(row.verdict == "unstable" for row in rows):
        lines.append("unstable: a seed diverged, so there is no mean.")
    if len(rows) > 1 and table.planned == 1:
        lines.append("One seed: differences may be chance. Two seeds give intervals, three give verdicts (--seeds 3).")
    if len(rows) > 1 and table.planned == 2 and table.unit == "seed" and "verdict" in shown:
        lines.append("Two seeds give intervals; verdicts take three (--seeds 3).")
    return lines


def deviations(table: Table, once: bool) -> str:
    """What deviations are over."""
    if once:
        what = f"± sd: standard deviation of {table.compare.metric} over {table.planned} {table.unit}s"
        folds = next((row.folds for row in table.rows if row.folds), None) if table.unit == "seed" else None
        return what + (
            f", each the mean of its {folds} folds." if folds else " of one seed." if table.unit == "fold" else "."
        )
    start = f"± sd (n): standard deviation of {table.compare.metric} over n finished seeds"
    if table.unit == "fold":
        return f"± sd (1×k): standard deviation of {table.compare.metric} over k folds of one seed."
    return start + (", each the mean of its k folds (n×k)." if any(row.folds for row in table.rows) else ".")


def differences(table: Table, parent: bool, baseline: bool) -> str:
    """What the differences are."""
    compare = table.compare
    what = "Δ parent" if parent else "Δ baseline"
    whose = "its parent's" if parent else "the baseline's"
    if parent and baseline:
        what, whose = "Δ parent, Δ baseline", "its parent's, the baseline's"
    at = "" if compare.at == "selected" else f" at the {compare.at} epoch"
    sentence = f"{what}: {compare.metric} minus {whose}{at}, paired by {table.unit} ({compare.better} is better)"
    if any((parent and row.ci_low is not None) or (baseline and row.baseline_ci_low is not None) for row in table.rows):
        sentence += ", with the 95 % interval"
    return sentence + "."


def verdicts(table: Table, once: bool) -> list[str]:
    """What the test was, and what the words mean that it led to."""
    rows, smallest = table.rows, table.compare.smallest_effect
    asked = sum(row.p_adjusted is not None for row in rows)
    if not asked:
        return []
    test = f"a t test on the differences by {table.unit}"
    if table.unit == "fold":
        test += ", with the variance corrected for the training samples that folds share (Nadeau and Bengio 2003)"
    elif sum(row.ci_low is not None for row in rows) > 1:
        test += ", whose scatter is judged together with the other rows' as far as they scatter alike"
    over = (
        f", about 5 % false alarms at most over all {asked} comparisons together (Holm)"
        if asked > 1
        else ", 5 % false alarms"
    )
    lines = [f"Verdict: {test}{over}."]
    if any(row.verdict == "no difference" for row in rows) and smallest is not None:
        lines.append(f"no difference: the interval lies within ±{smallest:g} (compare.smallest_effect).")
    if any(row.more_seeds is not None for row in rows):
        head = "≈: about so many more seeds" if once else "more seeds: about so many"
        lines.append(f"{head} would give a verdict, if difference and scatter are what they seem (power 80 %).")
    return lines


def interactions(table: Table) -> list[str]:
    """What an interaction is, and what its mark means."""
    lines = [
        "Interaction: what the second change is worth on top of the first, less what it is worth alone (0: they add up)"
        + (", with the 95 % interval." if any(row.interaction_low is not None for row in table.rows) else ".")
    ]
    asked = [row.interaction_p for row in table.rows if row.interaction_p is not None]
    if any(p < LEVEL for p in asked):
        over = f"over all {len(asked)} interactions together (Holm)" if len(asked) > 1 else "by its own scatter"
        lines.append(f"{FOUND} not 0: a t test with 5 % false alarms {over}.")
    return lines


def notes(table: Table) -> list[str]:
    """A line for each row that something is to be said about; ``all rows`` where it is true of every one."""
    shared = [note for note in (table.rows[0].notes if len(table.rows) > 1 else ()) if every(table, note)]
    lines = [f"all rows: {clauses(shared)}."] if shared else []
    for row in table.rows:
        own = [note for note in row.notes if note not in shared]
        own += [f"{UNLIKE} {what}" for what in row.unlike]
        if own:
            lines.append(f"{row.variant}: {clauses(own)}.")
    return lines


def clauses(sentences: Iterable[str]) -> str:
    """Sentences as one, which the caller ends: whoever wrote them may have ended each."""
    return "; ".join(sentence.rstrip().removesuffix(".") for sentence in sentences)


def every(table: Table, note: str) -> bool:
    """Whether it is said of all rows."""
    return all(note in row.notes for row in table.rows)

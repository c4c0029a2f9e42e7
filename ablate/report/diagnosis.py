"""What to try against each finding about a variant's training, and the text of ``ablate explain``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ablate.evidence.table import Row, Table
from ablate.notes.note import Kind, Note
from ablate.report.notes import sentence
from ablate.report.numbers import difference, places
from ablate.report.wording import plain, status_text, titled, verdict_text

REGULARIZATION = (
    "more data; augmentation (`flip`, `shift`, `crop`, `mixup`, `cutout`); `dropout`; `weight_decay`; `label_smoothing`"
)

ADVICE: dict[Kind, str] = {
    "diverged_at": "a lower learning rate (`ablate lr` suggests one); `warmup`; `clip_norm`; inputs and targets of "
    "ordinary size (`standardise`, `normalise_targets`)",
    "diverging": "a lower learning rate, or one that decreases (`cosine`, `step`); `clip_norm`",
    "learned_nothing": "`ablate check`, which looks for bugs; another learning rate (`ablate lr` suggests one); "
    "`batch_norm`; another initialization (`he_normal`)",
    "oscillates": "a learning rate that decreases (`cosine`, `step`, `plateau`); averaged weights (`ema`, `swa`); a "
    "larger batch_size; a larger validation set",
    "overfits": f"`early_stop`, or fewer epochs; {REGULARIZATION}; a smaller network",
    "not_converged": "more epochs; a higher learning rate; `adam` or momentum; a schedule (`one_cycle`, `cosine`)",
    "gap": f"{REGULARIZATION}; a smaller network",
    "underfits": "a larger network; less regularization (`dropout`, `weight_decay`, augmentation); a higher learning "
    "rate; `adam` or momentum; `batch_norm`",
    "flat": "fewer epochs, or `early_stop`, to save time; a learning rate that decreases (`step`, `plateau`)",
    "dead_units": "a lower learning rate; `he_normal`; `batch_norm`; leaky ReLUs (`activation`)",
    "large_updates": "a lower learning rate; `warmup`",
    "small_updates": "a higher learning rate; check for frozen layers",
    "few_samples": "a larger validation set, or cross-validation (`folds`); more seeds would hardly help",
}
"""What to try, with the names of the catalog in backquotes. First come the findings about the training loss."""

SHORT: dict[Kind, str] = {
    "diverged_at": "diverged",
    "diverging": "diverging",
    "learned_nothing": "learned nothing",
    "oscillates": "oscillates",
    "overfits": "overfits",
    "not_converged": "not converged",
    "gap": "generalizes poorly",
    "underfits": "underfits",
    "flat": "trained too long",
    "dead_units": "dead ReLUs",
    "large_updates": "large updates",
    "small_updates": "small updates",
    "few_samples": "validation set too small",
}
"""The findings in a column of the table."""

FINE = "Its curves show no problem."


def short(notes: tuple[Note, ...]) -> str:
    """``overfits, oscillates``."""
    return ", ".join(SHORT[note.kind] for note in notes)


def sentences(notes: tuple[Note, ...], unit: str = "seed") -> list[str]:
    """The findings as sentences, each with what to try."""
    return [f"{started(sentence(note, unit))}. Try {ADVICE[note.kind]}." for note in notes]


def result(row: Row, table: Table) -> str:
    """The compared metric, and the difference from the parent with its interval and verdict, in one line."""
    metric = table.compare.metric
    value, decimals = row.value(metric), places([row.delta_parent, row.ci_low, row.ci_high], 2)
    if value is None:
        return plain(f"{started(status_text(row))}.")
    text = f"{titled(metric)} {value:.4g}"
    if row.sd(metric) is not None:
        text += f" ± {row.sd(metric):.2g} ({row.repeats} {row.tally.unit}s)"
    if row.delta_parent is not None and not table.compare.log:
        text += f"; Δ {difference(row.delta_parent, row.ci_low, row.ci_high, decimals)} from {row.parent}"
    verdict = verdict_text(row, log=table.compare.log)
    return plain(f"{text}: {verdict}." if verdict else f"{text}.")


def explained(table: Table, rows: Sequence[Row]) -> list[str]:
    """The variants' results and the findings about their training, as lines; what to try comes once, at the end."""
    lines, found = list[str](), dict[Kind, None]()
    for row in rows:
        notes = table.diagnosis(row.variant)
        found |= dict.fromkeys(note.kind for note in notes)
        changes = f": {plain('; '.join(row.changes))}" if row.changes else ""
        texts = [f"- {started(sentence(note, row.tally.unit))}." for note in notes]
        if row.tally.trained and not texts:
            texts = [FINE]
        lines += [f"{plain(row.variant)}{changes}", *(f"  {text}" for text in (result(row, table), *texts))]
    if found:
        lines += ["", "What to try:", *(f"  {SHORT[kind]}: {ADVICE[kind]}." for kind in ADVICE if kind in found)]
    return lines


def started(text: str) -> str:
    """A text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def as_tree(table: Table, row: Row) -> Mapping[str, Any]:
    """The same in plain JSON values."""
    notes = table.diagnosis(row.variant)
    findings = [
        {
            "kind": note.kind,
            "seeds": list(note.seeds),
            "values": dict(note.values),
            "text": sentence(note, row.tally.unit),
            "try": ADVICE[note.kind],
        }
        for note in notes
    ]
    return {"variant": row.variant, "changes": list(row.changes), "verdict": row.verdict, "findings": findings}

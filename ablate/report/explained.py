"""Verdicts and the findings about the training of variants, in text: for ``ablate explain`` and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ablate.evidence.table import Row, Table
from ablate.report.diagnosis import ADVICE, SHORT
from ablate.report.notes import sentence
from ablate.report.page.sentences import sentences as verdict_sentences
from ablate.report.wording import plain

FINE = "The curves show no problem."
TRY = "What to try"


def findings(table: Table, row: Row) -> list[str]:
    """The findings about a variant's training, as sentences."""
    texts = [started(sentence(note, row.tally.unit)) + "." for note in table.diagnosis(row.variant)]
    return texts or ([FINE] if row.tally.trained else [])


def what_to_try(table: Table, rows: Sequence[Row]) -> list[str]:
    """The advice for each kind of finding about these variants."""
    found = {note.kind for row in rows for note in table.diagnosis(row.variant)}
    return [f"{started(SHORT[kind])}: {ADVICE[kind]}." for kind in ADVICE if kind in found]


def diagnosis(table: Table) -> dict[str, list[str]]:
    """The findings by variant, and then what to try, for a report."""
    found = {row.variant: findings(table, row) for row in table.rows}
    advice = [line.replace("`", "") for line in what_to_try(table, table.rows)]
    return found | ({TRY: advice} if advice else {})


def explained(table: Table, rows: Sequence[Row]) -> list[str]:
    """The variants' verdicts and the findings about their training, as lines; what to try comes once, at the end."""
    verdicts = {one.variant: str(one) for one in verdict_sentences(table)}
    lines = []
    for row in rows:
        lines += [verdicts[plain(row.variant)], *(f"- {text}" for text in findings(table, row))]
    if advice := what_to_try(table, rows):
        lines += ["", f"{TRY}:", *(f"- {text}" for text in advice)]
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

"""Stores of version 0.1 hold notes as sentences. This module, and no other, knows how they read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import PlainValidator

from ablate.notes.note import STORED, Kind, Note

Read = Callable[[re.Match[str]], dict[str, Any]]

COUNTS = ("count", "total", "first")


def words(match: re.Match[str]) -> dict[str, Any]:
    """The named groups, counts as numbers."""
    return {key: int(text) if key in COUNTS else text for key, text in match.groupdict().items()}


def initial_weights(match: re.Match[str]) -> dict[str, Any]:
    """``left`` names the first tensors that stayed, and ``more`` counts the rest."""
    left = [name for name in (match["left"] or "").split(", ") if name]
    return {
        "source": match["source"],
        "taken": int(match["taken"]),
        "total": int(match["total"]),
        "left": left,
        "more": int(match["more"] or 0),
    }


def initial_average(match: re.Match[str]) -> dict[str, Any]:
    share, decay = int(match["share"]) / 100, float(match["decay"])
    return {"steps": int(match["steps"]), "share": share, "decay": decay}


OLD: tuple[tuple[Kind, str, Read], ...] = (
    (
        "not_finite",
        r"(?P<metric>.+) \(=(?P<value>[^()]*)\) is not finite at its (?P<at>selected|last|best) epoch",
        words,
    ),
    ("not_stacked", r"its seeds are not stacked: (?P<reason>.+)", words),
    ("loss_not_vmapped", r"the loss cannot be vmapped: a stack takes it seed by seed", words),
    ("stack_not_compiled", r"compile: a stack of seeds is not compiled; stack: off trains them one by one", words),
    ("not_compiled", r"compile: the network is not compiled \((?P<reason>.+)\)", words),
    ("missing_targets", r"targets may be missing \(NaN\): the loss is your own, and must leave them out", words),
    (
        "not_finite_inputs",
        r"(?P<count>\d+) of (?P<total>\d+) (?P<split>train|valid|test) inputs hold NaN or infinity, "
        r"first that of sample (?P<first>\d+)",
        words,
    ),
    (
        "initial_weights",
        r"starts from (?P<source>.+): (?P<taken>\d+) of (?P<total>\d+) tensors"
        r"(?:, all but (?P<left>.+?)(?: and (?P<more>\d+) more)?)?",
        initial_weights,
    ),
    (
        "initial_average",
        r"ema: after (?P<steps>\d+) steps the average is still (?P<share>\d+)% the weights that it begins with\. "
        r"Lower decay \(=(?P<decay>[^()]+)\), or set warmup: true",
        initial_average,
    ),
    ("no_seed", r"its runs say no seed, so it is compared with nothing", words),
)  # fmt: skip
"""Each kind that version 0.1 could write into a ``status.json``, how it read, and the values of its match."""


def parsed(sentence: str) -> Note:
    """The note that a sentence of version 0.1 stands for; any other sentence as text."""
    for kind, pattern, read in OLD:
        if match := re.fullmatch(pattern, sentence, re.DOTALL):
            return Note(kind, values=read(match))
    return Note("text", values={"text": sentence})


def read_note(stored: object) -> Note:
    """A note as a store holds it, of this version or of 0.1. Raises ValueError if it cannot be one."""
    if isinstance(stored, str):
        return parsed(stored)
    if isinstance(stored, Note):
        return stored
    if not isinstance(stored, Mapping) or not isinstance(stored.get("kind"), str):
        raise ValueError("must be a note")
    values = stored.get("values", {})
    if not isinstance(values, Mapping) or not isinstance(stored.get("variant", ""), str) or stored.get("seeds"):
        raise ValueError("must be a note of a run")
    note = Note.load(stored)
    types = STORED.get(note.kind)
    if types is None or not all(isinstance(note.values.get(key), type) for key, type in types.items()):
        raise ValueError(f"must be a note with the values of its kind (={note.kind})")
    return note


StoredNote = Annotated[Note, PlainValidator(read_note)]
"""A note, for types that are checked when they are read from a store."""

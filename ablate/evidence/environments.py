"""Versions and devices of runs. They are not part of a run's identity, so they may differ within a variant or from its
parent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ablate.notes.note import Kind, Note
from ablate.store.provenance import Provenance

MIXED: dict[str, Kind] = {
    "torch": "mixed_torch",
    "device_name": "mixed_device",
    "python": "mixed_python",
    "ablate": "mixed_ablate",
}
"""Keys of a run's provenance that can change its results, and the notes about runs that do not share them."""

OTHER: dict[str, Kind] = {
    "torch": "other_torch",
    "device_name": "other_device",
    "python": "other_python",
    "ablate": "other_ablate",
}


def origins(provenances: Iterable[Provenance]) -> dict[str, list[str]]:
    """The values of each key, sorted; unknown ones are left out."""
    known = [replace(one, device_name=one.device_name or one.device) for one in provenances]
    return {key: sorted({str(v) for one in known if (v := getattr(one, key)) is not None}) for key in MIXED}


def mixtures(provenances: Iterable[Provenance]) -> list[Note]:
    """Notes about keys that have several values in the runs of one variant."""
    return [
        Note(MIXED[key], values={"names": values}) for key, values in origins(provenances).items() if len(values) > 1
    ]


def different_origins(row: Iterable[Provenance], parent: Iterable[Provenance]) -> list[Note]:
    """Notes about keys that differ between a variant and its parent."""
    mine, theirs = origins(row), origins(parent)
    return [
        Note(OTHER[key], values={"own": mine[key], "parent": theirs[key]})
        for key in OTHER
        if mine[key] and theirs[key] and mine[key] != theirs[key]
    ]

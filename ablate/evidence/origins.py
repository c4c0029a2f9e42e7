"""Whether the runs of one row were made alike: versions and devices are no part of a run's identity, so a row may mix them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

WATCHED = {"torch": "torch versions", "device_name": "devices", "python": "Python versions"}
"""Keys of a run's provenance that can move its numbers, and what several of them are called."""


def mixtures(provenances: Iterable[Mapping[str, Any]]) -> list[str]:
    """``2 torch versions (2.12.1, 2.13.0)`` and the like; runs whose provenance is not known are left aside."""
    known = [{"device_name": one.get("device"), **one} for one in provenances if one]
    notes = []
    for key, plural in WATCHED.items():
        values = sorted({str(one[key]) for one in known if one.get(key) is not None})
        if len(values) > 1:
            notes.append(f"{len(values)} {plural} ({', '.join(values)})")
    return notes

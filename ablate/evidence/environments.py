"""Whether runs were made alike: versions and devices are no part of a run's identity, so a row, or a row and its parent, may differ in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

WATCHED = {
    "torch": "torch versions",
    "device_name": "devices",
    "python": "Python versions",
    "ablate": "ablate versions",
}
"""Keys of a run's provenance that can move its numbers, and what several of them are called."""

ONE = {"torch": "torch", "device_name": "on", "python": "Python", "ablate": "ablate"}
"""What one of them is called, before its value."""

Provenances = Iterable[Mapping[str, Any]]


def origins(provenances: Provenances) -> dict[str, list[str]]:
    """The values of each watched key, sorted; runs whose provenance is not known are left aside."""
    known = [{"device_name": one.get("device"), **one} for one in provenances if one]
    return {key: sorted({str(one[key]) for one in known if one.get(key) is not None}) for key in WATCHED}


def mixtures(provenances: Provenances) -> list[str]:
    """``2 torch versions (2.12.1, 2.13.0)`` and the like, of the runs of one row."""
    return [
        f"{len(values)} {WATCHED[key]} ({', '.join(values)})"
        for key, values in origins(provenances).items()
        if len(values) > 1
    ]


def unlike_origins(row: Provenances, parent: Provenances) -> list[str]:
    """``torch 2.13.0, its parent 2.12.1`` and the like, for what a row and its parent do not share."""
    mine, theirs = origins(row), origins(parent)
    return [
        f"{ONE[key]} {', '.join(mine[key])}, its parent {', '.join(theirs[key])}"
        for key in WATCHED
        if mine[key] and theirs[key] and mine[key] != theirs[key]
    ]

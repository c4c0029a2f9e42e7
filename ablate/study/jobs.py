"""A job: runs of the same settings with R seeds, trained together by one process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.engine.trainer import Assignment


@dataclass(frozen=True)
class Job:
    """What one process is told to do.

    ``fingerprints`` are the runs', in the order of the assignment's seeds; ``fresh`` starts from nothing whatever is there.
    """

    number: int
    variant: str
    assignment: Assignment
    fingerprints: tuple[str, ...]
    root: Path
    threads: int = 1
    fresh: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)

"""From what the runs found to the answer: holds, holds partly, does not hold here, undecided. Nothing here is written
by hand for any claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bench.claims.book import Part

Answer = Literal["holds", "holds partly", "does not hold here", "undecided", "not run yet"]
Agreement = Literal["agrees", "disagrees", "open"]

MARK: dict[str, str] = {"agrees": "as claimed", "disagrees": "not as claimed", "open": "unclear"}
"""What pages call an agreement."""

EITHER = {"no worse": {"no difference", "helps"}, "no better": {"no difference", "hurts"}}
"""Which two verdicts an unclear difference lies between, so that a claim which has it either way agrees."""

Found = Mapping[str, Any]
"""What the runs say of a part: ``delta``, ``low``, ``high``, ``verdict`` … (see `bench.claims.results.found`)."""


def verdict(part: Part, found: Found) -> str | None:
    """The word that counts: the table's, or, by interval, ``helps`` or ``hurts`` where 0 is outside; ``no effect``
    where every seed equals its parent.
    """
    if found.get("delta") == found["low"] == found["high"] == 0.0:
        return "no effect"
    if part.by == "verdict":
        word: str | None = found["verdict"]
        return bounded(found) if word == "unclear" else word
    low, high = found["low"], found["high"]
    if low is None or high is None or low <= 0 <= high:
        return "unclear"
    return "helps" if (low > 0) == (found["better"] == "higher") else "hurts"


def bounded(found: Found) -> str:
    """Where the interval leaves no harm above the smallest effect, ``no worse``; where it leaves no help, ``no
    better``; else ``unclear``.
    """
    least = found.get("smallest_effect")
    if least is None:
        return "unclear"
    worst, best = (-found["low"], found["high"]) if found["better"] == "higher" else (found["high"], -found["low"])
    return "no worse" if worst <= least else "no better" if best <= least else "unclear"


def agreement(part: Part, found: Found) -> Agreement:
    """Whether a part's verdict is one that the claim expects. No verdict, or an unclear one, leaves it open; so does a
    change that never acted.
    """
    word = verdict(part, found)
    if word in part.says or EITHER.get(word or "", {"never"}) <= set(part.says):
        return "agrees"
    return "open" if word in (None, "unclear", "no effect", *EITHER) else "disagrees"


def answer(agreements: Sequence[Agreement]) -> Answer:
    """All parts agree: holds. Some: partly. None, and one disagrees: does not hold. None, and all are open: undecided."""
    if not agreements:
        return "not run yet"
    if all(one == "agrees" for one in agreements):
        return "holds"
    if "agrees" in agreements:
        return "holds partly"
    return "does not hold here" if "disagrees" in agreements else "undecided"

"""Wrong results that have been mended, each with the settings it affects: only their runs become outdated.

A mend within one entry of the registry raises the entry's version instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ablate.recipe.settings import Settings


@dataclass(frozen=True)
class Mend:
    """``fact: version`` is added to the `facts` of the settings that it ``affects``, and so changes their identity.

    `report.notes.DIFFERENCES` says why their runs are stale. A variant with ``joined`` uses no model and no optimizer
    of its own.
    """

    fact: str
    version: int
    affects: Callable[[Settings], bool]


def _lent_to_custom_code(settings: Settings) -> bool:
    return settings.custom("loss", "metrics", "tricks") or (not settings.joined and settings.custom("model"))


def _misread(settings: Settings) -> bool:
    misread = getattr(settings.data.options, "misread", None)
    return misread is not None and misread()


MENDS = (
    # custom code gets copies of the data, so that what it writes in place changes nothing else
    Mend("contract", 2, _lent_to_custom_code),
    # a file is read right, or refused
    Mend("reading", 2, _misread),
)

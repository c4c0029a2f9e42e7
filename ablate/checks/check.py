"""The base class of checks. A check looks at a training before it starts, and reports what is wrong with it.

A check gets a `Probe`: the training of one seed, built as a job builds it, with fixed samples. It may train the
probe's network inside ``with probe.restored():``, and must leave no other trace. What cannot be judged (sequences
without a loss at the start, integer inputs …) is no finding.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ablate.registry import Named

if TYPE_CHECKING:
    from ablate.checks.shared.probe import Probe

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """What a check found in one variant.

    ``problem`` is a sentence without values, so that the findings of several variants can be one line; ``seen`` has the
    values, ``expected`` says what they should be, ``fix`` what to change. An error means that the training cannot give
    a usable result; everything else is a warning.
    """

    severity: Severity
    problem: str
    seen: str
    expected: str
    fix: str


class Check(Named):
    """Base of all checks: frozen settings, which are its thresholds, and one method."""

    shorthand = "enabled"

    enabled: bool = Field(default=True, description="run this check")

    quick: ClassVar[bool] = False
    """Whether it only needs passes over a few samples; these checks are also part of ``ablate run``."""

    needs_weights: ClassVar[bool] = True
    """Whether it looks at the network's values. Variants whose weights come from untrained variants skip it."""

    @abstractmethod
    def look(self, probe: Probe) -> Iterable[Finding]:
        """The findings in a training; none if there is nothing to say. Raises `NotJudged`
        (`ablate.checks.shared.probe`) if it cannot be completed."""

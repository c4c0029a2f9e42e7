"""What happens when a study ends: a bell, and a message to a webhook."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ablate.cli.console import number, say

if TYPE_CHECKING:
    from ablate.evidence.gather import Table
    from ablate.planning.plan import Plan
    from ablate.store.store import Store
    from ablate.tracking.webhook import Webhook

VARIABLE = "ABLATE_NOTIFY"
STATUSES = {0: "finished", 1: "failed", 130: "interrupted"}
"""How a study ended, by the exit code of the command; with any other one, it was given up."""


def webhook_of(url: str | None) -> Webhook | None:
    """The webhook at ``url``, by default ``$ABLATE_NOTIFY``; the processes of jobs do not get the variable. Raises
    ValueError.
    """
    variable = os.environ.pop(VARIABLE, "")
    if url is None and not variable:
        return None
    from ablate.tracking.webhook import Webhook

    return Webhook.of(variable, VARIABLE) if url is None else Webhook.of(url, "--notify")


@dataclass
class StudyEnd:
    """A context that ends with the study: it rings the bell and sends the message, unless the jobs are ``detached``.

    ``plan`` is that of the study, with more or fewer runs as it goes on; ``table`` is known if it was trained to the
    end. ``code`` is the exit code of the command.
    """

    plan: Plan
    store: Store
    webhook: Webhook | None
    bell: bool
    table: Table | None = None
    code: int = 2
    detached: bool = False
    began: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.detached:
            return
        if kind is not None:
            # the reader of a table that went away, as `head` does, is no failure of the study
            self.code = 130 if kind is KeyboardInterrupt else self.code if kind is BrokenPipeError else 2
        if self.bell and sys.stderr.isatty():
            sys.stderr.write("\a")
            sys.stderr.flush()
        if self.webhook is not None:
            self.notify(self.webhook)

    def notify(self, webhook: Webhook) -> None:
        """Send the message. If that fails or Ctrl-C ends it, print one line, and nothing else changes."""
        try:
            reason = webhook.post(self.message())
        except KeyboardInterrupt:
            reason = "interrupted"
        except Exception as error:
            reason = type(error).__name__
        if reason is not None:
            say(f"The notification was not sent to {webhook.shown}: {reason}.")

    def message(self) -> dict[str, Any]:
        """The message as JSON values."""
        from ablate.report.formats import contents

        plan, recipe = self.plan, self.plan.recipe
        with suppress(OSError):  # such as a store that can no longer be read
            plan = plan.renewed(self.store)
        runs: dict[str, int] = dict(Counter({run.fingerprint: run.record.status for run in plan.runs}.values()))
        status = STATUSES.get(self.code, "given up")
        return {
            "text": sentence(recipe.study, status, runs),
            "study": recipe.study,
            "recipe": recipe.path.name if recipe.path else None,
            "status": status,
            "exit_code": self.code,
            "runs": runs,
            "seconds": round(time.monotonic() - self.began, 3),
            "host": this_host(),
            "table": None if self.table is None else contents(self.table, "text").decode(),
        }


def this_host() -> str:
    """The name of this machine."""
    from ablate.machine import this_machine

    return this_machine().name


def sentence(study: str, status: str, runs: dict[str, int]) -> str:
    """``faces: 34 of 35 runs finished, 1 failed.``, or ``faces: interrupted, 12 of 35 runs finished, 23 not started.``
    ``runs`` counts them by status.
    """
    from ablate.report.wording import WORDS

    how = f"{status}, " if status in ("interrupted", "given up") else ""
    others = [f", {count} {WORDS.get(state, state)}" for state, count in runs.items() if state != "finished"]
    total = number(sum(runs.values()), "run")
    return f"{study}: {how}{runs.get('finished', 0)} of {total} finished{''.join(others)}."

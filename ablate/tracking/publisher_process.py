"""The process that publishes beside a training, so that neither MLflow's import (seconds, most of them under Python's global lock) nor a server that does not
answer holds up the events of the jobs, and so that it can be ended at any moment.

Its standard input brings a pickled `Errand`, its length in a line before it, and then a line for every publication that is wanted; its standard output
gives a line of JSON for each. When the input closes (its parent ended, however that came about) it ends at once, in the middle of whatever it does: the
ledger is made for that.
"""

from __future__ import annotations

import json
import os
import pickle
import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from ablate.planning.plan import Plan
from ablate.store.records import StudyRecord
from ablate.store.store import Store
from ablate.tracking.artifacts import Rendering
from ablate.tracking.publish import Published, publish

NICE = 10
"""How far the helper stands back behind the training: as far as the system's ``nice`` does unless told otherwise."""


@dataclass(frozen=True)
class Errand:
    """What to publish and where. ``rendering`` is a function of a module: it is pickled by its name."""

    plan: Plan
    store: Store
    tracking_uri: str
    rendering: Callable[[StudyRecord, Store], Rendering]

    def now(self) -> StudyRecord:
        """The study as far as the store knows it now; which run belongs to which row stays as it was planned."""
        return self.plan.renewed(self.store).record()

    def publish(self) -> Published:
        """Send what is missing. Never raises."""
        try:
            study = self.now()
            rendering = self.rendering(study, self.store)
        except Exception as error:
            reason = f"the table for MLflow could not be made: {type(error).__name__}: {error}"
            return Published(False, self.tracking_uri, " ".join(reason.split()))
        return publish(study, self.store, tracking_uri=self.tracking_uri, artifacts=rendering)


def main() -> None:
    """Publish whenever the input says so, until it closes."""
    answers = os.dup(1)
    os.dup2(2, 1)  # nothing but answers may go into the pipe
    os.nice(NICE)
    source = sys.stdin.buffer
    errand: Errand = pickle.loads(source.read(int(source.readline())))
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(source, orders), daemon=True).start()
    while orders.get():
        os.write(answers, (answer(errand.publish()) + "\n").encode())


def listen(source: BinaryIO, orders: queue.SimpleQueue[bytes]) -> None:
    """Pass orders on; end the process with the input."""
    while line := source.readline():
        orders.put(line)
    os._exit(0)


def answer(published: Published) -> str:
    """A publication in one line."""
    fields = ("ok", "uri", "reason", "experiment", "runs", "points")
    return json.dumps({name: getattr(published, name) for name in fields})


if __name__ == "__main__":
    # under its own name, so that what is pickled elsewhere finds the same class
    from ablate.tracking.publisher_process import main as run

    run()

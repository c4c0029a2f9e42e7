"""The process that publishes a study during training.

Its standard input has the length of a pickled `Errand` in a line, the errand, and then a line per requested
publication; its standard output has a line of JSON for each. It exits as soon as the input is closed, because its
parent has exited; the ledger allows for that.
"""

from __future__ import annotations

import json
import os
import pickle
import queue
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import BinaryIO

from ablate.evidence.stages import planned_now
from ablate.planning.plan import Plan
from ablate.store.disk import StoreWarning
from ablate.store.records import StudyRecord
from ablate.store.store import Store
from ablate.tracking.address import resolve
from ablate.tracking.publish import Published, publish
from ablate.tracking.rendering import Rendering

NICE = 10
"""Niceness of the process, so that it does not slow down training; the default of ``nice``."""


@dataclass(frozen=True)
class Errand:
    """What to publish, and where. ``rendering`` is a function of a module, because it is pickled by name."""

    plan: Plan
    store: Store
    tracking_uri: str
    rendering: Callable[[StudyRecord, Store], Rendering]

    def now(self) -> StudyRecord:
        """The current state of the study in the store; the runs of each variant stay as planned."""
        return planned_now(self.plan.renewed(self.store), self.store).record()

    def publish(self) -> Published:
        """Send what is missing. Does not raise."""
        try:
            study = self.now()
            rendering = self.rendering(study, self.store)
        except Exception as error:
            reason = f"The table for MLflow could not be rendered: {type(error).__name__}: {error}"
            return Published(False, resolve(self.tracking_uri).shown, " ".join(reason.split()))
        return publish(study, self.store, tracking_uri=self.tracking_uri, artifacts=rendering)


def main() -> None:
    """Publish for each line of the input, until it is closed."""
    answers = os.dup(1)
    os.dup2(2, 1)  # only answers may be written to the pipe
    os.nice(NICE)
    warnings.simplefilter("ignore", StoreWarning)  # told by the command
    source = sys.stdin.buffer
    errand: Errand = pickle.loads(source.read(int(source.readline())))
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(source, orders), daemon=True).start()
    while orders.get():
        published = replace(errand.publish(), error=None)
        os.write(answers, (json.dumps(asdict(published)) + "\n").encode())


def listen(source: BinaryIO, orders: queue.SimpleQueue[bytes]) -> None:
    """Queue the lines of the input; exit when it is closed."""
    while line := source.readline():
        orders.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()

"""Writes a study from the store to MLflow: the study ▸ a run per variant ▸ a run per seed with its curves.

Only what is new goes out, in batches, and a ledger beside the store says what has gone, so that an interruption at any point neither loses nor doubles
anything. Whatever goes wrong comes back as a reason: training never fails because of the tracker. Without news nothing is imported.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ablate.store.records import StudyRecord
from ablate.store.store import Store
from ablate.tracking.address import resolve
from ablate.tracking.artifacts import Artifacts, Rendering
from ablate.tracking.connection import LOCK_SECONDS, Connection, OutOfTime, quiet
from ablate.tracking.error_text import out_of_time, trouble
from ablate.tracking.ledger import Ledger
from ablate.tracking.unpublished import begun, news
from ablate.tracking.upload import Sending

__all__ = ["Artifacts", "Published", "Rendering", "needs_publishing", "publish"]


@dataclass(frozen=True)
class Published:
    """What came of it: ``runs`` were made and ``points`` of curves and columns sent to ``uri``, or the one-line ``reason`` why not (all).
    ``experiment`` is the id of the study's, None where nothing had to be sent.

    Whatever the reason, nothing is lost: the next publication sends what is missing. The caller says which command that is.
    """

    ok: bool
    uri: str
    reason: str = ""
    experiment: str | None = None
    runs: int = 0
    points: int = 0
    error: Exception | None = field(default=None, compare=False)


def needs_publishing(
    study: StudyRecord, store: Store, tracking_uri: str | None = None, artifacts: Artifacts | Rendering | None = None
) -> bool:
    """Whether MLflow lacks something, told from the ledger without MLflow. Without ``artifacts`` only the runs and the recipe's text count."""
    address = resolve(tracking_uri)
    sent = Ledger(store, study.recipe.study).read(address.key(store.root))
    if sent.publication:  # one that was broken off
        return True
    if not isinstance(artifacts, Rendering):
        return news(study, store, sent, address, artifacts)
    return news(study, store, sent, address, None) or (sent.study is not None and sent.rendered != artifacts.key)


def publish(
    study: StudyRecord,
    store: Store,
    *,
    tracking_uri: str | None = None,
    artifacts: Artifacts | Rendering | None = None,
    check: bool = False,
    within: float | None = None,
) -> Published:
    """Send to MLflow what it lacks. Never raises for what the tracker does.

    ``check`` asks the tracker about every run that the ledger says is there, and sends again what is gone. ``within`` is a number of seconds after
    which the rest is left for the next time.
    """
    address = resolve(tracking_uri)
    until = None if within is None else time.monotonic() + within
    try:
        if not any(map(begun, study.rows)) or (
            not check and not needs_publishing(study, store, tracking_uri, artifacts)
        ):
            return Published(True, address.shown)
        from filelock import FileLock

        key = artifacts.key if isinstance(artifacts, Rendering) else ""
        rendered = artifacts.render() if isinstance(artifacts, Rendering) else artifacts or Artifacts()
        lock = Ledger(store, study.recipe.study).lock
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=LOCK_SECONDS if within is None else min(within, LOCK_SECONDS)), quiet():
            connection = Connection(address, until)
            sending = Sending(study, store, rendered, connection, check)
            sending.everything(key)
            return Published(True, address.shown, "", connection.experiment, sending.runs, sending.points)
    except OutOfTime:
        return Published(False, address.shown, out_of_time(address, within or 0))
    except Exception as error:
        return Published(False, address.shown, trouble(error, address), error=error)

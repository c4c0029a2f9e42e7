"""Publishes a study from the store to MLflow: the study ▸ a run per variant ▸ a run per seed with its curves.

Only new data are sent, in batches. A ledger in the study's folder records what was sent, so that an interruption
neither loses nor duplicates anything. Errors are returned as a reason: training never fails because of the tracker.
MLflow is not imported if there is nothing to send.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ablate.store.locks import held_within
from ablate.store.records import StudyRecord
from ablate.store.store import Store
from ablate.tracking.address import out_of_time, refused, resolve, trouble
from ablate.tracking.connection import LOCK_SECONDS, Connection, OutOfTime, quiet
from ablate.tracking.ledger import Ledger, begun, news
from ablate.tracking.rendering import Artifacts, Rendering
from ablate.tracking.upload import Upload

__all__ = ["Artifacts", "Published", "Rendering", "needs_publishing", "publish"]


@dataclass(frozen=True)
class Published:
    """The result of a publication: number of ``runs`` created and ``points`` sent to ``uri``; ``reason`` if incomplete.

    ``refused``: only artifacts are missing, which the server refused. ``experiment`` is the id of the study's
    experiment, None if nothing was sent. The next publication sends what is missing.
    """

    ok: bool
    uri: str
    reason: str = ""
    refused: bool = False
    experiment: str | None = None
    runs: int = 0
    points: int = 0
    error: Exception | None = field(default=None, compare=False)


def needs_publishing(
    study: StudyRecord, store: Store, tracking_uri: str | None = None, artifacts: Artifacts | Rendering | None = None
) -> bool:
    """Whether there is something to send, according to the ledger. Without ``artifacts``, only runs are considered."""
    address = resolve(tracking_uri)
    sent = Ledger(store, study.recipe.study).read(address.key(store.root))
    if sent.publication:  # an interrupted one
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
    """Send what is missing in MLflow. Does not raise errors of the tracker.

    ``check`` asks MLflow about every run in the ledger, and sends deleted ones again. ``within`` is a time limit in
    seconds; the rest is sent by the next publication.
    """
    address = resolve(tracking_uri)
    until = None if within is None else time.monotonic() + within
    try:
        if not any(map(begun, study.rows)) or (
            not check and not needs_publishing(study, store, tracking_uri, artifacts)
        ):
            return Published(True, address.shown)
        key = artifacts.key if isinstance(artifacts, Rendering) else ""
        rendered = artifacts.render() if isinstance(artifacts, Rendering) else artifacts or Artifacts()
        lock = Ledger(store, study.recipe.study).lock
        seconds = LOCK_SECONDS if within is None else min(within, LOCK_SECONDS)
        with held_within(store.disk, lock, seconds), quiet():
            connection = Connection(address, until)
            sending = Upload(study, store, rendered, connection, check)
            sending.everything(key)
            reason = refused(sending.refused, address) if sending.refused else ""
            counts = connection.experiment, sending.runs, sending.points
            return Published(not reason, address.shown, reason, bool(reason), *counts)
    except OutOfTime:
        return Published(False, address.shown, out_of_time(address, within or 0))
    except Exception as error:
        return Published(False, address.shown, trouble(error, address), error=error)

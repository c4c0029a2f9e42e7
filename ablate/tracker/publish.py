"""Writes a study from the store to MLflow: the study ▸ a run per variant ▸ a run per seed with its curves.

Only what is new goes out, in batches; the ledger is brought up to date after every step, so that an interruption at any point costs nothing but the
step. Whatever goes wrong comes back as a reason: training never fails because of the tracker. Without news nothing is imported.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ablate.study.records import StudyRecord
from ablate.study.store import Store
from ablate.tracker.address import resolve
from ablate.tracker.artifacts import Artifacts
from ablate.tracker.connection import LOCK_SECONDS, Connection, OutOfTime, quiet
from ablate.tracker.ledger import Ledger
from ablate.tracker.news import news
from ablate.tracker.sending import Sending
from ablate.tracker.trouble import trouble

__all__ = ["Artifacts", "Published", "needs_publishing", "publish"]


@dataclass(frozen=True)
class Published:
    """What came of it: ``runs`` were made and ``points`` of curves and columns sent to ``uri``, or the one-line ``reason`` why not (all)."""

    ok: bool
    uri: str
    reason: str = ""
    experiment: str | None = None
    runs: int = 0
    points: int = 0
    error: Exception | None = field(default=None, compare=False)


def needs_publishing(
    study: StudyRecord, store: Store, tracking_uri: str | None = None, artifacts: Artifacts | None = None
) -> bool:
    """Whether MLflow lacks something, told from the ledger without MLflow. Without ``artifacts`` only the runs and the recipe's text count."""
    address = resolve(tracking_uri)
    sent = Ledger(store, study.recipe.study).read(address.key(store.root))
    return news(study, store, sent, address, artifacts)


def publish(
    study: StudyRecord,
    store: Store,
    *,
    tracking_uri: str | None = None,
    artifacts: Artifacts | None = None,
    check: bool = False,
    within: float | None = None,
) -> Published:
    """Send to MLflow what it lacks. Never raises for what the tracker does.

    ``check`` asks the tracker about every run that the ledger says is there, and sends again what is gone. ``within`` is a number of seconds after
    which the rest is left for the next time.
    """
    address = resolve(tracking_uri)
    try:
        if not check and not needs_publishing(study, store, tracking_uri, artifacts):
            return Published(True, address.shown)
        from filelock import FileLock

        lock = Ledger(store, study.recipe.study).lock
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=LOCK_SECONDS), quiet():
            connection = Connection(address, within)
            sending = Sending(study, store, artifacts or Artifacts(), connection, check)
            sending.everything()
            return Published(True, address.shown, "", connection.experiment, sending.runs, sending.points)
    except OutOfTime:
        reason = f"MLflow (={address.shown}) took longer than {within:g} s. 'ablate sync' publishes the rest."
        return Published(False, address.shown, reason)
    except Exception as error:
        reason = f"{trouble(error, address)}. Nothing is lost: 'ablate sync' publishes what is missing."
        return Published(False, address.shown, reason, error=error)

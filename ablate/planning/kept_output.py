"""What is kept of runs of the user's own commands, so that their metrics can be read again if ``read`` changes."""

from __future__ import annotations

from pathlib import Path

from ablate.recipe import Settings
from ablate.store.records import RunRecord
from ablate.store.store import Store
from ablate.trainers.trainer import ReadTrainer, trainer_of


def read_otherwise(settings: Settings, record: RunRecord) -> bool:
    """Whether the metrics of a run were read in another way than now."""
    if record.reading is None:
        return False
    trainer = trainer_of(settings)
    return isinstance(trainer, ReadTrainer) and record.reading != trainer.reading


def reading_changed(settings: Settings, record: RunRecord) -> bool:
    """Whether the metrics or the status of a run that is not under way could be others, as they are read otherwise now.

    Those of a run whose command failed by itself could not.
    """
    failed = record.status == "failed" and record.output is not None
    return (failed or record.status in ("finished", "diverged", "interrupted")) and read_otherwise(settings, record)


def is_kept(settings: Settings, record: RunRecord, folder: Path, store: Store) -> bool:
    """Whether the metrics of a run can be read again; ``folder`` is the recipe's."""
    if not record.output:
        return False
    path = _file(settings, record, folder, store)
    least = record.output[-1][1] if path == _log(record, store) else 0
    try:
        return store.disk.kind(path) == "file" and store.disk.size(path) >= least
    except ValueError:  # outside the folder of runs
        return False


def written(settings: Settings, record: RunRecord, folder: Path, store: Store) -> list[bytes]:
    """What metrics are read from: the contents of a file, or the output of each start of the command."""
    path = _file(settings, record, folder, store)
    contents = store.disk.read(path) or b""
    if path == _log(record, store):
        return [contents[start:end] for start, end in record.output or ()]
    return [contents]


def _file(settings: Settings, record: RunRecord, folder: Path, store: Store) -> Path:
    trainer, out = trainer_of(settings), store.run_folder(record.fingerprint) / "work"
    assert isinstance(trainer, ReadTrainer)
    return trainer.metrics_file(settings, record.seed, record.fold, str(out), folder) or _log(record, store)


def _log(record: RunRecord, store: Store) -> Path:
    return store.run_folder(record.fingerprint) / "log.txt"

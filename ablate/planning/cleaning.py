"""Removes runs that no study uses, and files left behind by crashes; never files that a process is writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.planning.study_file import keep_rows_of, kept_entries, named_runs
from ablate.recipe import Recipe, run_fingerprint
from ablate.store import checkpoints
from ablate.store.checked import StudyFile
from ablate.store.locks import GONE
from ablate.store.records import RunRecord
from ablate.store.store import Store, is_leftover

AT_ONCE = 64
"""Runs that are removed together. The locks of all of them are open at the same time."""

Named = dict[str, str | None]
"""The fingerprints of runs, each with the identity of its variant's settings."""


@dataclass(frozen=True)
class Spare:
    """A run's folder, or a file in one, that can be removed. ``busy``: a process is writing, so it is kept. ``in_use``:
    a process can begin to write, so it is removed under the run's lock.
    """

    path: Path
    run: str
    kind: str
    bytes: int
    busy: bool = False
    in_use: bool = True


def find_spare(store: Store, recipe: Recipe | None = None) -> list[Spare]:
    """Everything that can be removed; with a recipe, also runs of its deleted variants and of runs with other options.

    Raises ValueError if a study's file cannot be read, because its runs are then unknown.
    """
    named: Named = {}
    for name, study in Studies(store).read().items():
        of_recipe = recipe is not None and name == recipe.study
        named |= named_runs(kept_entries(recipe, study) if recipe is not None and of_recipe else study)
    return [replace(one, busy=one.in_use and store.is_claimed(one.run)) for one in spare(store, named)]


def clean(store: Store, recipe: Recipe | None = None) -> list[Spare]:
    """Remove everything that can be removed; returns what was removed."""
    studies = Studies(store)
    studies.read()
    if recipe is not None:
        keep_rows_of(recipe, store)
    found = list(spare(store, studies.named()))
    gone = []
    for start in range(0, len(found), AT_ONCE):
        some = found[start : start + AT_ONCE]
        with ExitStack() as claims:
            runs = dict.fromkeys(one.run for one in some if one.in_use)
            ours = {run for run in runs if claims.enter_context(store.claim((run,))) is not None}
            # read again what has changed, now that no other process can start these runs
            named = studies.named()
            for one in some:
                if one.in_use and not (one.run in ours and still_spare(store, one, named)):
                    continue
                remove(store, one)
                gone.append(one)
    return gone


def remove(store: Store, one: Spare) -> None:
    """Remove a file, or a folder as a whole."""
    path = one.path
    if one.in_use and path == store.run_folder(one.run):
        path = path.with_name(GONE + path.name)
        store.disk.rename(one.path, path)
    store.disk.remove(path)


def still_spare(store: Store, one: Spare, named: Named) -> bool:
    """Whether it can still be removed."""
    if one.run not in named:
        return True
    return any(again.path == one.path for again in spare_files(store, one.run, named[one.run]))


class Studies:
    """The files of all studies in a store. Each is read again only after it has changed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._read: dict[str, tuple[object, StudyFile]] = {}
        self._named: Named = {}

    def read(self) -> dict[str, StudyFile]:
        """The studies by name. Raises ValueError if one cannot be read as a whole."""
        before = self._read
        self._read = {name: self._study(name) for name in self.store.studies()}
        if self._read != before:
            self._named = {}
            for _, study in self._read.values():
                self._named |= named_runs(study)
        return {name: study for name, (_, study) in self._read.items()}

    def named(self) -> Named:
        """The fingerprints in all studies, each with the identity of its variant's settings."""
        self.read()
        return self._named

    def _study(self, name: str) -> tuple[object, StudyFile]:
        status = self.store.disk.status(self.store.study_file(name))
        stamp = status and (status.st_ino, status.st_mtime_ns, status.st_size)
        known = self._read.get(name)
        return known if known is not None and known[0] == stamp else (stamp, self.store.whole_study(name))


def spare(store: Store, named: Named) -> Iterator[Spare]:
    """Everything that can be removed if studies have these runs."""
    folder = store.root / "store"
    names = store.disk.names(folder)
    unnamed = [name for name in names if name not in named]
    sizes = dict(zip(unnamed, store.disk.size_each(folder, unnamed), strict=True))
    for name in names:
        path = folder / name
        if name in named:
            yield from spare_files(store, name, named[name])
            continue
        kind, size = sizes[name]
        if name.startswith(GONE):
            yield Spare(path, name.removeprefix(GONE), "removed before", size, in_use=False)
        else:
            yield Spare(path, name, "named by no study", size, in_use=kind == "folder")


def spare_files(store: Store, run: str, identity: str | None) -> Iterator[Spare]:
    """Files that a run no longer needs: incomplete ones, and checkpoints if all runs of its stack have finished."""
    folder = store.run_folder(run)
    there = store.disk.names(folder)
    old = [name for name in there if name in checkpoints.NAMES]
    left = {name: "half-written" for name in there if is_leftover(name)}
    if old and identity is not None and has_ended(store, store.record(run), identity):
        left |= dict.fromkeys(old, "checkpoint of a finished run")
    for name, kind in left.items():
        yield Spare(folder / name, run, kind, store.disk.size(folder / name))


def has_ended(store: Store, run: RunRecord, identity: str) -> bool:
    """Whether all runs of a run's stack, which share a checkpoint, have finished."""
    stack = [store.record(run_fingerprint(identity, seed, run.fold)) for seed in run.stack]
    return run.status == "finished" and all(one.status == "finished" for one in stack if one.stack == run.stack)

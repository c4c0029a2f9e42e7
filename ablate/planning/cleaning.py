"""Removes runs that no study uses, and files left behind by crashes; never files that a process is writing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.planning.study_file import keep_rows_of, kept_rows, named_runs
from ablate.recipe import Recipe, run_fingerprint
from ablate.store import checkpoints
from ablate.store.records import RunRecord
from ablate.store.store import Store, leftovers, read_json

GONE = ".gone-"
"""Prefix of the folder of a run that is being removed, so that an interrupted removal leaves no incomplete run."""


@dataclass(frozen=True)
class Spare:
    """A run's folder, or a file in one, that can be removed. ``busy``: a process is writing, so it is kept."""

    path: Path
    run: str
    kind: str
    bytes: int
    busy: bool = False


def find_spare(store: Store, recipe: Recipe | None = None) -> list[Spare]:
    """Everything that can be removed; with a recipe, also runs of its deleted variants and of runs with other options.

    Raises ValueError if a study's file cannot be read, because its runs are then unknown.
    """
    named: dict[str, str] = {}
    for path, study in studies(store):
        of_recipe = recipe is not None and path.parent.name == recipe.study
        named |= named_runs({"rows": kept_rows(recipe, study)} if recipe is not None and of_recipe else study)
    found = []
    folder = store.root / "store"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(GONE):
            found.append(Spare(path, path.name.removeprefix(GONE), "removed before", size(path)))
        elif path.name not in named:
            found.append(Spare(path, path.name, "named by no study", size(path), store.is_claimed(path.name)))
        else:
            found += spare_files(store, path, named[path.name])
    return found


def clean(store: Store, recipe: Recipe | None = None) -> list[Spare]:
    """Remove everything that can be removed; returns what was removed."""
    if recipe is not None:
        keep_rows_of(recipe, store)
    gone = []
    for spare in find_spare(store):
        if spare.kind == "removed before":
            store.disk.remove(spare.path)
            gone.append(spare)
            continue
        with store.claim((spare.run,)) as ours:
            # checked again, now that no other process can start the run
            if not ours or not still_spare(store, spare):
                continue
            if spare.path.is_dir():
                aside = spare.path.with_name(GONE + spare.path.name)
                store.disk.rename(spare.path, aside)
                store.disk.remove(aside)
            else:
                store.disk.remove(spare.path)
            gone.append(spare)
    return gone


def still_spare(store: Store, spare: Spare) -> bool:
    """Whether it can still be removed."""
    named = {name: identity for _, study in studies(store) for name, identity in named_runs(study).items()}
    if spare.run not in named:
        return True
    return any(one.path == spare.path for one in spare_files(store, store.run_folder(spare.run), named[spare.run]))


def studies(store: Store) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every study's file below the root with its contents."""
    for path in sorted(store.root.glob("*/study.json")):
        try:
            yield path, read_json(path) or {}
        except ValueError:
            rule = "is not readable, so its runs cannot be determined. Rerun its recipe to recreate the file."
            raise ValueError(f"study (={path}) {rule}") from None


def spare_files(store: Store, folder: Path, identity: str) -> Iterator[Spare]:
    """Files that a run no longer needs: incomplete ones, and checkpoints if all runs of its stack have finished."""
    busy = store.is_claimed(folder.name)
    for path in leftovers(folder):
        yield Spare(path, folder.name, "half-written", size(path), busy)
    old = [path for name in checkpoints.NAMES if (path := folder / name).exists()]
    if old and has_ended(store, store.record(folder.name), identity):
        yield from (Spare(path, folder.name, "checkpoint of a finished run", size(path), busy) for path in old)


def has_ended(store: Store, run: RunRecord, identity: str) -> bool:
    """Whether all runs of a run's stack, which share a checkpoint, have finished."""
    stack = [store.record(run_fingerprint(identity, seed, run.fold)) for seed in run.stack]
    return run.status == "finished" and all(one.status == "finished" for one in stack if one.stack == run.stack)


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    total = 0
    for file in files:
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue  # replaced by another process
    return total

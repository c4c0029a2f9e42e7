"""What may go from a folder of runs: runs that no study names, and what crashes left behind. Never what a process is writing."""

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
"""Before the name of a run that is being removed: a removal that is cut short leaves no half of a run."""


@dataclass(frozen=True)
class Spare:
    """Something that may go: a run's folder, or a file in one; ``busy`` where a process is writing there, so that it stays."""

    path: Path
    run: str
    kind: str
    bytes: int
    busy: bool = False


def find_spare(store: Store, recipe: Recipe | None = None) -> list[Spare]:
    """All that may go. With a recipe also what only its former rows, and trials under other flags, are named for.

    Raises ValueError where a study's file cannot be read: then nobody knows what is named.
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
    """Remove all that may go; returns what went."""
    if recipe is not None:
        keep_rows_of(recipe, store)
    gone = []
    for spare in find_spare(store):
        if spare.kind == "removed before":
            store.disk.remove(spare.path)
            gone.append(spare)
            continue
        with store.claim((spare.run,)) as ours:
            # looked at again now that nobody else can begin with it
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
    """Whether it may go now, too."""
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
            raise ValueError(
                f"study (={path}) cannot be read, so nobody knows which runs it names. Run its recipe again to write it anew."
            ) from None


def spare_files(store: Store, folder: Path, identity: str) -> Iterator[Spare]:
    """Files that a named run needs no longer: half-written ones, and checkpoints of a run that has finished, with all of its stack."""
    busy = store.is_claimed(folder.name)
    for path in leftovers(folder):
        yield Spare(path, folder.name, "half-written", size(path), busy)
    old = [path for name in checkpoints.NAMES if (path := folder / name).exists()]
    if old and has_ended(store, store.record(folder.name), identity):
        yield from (Spare(path, folder.name, "checkpoint of a finished run", size(path), busy) for path in old)


def has_ended(store: Store, run: RunRecord, identity: str) -> bool:
    """Whether a run has finished, and so have the others of its stack, which go on from the checkpoint in its folder."""
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
            continue  # a process replaced it meanwhile
    return total

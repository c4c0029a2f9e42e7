"""What has changed since the runs of a study were trained, and what is likely a mistake."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ablate.notes.note import Kind, Note
from ablate.planning.plan import Plan
from ablate.planning.planned_run import PlannedRun
from ablate.recipe.fingerprint import facts, without_defaults
from ablate.recipe.mends import MENDS
from ablate.store.store import Store

Difference = dict[str, Any]
"""``what`` differs (setting, source, contents, code, version, engine, unknown), its ``name``, and its ``old`` and
``new`` value if it has one.
"""

READ: dict[Kind, bool] = {"read_again": True, "not_kept": False}
"""The notes about runs whose metrics are read otherwise now, by whether what they are read from is kept."""


def changed(plan: Plan, store: Store) -> list[Note]:
    """A note for each variant that is new, changed or stale, or has more runs; none for a study without a record."""
    if not plan.rows_before:
        return []
    notes = []
    for variant in plan.recipe.variants:
        runs = plan.runs_of(variant.name)
        for kind, kept in READ.items():
            if seeds := dict.fromkeys(run.seed for run in runs if run.kept is kept):
                every = len(seeds) == len({run.seed for run in runs})
                notes.append(Note(kind, variant.name, seeds=() if every else tuple(seeds)))
        missing = [run for run in runs if run.record.status in ("queued", "stale") and run.kept is None]
        stale = [run for run in missing if run.record.status == "stale"]
        others = [run for run in runs if run not in missing]
        if stale:
            notes.append(Note("stale", variant.name, values={"differences": why(stale[0], plan, store)}))
        elif missing and variant.name not in plan.rows_before:
            notes.append(Note("new", variant.name))
        elif missing and any(run.before for run in missing):
            notes.append(Note("changed", variant.name))
        elif missing and others and all(run.record.status == "finished" for run in others):
            unit = "seed" if plan.recipe.folds is None else "run"
            notes.append(Note("more_runs", variant.name, values={"count": len(missing), "unit": unit}))
    return notes


def untracked(plan: Plan, store: Store) -> list[Note]:
    """A note for each variant with finished runs that lack tracked metrics. They are not trained again for them."""
    notes = []
    for variant in plan.recipe.variants:
        asked = [choice.label for choice in variant.settings.watch]
        finished = [run for run in plan.runs_of(variant.name) if run.record.status == "finished"]
        if not asked or not finished:
            continue
        seen = [store.provenance(run.fingerprint).facts.watch for run in finished]
        lacking = [label for label in asked if any(label not in labels for labels in seen)]
        if lacking:
            notes.append(Note("not_tracked", variant.name, values={"metrics": lacking}))
    return notes


def why(run: PlannedRun, plan: Plan, store: Store) -> list[Difference]:
    """The differences between what a stale run was trained with and the recipe."""
    assert run.before is not None
    then = store.identity(run.before)
    if not then:
        return [{"what": "unknown"}]
    settings = run.variant.settings
    now = json.loads(json.dumps(facts(settings, folder=plan.recipe.folder, folds=plan.recipe.folds)))
    before, after = dict(flat(then)), dict(flat(now))
    chosen = dict(flat({"settings": without_defaults(settings, now["settings"])}))
    # a new field with its default value makes nothing stale: a later version of the library may have more fields
    after = {
        path: v for path, v in after.items() if path in before or path in chosen or path.split(" ")[0] != "settings"
    }
    found: list[Difference] = []
    for one in differences(before, after):
        if one not in found:
            found.append(one)
    return found or [{"what": "unknown"}]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    """Each entry of two identities (`flat`) that differs."""
    for path in dict.fromkeys([*before, *after]):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        kind, _, name = path.partition(" ")
        both = {"old": old, "new": new}
        if path.endswith(".source.identity") or path == "settings joined":
            yield {"what": "source"}
        elif path.endswith(".contents"):
            yield {"what": "contents", "name": name.removesuffix(".contents")}
        elif kind == "code":
            # code of another target is covered by the settings
            if old is not None and new is not None:
                yield {"what": "code", "name": name}
        elif kind == "versions":
            # an added or removed trick is covered by its settings
            if old is not None and new is not None:
                yield {"what": "version", "name": name, **both}
        elif kind == "engine" or any(kind == mend.fact for mend in MENDS):
            yield {"what": kind, **both}
        elif kind == "folds":
            yield {"what": "setting", "name": f"folds.{name}", **{k: v for k, v in both.items() if v is not None}}
        else:
            held = {"old": path in before, "new": path in after}
            yield {"what": "setting", "name": name, **{key: both[key] for key in both if held[key]}}


def flat(identity: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """``settings optimizer.lr`` → 0.1, ``code model:Net`` → a digest, and so on."""
    for kind, value in identity.items():
        if kind == "settings":
            yield from ((f"settings {path}", leaf) for path, leaf in leaves(value, ""))
        elif isinstance(value, Mapping):
            yield from ((f"{kind} {name}", leaf) for name, leaf in value.items())
        else:
            yield kind, value


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every plain value of a tree of settings with its dotted path; items of lists go by name."""
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from leaves(below, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}.{item.get('name') or item.get('target') or i}")
    else:
        yield path, value

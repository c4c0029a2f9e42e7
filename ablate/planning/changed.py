"""What is new, changed or stale in a recipe since its study was last recorded, in sentences; and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ablate.planning.plan import Plan, PlannedRun
from ablate.recipe.fingerprint import facts, without_defaults
from ablate.store.store import Store

MOST = 3
"""Differences that a sentence names before it only counts them."""


def changed(plan: Plan, store: Store) -> list[str]:
    """Sentences about rows that are new, have more seeds, or are not what they were trained as. None for a study that was never recorded."""
    if not plan.rows_before:
        return []
    words: dict[str, list[str]] = {}
    for variant in plan.recipe.variants:
        runs = plan.runs_of(variant.name)
        missing = [run for run in runs if run.record.status in ("queued", "stale")]
        stale = [run for run in missing if run.record.status == "stale"]
        if stale:
            words.setdefault(f"stale, as trained with {why(stale[0], plan, store)}", []).append(variant.name)
        elif missing and variant.name not in plan.rows_before:
            words.setdefault("new", []).append(variant.name)
        elif missing and any(run.before for run in missing):
            words.setdefault("changed", []).append(variant.name)
        elif (
            missing
            and len(missing) < len(runs)
            and all(run.record.status == "finished" for run in runs if run not in missing)
        ):
            words.setdefault(f"{len(missing)} more {'seeds' if plan.recipe.folds is None else 'runs'}", []).append(
                variant.name
            )
    return [f"{', '.join(names)}: {what}" for what, names in words.items()]


def why(run: PlannedRun, plan: Plan, store: Store) -> str:
    """What a stale run was trained with, where that differs from now: ``optimizer.lr 0.1 (now 0.2)``."""
    assert run.before is not None
    then = store.identity(run.before)
    if not then:
        return "other settings, data or code"
    settings = run.variant.settings
    now = json.loads(json.dumps(facts(settings, folder=plan.recipe.folder, folds=plan.recipe.folds)))
    before, after = dict(flat(then)), dict(flat(now))
    chosen = dict(flat({"settings": without_defaults(settings, now["settings"])}))
    # what is new and has its default makes nothing stale: a later version of the library may know more fields
    after = {
        path: v for path, v in after.items() if path in before or path in chosen or path.split(" ")[0] != "settings"
    }
    found = list(dict.fromkeys(differences(before, after))) or ["other settings, data or code"]
    more = f" and {len(found) - MOST} more" if len(found) > MOST else ""
    return ", ".join(found[:MOST]) + more


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Each part of two identities (`flat`) that differs, in words."""
    for path in dict.fromkeys([*before, *after]):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        kind, _, name = path.partition(" ")
        if path.endswith(".source.identity") or path == "settings joined":
            yield "another training of what it is built upon"
            continue
        if path.endswith(".contents"):
            yield f"other contents of {name.removesuffix('.contents')}"
        elif kind == "code":
            yield f"other code of {name}"
        elif kind == "versions":
            # a trick that came or went is told by its settings
            if old is not None and new is not None:
                yield f"version {old} of {name} (now {new})"
        elif kind == "folds":
            yield f"folds.{name} {'none' if old is None else shown(old)} (now {'none' if new is None else shown(new)})"
        elif kind == "engine":
            yield f"version {old} of the engine (now {new})"
        elif path not in after:
            yield f"{name} {shown(old)} (now gone)"
        elif path not in before:
            yield f"no {name} (now {shown(new)})"
        else:
            yield f"{name} {shown(old)} (now {shown(new)})"


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
    """Every plain value below a tree of settings with its dotted path; things in lists go by name."""
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from leaves(below, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}.{item.get('name') or item.get('target') or i}")
    else:
        yield path, value


def shown(value: Any) -> str:
    """A value as a recipe would have it."""
    return value if isinstance(value, str) else json.dumps(value)

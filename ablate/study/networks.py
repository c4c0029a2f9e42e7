"""Facts of the networks of a plan: parameters, receptive field, work, and why seeds cannot be stacked, found by building each in a helper process.

Users' networks are imported there and nowhere else, so reading and planning run no user code in the command's own process. What was found is
kept in the study's folder under the fingerprint of what it was found for.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablate.recipe import Recipe, Settings
from ablate.study.plan import Plan
from ablate.study.store import Store, read_json

TRIED = 2**23
"""Parameters above which plans do not try whether seeds stack: two networks are built for it, with their gradients."""


def network_facts(plan: Plan, store: Store) -> dict[str, dict[str, Any]]:
    """For each variant ``{"parameters": …, "receptive_field": …, "work": …, "stack_reason": …}`` (None: not known, or nothing in the way).

    ``{"error": "one line"}`` where its network cannot be built.
    """
    path = store.study_folder(plan.recipe.study) / "networks.json"
    # what was found before stacks were looked at is looked for again
    known = {
        name: facts for name, facts in (read_json(path) or {}).items() if "stack_reason" in facts or "error" in facts
    }
    first = {run.variant.name: run for run in reversed(plan.runs)}
    missing = {run.fingerprint: run.variant.settings for run in first.values() if run.fingerprint not in known}
    if missing:
        found = ask(plan.recipe, list(missing.values()))
        current = {run.fingerprint for run in first.values()}
        known = {name: facts for name, facts in known.items() if name in current} | dict(
            zip(missing, found, strict=True)
        )
        store.write_json(path, known)
    return {name: known[run.fingerprint] for name, run in first.items()}


def known_networks(plan: Plan, store: Store) -> dict[str, dict[str, Any]]:
    """By the identity of a variant's settings, what an earlier look found; starts no process, so rows may be missing."""
    facts = read_json(store.study_folder(plan.recipe.study) / "networks.json") or {}
    return {run.identity: facts[run.fingerprint] for run in plan.runs if run.fingerprint in facts}


def ask(recipe: Recipe, settings: Sequence[Settings]) -> list[dict[str, Any]]:
    """Build networks in a helper process; facts in the order of ``settings``."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ablate.study.networks"],
        input=pickle.dumps((recipe.folder, list(settings))),
        capture_output=True,
        check=False,
    )
    lines = done.stdout.decode().splitlines()
    if done.returncode != 0 or not lines:
        reason = done.stderr.decode().strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        return [{"error": reason[0]} for _ in settings]
    facts: list[dict[str, Any]] = json.loads(lines[-1])
    return facts


def describe(settings: Settings, folder: Path, specs: dict[str, Any]) -> Mapping[str, Any]:
    """The facts of one variant's network; ``specs`` remembers the data sets that were looked at."""
    from ablate.data.data import Data
    from ablate.data.load import load_parts
    from ablate.engine.assembly import build_network, make_tricks
    from ablate.engine.work import work_of_network, work_of_settings
    from ablate.models.receptive_field import receptive_field
    from ablate.registry.lazy import torch

    try:
        if settings.joined:
            below = [describe(one, folder, specs) for one in settings.sources.values()]
            sizes = [facts.get("parameters") for facts in below]
            return {
                "parameters": None if None in sizes else sum(sizes),
                "receptive_field": None,
                "work": None,
                "stack_reason": None,
            }
        key = json.dumps(settings.data.dump())
        if key not in specs:
            known = settings.data.options.spec() if isinstance(settings.data.options, Data) else None
            specs[key] = known or load_parts(settings.data, folder).spec
        spec = specs[key]
        tricks, _ = make_tricks(settings, spec, folder)
        with torch.device("meta"):
            network, _ = build_network(settings, spec, folder, tricks, None)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        work = work_of_settings(settings, spec.input_shape)
        return {
            "parameters": parameters,
            "receptive_field": list(receptive_field(network) or ()) or None,
            "work": work if work is not None else work_of_network(network, spec, settings.batch_size),
            "stack_reason": why_alone(settings, folder, spec) if parameters <= TRIED else None,
        }
    except Exception as error:
        text = " ".join(str(error).split())
        return {"error": text if type(error) is ValueError else f"{type(error).__name__}: {text}"}


def why_alone(settings: Settings, folder: Path, spec: Any) -> str | None:
    """Why seeds of these settings cannot be a stack; None where nothing is in the way, where none is wanted, or where random inputs do not tell."""
    from ablate.engine.dry_run import stack_reason

    if settings.stack == "off":
        return None
    try:
        return stack_reason(settings, folder, spec)
    except Exception:  # the job, which has real samples, will say what is wrong
        return None


def main() -> None:
    """Read (folder, settings) as a pickle, write the facts as a JSON line; what users' code prints goes before it."""
    folder, settings = pickle.loads(sys.stdin.buffer.read())
    specs: dict[str, Any] = {}
    facts = [describe(one, folder, specs) for one in settings]
    sys.stdout.write("\n" + json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()

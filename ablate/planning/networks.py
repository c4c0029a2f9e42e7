"""Facts of the networks of a plan: parameters, receptive field, work, and why seeds cannot be stacked, found by building each in a helper process.

Users' networks are imported there and nowhere else, so reading and planning run no user code in the command's own process. What was found is
kept in the study's folder under the fingerprint of what it was found for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablate.planning.helper_process import answer, asked
from ablate.planning.plan import Plan
from ablate.recipe import Recipe, Settings
from ablate.store.store import Store, read_or_nothing

TRIED = 2**23
"""Parameters above which plans do not try whether seeds stack: two networks are built for it, with their gradients."""


def network_facts(plan: Plan, store: Store) -> dict[str, dict[str, Any]]:
    """For each variant ``{"parameters": …, "receptive_field": …, "work": …, "stack_reason": …}`` (None: not known, or nothing in the way).

    ``{"error": "one line"}`` where its network cannot be built.
    """
    path = store.study_folder(plan.recipe.study) / "networks.json"
    # what was found before stacks were looked at is looked for again
    known = {
        name: facts for name, facts in read_or_nothing(path).items() if "stack_reason" in facts or "error" in facts
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
    facts = read_or_nothing(store.study_folder(plan.recipe.study) / "networks.json")
    return {run.identity: facts[run.fingerprint] for run in plan.runs if run.fingerprint in facts}


def ask(recipe: Recipe, settings: Sequence[Settings]) -> list[dict[str, Any]]:
    """Build networks in a helper process; facts in the order of ``settings``."""
    return asked("ablate.planning.networks", [(recipe.folder, one) for one in settings])


def describe(settings: Settings, folder: Path, specs: dict[str, Any]) -> dict[str, Any]:
    """The facts of one variant's network; ``specs`` remembers the data sets that were looked at."""
    from ablate.data.load import known_spec, load_parts
    from ablate.engine.assembly import build_network, make_tricks
    from ablate.engine.compute_cost import work_of_network, work_of_settings
    from ablate.inits.init import Init
    from ablate.models.receptive_field import receptive_field
    from ablate.optimizers.build import parameter_groups
    from ablate.optimizers.optimizer import Optimizer
    from ablate.registry.lazy import torch

    if settings.joined:
        parameters = sum(describe(one, folder, specs)["parameters"] for one in settings.sources.values())
        return {"parameters": parameters, "receptive_field": None, "work": None, "stack_reason": None}
    key = json.dumps(settings.data.dump())
    if key not in specs:
        specs[key] = known_spec(settings.data) or load_parts(settings.data, folder).spec
    spec = specs[key]
    tricks, _ = make_tricks(settings, spec, folder)
    with torch.device("meta"):
        network, _ = build_network(settings, spec, folder, tricks, None)
    if isinstance(init := settings.init.options, Init):
        init.check(network, spec)
    if isinstance(optimizer := settings.optimizer.options, Optimizer):
        parameter_groups(optimizer, network.named_parameters())  # each must take a parameter
    parameters = sum(parameter.numel() for parameter in network.parameters())
    work = work_of_settings(settings, spec.input_shape)
    return {
        "parameters": parameters,
        "receptive_field": list(receptive_field(network) or ()) or None,
        "work": work if work is not None else work_of_network(network, spec, settings.batch_size),
        "stack_reason": why_alone(settings, folder, spec) if parameters <= TRIED else None,
    }


def why_alone(settings: Settings, folder: Path, spec: Any) -> str | None:
    """Why seeds of these settings cannot be a stack; None where nothing is in the way, where none is wanted, or where random inputs do not tell."""
    from ablate.engine.dry_run import stack_reason

    if settings.stack == "off":
        return None
    try:
        return stack_reason(settings, folder, spec)
    except Exception:  # the job, which has real samples, will say what is wrong
        return None


if __name__ == "__main__":
    looked_at: dict[str, Any] = {}
    answer(lambda question: describe(question[1], question[0], looked_at))

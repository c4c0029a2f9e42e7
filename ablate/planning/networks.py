"""Facts about the networks of a plan: parameters, receptive field, compute cost, and whether seeds can be stacked.

Networks are built in a helper process, so that planning does not run the user's code in the command's own process. The
facts are cached in the study's folder by fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablate.planning.helper_process import answer, asked
from ablate.planning.plan import Plan
from ablate.recipe import Recipe, Settings
from ablate.store.store import Store, read_or_nothing

TRIED = 2**23
"""Maximum number of parameters for trying whether seeds can be stacked, which needs two networks and gradients."""


@dataclass(frozen=True)
class NetworkFacts:
    """What is known of a variant's network; None if unknown.

    ``receptive_field`` is in pixels, ``work`` in millions of multiplications per step, ``stack_reason`` says why seeds
    cannot be stacked, ``error`` in one line why the network cannot be built.
    """

    parameters: int | None = None
    receptive_field: list[int] | None = None
    work: float | None = None
    stack_reason: str | None = None
    error: str | None = None


def network_facts(plan: Plan, store: Store) -> dict[str, NetworkFacts]:
    """The facts of each variant's network; a helper process finds those that are not cached."""
    known = cached(plan, store)
    first = {run.variant.name: run for run in reversed(plan.runs)}
    missing = {run.fingerprint: run.variant.settings for run in first.values() if run.fingerprint not in known}
    if missing:
        known |= zip(missing, ask(plan.recipe, list(missing.values())), strict=True)
        current = {run.fingerprint: asdict(known[run.fingerprint]) for run in first.values()}
        store.write_json(store.study_folder(plan.recipe.study) / "networks.json", current)
    return {name: known[run.fingerprint] for name, run in first.items()}


def known_networks(plan: Plan, store: Store) -> dict[str, NetworkFacts]:
    """The cached facts by identity of the settings; starts no process, so some may be missing."""
    known = cached(plan, store)
    return {run.identity: known[run.fingerprint] for run in plan.runs if run.fingerprint in known}


def cached(plan: Plan, store: Store) -> dict[str, NetworkFacts]:
    """The facts from earlier plans by fingerprint; those without ``stack_reason`` are of an older format."""
    recorded = read_or_nothing(store.study_folder(plan.recipe.study) / "networks.json")
    return {
        name: NetworkFacts(**facts) for name, facts in recorded.items() if "stack_reason" in facts or "error" in facts
    }


def ask(recipe: Recipe, settings: Sequence[Settings]) -> list[NetworkFacts]:
    """The facts of each of ``settings``, from a helper process."""
    found = asked("ablate.planning.networks", [(recipe.folder, one) for one in settings])
    return [NetworkFacts(**facts) for facts in found]


def describe(settings: Settings, folder: Path, specs: dict[str, Any]) -> NetworkFacts:
    """The facts of one variant's network; ``specs`` caches the specs of data sets."""
    from ablate.data.load import known_spec, load_parts
    from ablate.engine.assembly import build_network, make_tricks
    from ablate.engine.compute_cost import work_of_network, work_of_settings
    from ablate.inits.init import Init
    from ablate.models.receptive_field import receptive_field
    from ablate.optimizers.build import parameter_groups
    from ablate.optimizers.optimizer import Optimizer
    from ablate.registry.lazy import torch

    if settings.joined:
        return NetworkFacts(sum(describe(one, folder, specs).parameters or 0 for one in settings.sources.values()))
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
        parameter_groups(optimizer, network.named_parameters())  # each must match a parameter
    parameters = sum(parameter.numel() for parameter in network.parameters())
    work = work_of_settings(settings, spec.input_shape)
    return NetworkFacts(
        parameters,
        receptive_field=list(receptive_field(network) or ()) or None,
        work=work if work is not None else work_of_network(network, spec, settings.batch_size),
        stack_reason=why_alone(settings, folder, spec) if parameters <= TRIED else None,
    )


def why_alone(settings: Settings, folder: Path, spec: Any) -> str | None:
    """The reason why seeds of these settings cannot be stacked; None if they can, if it is off, or if unknown."""
    from ablate.engine.dry_run import stack_reason

    if settings.stack == "off":
        return None
    try:
        return stack_reason(settings, folder, spec)
    except Exception:  # the job reports it
        return None


if __name__ == "__main__":
    looked_at: dict[str, Any] = {}
    answer(lambda question: asdict(describe(question[1], question[0], looked_at)))

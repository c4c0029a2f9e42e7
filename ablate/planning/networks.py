"""Facts about the networks of a plan: parameters, receptive field, compute cost, and whether seeds can be stacked.

Networks are built in a helper process, so that planning does not run the user's code in the command's own process. The
facts are cached in the study's folder by fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ablate.data.dataset import Spec
from ablate.planning.helper_process import asked
from ablate.planning.plan import Plan
from ablate.recipe import Recipe, Settings
from ablate.store.store import Store, read_or_nothing

TRIED = 2**23
"""Maximum number of parameters for trying whether seeds can be stacked, which needs two networks and gradients."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is known of a variant's network. Values are None if unknown; ``error`` is why it cannot be built.

    ``work`` is the compute cost (`ablate.engine.compute_cost`), ``stack_reason`` why seeds cannot be stacked,
    ``moves_away`` are the tricks that move images whose targets may be positions.
    """

    parameters: int | None = None
    receptive_field: Sequence[int] | None = None
    work: float | None = None
    stack_reason: str | None = None
    moves_away: Sequence[str] = field(default_factory=list)
    error: str | None = None

    def to_json(self) -> dict[str, object]:
        """The facts in plain JSON values: only the error if there is one."""
        known = asdict(self)
        error = known.pop("error")
        return known if error is None else {"error": error}


def network_facts(plan: Plan, store: Store) -> dict[str, Network]:
    """The network of each variant, built if it is not cached."""
    known = cached(plan, store)
    first = {run.variant.name: run for run in reversed(plan.runs)}
    missing = {run.fingerprint: run.variant.settings for run in first.values() if run.fingerprint not in known}
    if missing:
        current = {run.fingerprint for run in first.values()}
        known = {name: network for name, network in known.items() if name in current}
        known |= zip(missing, ask(plan.recipe, list(missing.values())), strict=True)
        store.write_json(cache_file(plan, store), {name: network.to_json() for name, network in known.items()})
    return {name: known[run.fingerprint] for name, run in first.items()}


def known_networks(plan: Plan, store: Store) -> dict[str, Network]:
    """The cached networks by identity of the settings; starts no process, so some may be missing."""
    known = cached(plan, store)
    return {run.identity: known[run.fingerprint] for run in plan.runs if run.fingerprint in known}


def cached(plan: Plan, store: Store) -> dict[str, Network]:
    """The cached networks by fingerprint, without entries of an older format, which have no ``moves_away``."""
    entries = read_or_nothing(cache_file(plan, store)).items()
    return {name: Network(**entry) for name, entry in entries if "moves_away" in entry or "error" in entry}


def cache_file(plan: Plan, store: Store) -> Path:
    return store.study_folder(plan.recipe.study) / "networks.json"


def ask(recipe: Recipe, settings: Sequence[Settings]) -> list[Network]:
    """The networks of ``settings``, from a helper process."""
    specs: dict[str, Spec] = {}
    return asked(describe, [(one, recipe.folder, specs) for one in settings], lambda error: Network(error=error))


def describe(settings: Settings, folder: Path, specs: dict[str, Spec]) -> Network:
    """One variant's network; ``specs`` caches the specs of datasets."""
    from ablate.data.load import known_spec, load_parts
    from ablate.engine.compute_cost import size_of
    from ablate.engine.construction import build_network, make_tricks
    from ablate.engine.dry_run import stack_reason
    from ablate.engine.measures import targets_stay
    from ablate.inits.init import Init
    from ablate.models.receptive_field import receptive_field
    from ablate.optimizers.build import parameter_groups
    from ablate.optimizers.optimizer import Optimizer
    from ablate.registry.lazy import torch

    if settings.joined:
        members = [describe(one, folder, specs) for one in settings.sources.values()]
        return Network(parameters=sum(one.parameters or 0 for one in members))
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
    work, parameters = size_of(network, settings, spec)
    reason = None
    if parameters <= TRIED and settings.stack != "off":
        with suppress(Exception):  # the job reports it
            reason = stack_reason(settings, folder, spec)
    return Network(
        parameters=parameters,
        receptive_field=list(receptive_field(network) or ()) or None,
        work=work,
        stack_reason=reason,
        moves_away=[name for note in targets_stay(settings, tricks, spec) for name in note.values["tricks"]],
    )

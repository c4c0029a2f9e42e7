"""Facts about the networks of a plan: parameters, receptive field, compute cost, and whether seeds can be stacked.

Networks are built in a helper process, so that planning does not run the user's code in the command's own process. The
facts are cached in the study's folder by fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.data.dataset import Parts, Spec
from ablate.planning.helper_process import asked
from ablate.planning.plan import Plan
from ablate.recipe import Recipe, Settings
from ablate.recipe.folds import Folds
from ablate.store.checked import checked
from ablate.store.store import Store, ignore_damaged
from ablate.trainers.trainer import OwnTrainer, trainer_of

if TYPE_CHECKING:
    from torch import nn

TRIED = 2**23
"""Maximum number of parameters for trying whether seeds can be stacked, which needs two networks and gradients."""

CUSTOM = ("data", "model", "init", "loss", "optimizer", "metrics", "tricks")
"""The sections that can name custom code."""

REHEARSED = 2**28
"""Maximum number of parameters for building a network of custom code with its values, and trying it."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is known of a variant's network. Values are None if unknown; ``error`` is why it cannot be built.

    ``work`` is the compute cost (`ablate.engine.compute_cost`), ``stack_reason`` why seeds cannot be stacked,
    ``moves_away`` are the tricks that move images whose targets may be positions, ``repeats`` is false if the training
    set differs when it is read again.
    """

    parameters: int | None = None
    receptive_field: Sequence[int] | None = None
    work: float | None = None
    stack_reason: str | None = None
    moves_away: Sequence[str] = field(default_factory=list)
    repeats: bool = True
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
        write(plan, store, known)
    return {name: known[run.fingerprint] for name, run in first.items()}


def write(plan: Plan, store: Store, known: Mapping[str, Network]) -> None:
    """Cache networks, by the fingerprint of the first run of their variant in ``plan.runs``."""
    store.write_json(cache_file(plan, store), {name: network.to_json() for name, network in known.items()})


def known_networks(plan: Plan, store: Store) -> dict[str, Network]:
    """The cached networks by identity of the settings; starts no process, so some may be missing."""
    known = cached(plan, store)
    return {run.identity: known[run.fingerprint] for run in plan.runs if run.fingerprint in known}


def cached(plan: Plan, store: Store) -> dict[str, Network]:
    """The cached networks by fingerprint, without entries of an older format, which have no ``moves_away``."""
    path = cache_file(plan, store)
    entries = store.read(path, dict[str, dict[str, Any]]) or {}
    try:
        return checked(
            dict[str, Network],
            {name: entry for name, entry in entries.items() if "moves_away" in entry or "error" in entry},
        )
    except ValueError as error:
        ignore_damaged(path, error)
        return {}


def cache_file(plan: Plan, store: Store) -> Path:
    return store.study_folder(plan.recipe.study) / "networks.json"


def ask(recipe: Recipe, settings: Sequence[Settings]) -> list[Network]:
    """The networks of ``settings``, from helper processes."""
    loaded: dict[str, Parts] = {}
    different = {alike(one): one for one in settings}
    questions = [(one, recipe.folder, recipe.folds, loaded) for one in different.values()]
    answers = dict(zip(different, asked(describe, questions, lambda error: Network(error=error)), strict=True))
    return [answers[alike(one)] for one in settings]


def alike(settings: Settings) -> str:
    """A key that is equal for settings whose networks are described alike: the size of a learning rate changes nothing,
    unless custom code sees it.
    """
    tree = settings.dump() | {"sources": {name: one.dump() for name, one in settings.sources.items()}}
    if not settings.custom(*CUSTOM) and isinstance(tree.get("optimizer", {}).get("lr"), float | int):
        tree["optimizer"]["lr"] = 1.0
    return json.dumps(tree, sort_keys=True)


def describe(settings: Settings, folder: Path, folds: Folds | None, loaded: dict[str, Parts]) -> Network:
    """One variant's network; if the variant has custom code, or data from a file, its training is rehearsed.

    ``loaded`` keeps the last dataset by its settings. Raises what the job would raise.
    """
    from ablate.engine.compute_cost import size_of
    from ablate.engine.construction import make_tricks
    from ablate.engine.data_checks import is_unrepeatable, targets_stay
    from ablate.engine.dry_run import stack_reason
    from ablate.models.receptive_field import receptive_field

    trainer = trainer_of(settings)
    if isinstance(trainer, OwnTrainer):
        trainer.check(settings, folder)
        return Network()
    if settings.joined:
        members = [describe(one, folder, folds, loaded) for one in settings.sources.values()]
        return Network(parameters=sum(one.parameters or 0 for one in members))
    network, spec = build(settings, folder, folds, loaded)
    work, parameters = size_of(network, settings, spec)
    tricks, _ = make_tricks(settings, spec, folder)
    reason = None
    if parameters <= TRIED and settings.stack != "off":
        with suppress(Exception):  # the job reports it
            reason = stack_reason(settings, folder, spec)
    return Network(
        parameters=parameters,
        receptive_field=list(receptive_field(network) or ()) or None,
        work=work,
        stack_reason=reason,
        repeats=not any(is_unrepeatable(data) for data in loaded.values()),
        moves_away=[name for note in targets_stay(settings, tricks, spec) for name in note.values["tricks"]],
    )


def build(settings: Settings, folder: Path, folds: Folds | None, loaded: dict[str, Parts]) -> tuple[nn.Module, Spec]:
    """The network of one seed, and what it is trained on: from a rehearsal if there is custom code, or if the data have
    to be read anyway.
    """
    from ablate.data.load import data_of, known_spec
    from ablate.engine.compute_cost import known_parameters
    from ablate.engine.contract import Assignment
    from ablate.engine.rehearsal import rehearse

    reads = settings.custom(*CUSTOM) or settings.evaluate.every is not None  # whose steps must be fewer than an epoch's
    spec = None if reads else known_spec(settings.data)
    if spec is None:
        data = data_of(settings, folder, folds, loaded)
        spec = data.spec
        if (known_parameters(settings, spec, folder) or 0) <= REHEARSED:
            quick = settings.replace(workers=0, compile=False, loader="auto")
            assembly = rehearse(Assignment(quick, (0,), folder, fold=0, folds=folds), data)
            return assembly.network, assembly.spec
    return sketch(settings, spec, folder), spec


def sketch(settings: Settings, spec: Spec, folder: Path) -> nn.Module:
    """The network without values, on the meta device. Raises ValueError if init or optimizer do not fit."""
    from ablate.engine.construction import build_network, make_optimizer, make_tricks
    from ablate.inits.init import Init
    from ablate.registry.lazy import torch

    tricks, _ = make_tricks(settings, spec, folder)
    with torch.device("meta"):
        network, _ = build_network(settings, spec, folder, tricks, None)
    if isinstance(init := settings.init.options, Init):
        init.check(network, spec)
    if not settings.custom("optimizer"):
        make_optimizer(settings, dict(network.named_parameters()), 1, folder)  # each pattern must match a parameter
    return network

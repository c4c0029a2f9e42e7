"""Estimates the duration of runs: from finished runs of the variant or study, or from epochs and network sizes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from statistics import median

from ablate.data.load import known_spec
from ablate.engine.compute_cost import work_of_settings
from ablate.planning.networks import Network, known_networks
from ablate.planning.plan import Plan
from ablate.planning.planned_run import PlannedRun
from ablate.recipe import Settings
from ablate.store.places import epochs_of
from ablate.store.store import Store


class Estimates:
    """Durations in a study, in seconds per epoch and seed."""

    def __init__(self, plan: Plan, store: Store) -> None:
        paces: dict[str, list[float]] = defaultdict(list)
        for run in plan.runs:
            if run.record.seconds and (epochs := epochs_of(run.record)) > 0:
                paces[run.identity].append(run.record.seconds / epochs)
        # with steps, the number of epochs is known only from runs that have begun
        self.epochs = {run.identity: run.record.epochs for run in plan.runs if run.record.epochs}
        self.paces = {identity: median(values) for identity, values in paces.items()}
        self.typical = median(self.paces.values()) if self.paces else None
        self.plan, self.store = plan, store
        self.sizes = {} if self.paces else known_sizes(plan, self.networks)

    @cached_property
    def networks(self) -> dict[str, Network]:
        """What an earlier plan, or the process that prepares the data, has found out, by identity."""
        return known_networks(self.plan, self.store)

    def knows(self, run: PlannedRun) -> bool:
        """Whether a run of the same settings was measured."""
        return run.identity in self.paces

    def seconds(self, runs: Iterable[PlannedRun]) -> float:
        """The remaining time of runs with known durations."""
        return sum(self.paces[run.identity] * self.epochs_left(run) for run in runs)

    def cost(self, run: PlannedRun) -> float:
        """The remaining cost of a run, relative to other runs: in seconds if any duration is known."""
        size = self.sizes.get(run.fingerprint, 1.0)
        return self.epochs_left(run) * (self.paces.get(run.identity) or self.typical or size)

    def work(self, run: PlannedRun) -> float | None:
        """Millions of multiplications in a forward pass over a batch, None if unknown."""
        return work_of(run.variant.settings, self.networks.get(run.identity, Network()))

    def epochs_left(self, run: PlannedRun) -> float:
        """Number of remaining epochs: all of them unless the run was interrupted."""
        done = epochs_of(run.record) if run.record.status in ("interrupted", "running", "timeout") else 0
        return max((run.variant.settings.planned_epochs or self.epochs.get(run.identity, 0)) - done, 1)


def work_of(settings: Settings, network: Network) -> float | None:
    """Millions of multiplications in one seed's forward pass over a batch: from an earlier plan, or from the settings;
    None if unknown.
    """
    if network.work is not None or (spec := known_spec(settings.data)) is None:
        return network.work
    return work_of_settings(settings, spec.input_shape)


def known_sizes(plan: Plan, networks: Mapping[str, Network]) -> dict[str, float]:
    """Number of parameters of each run's network, from an earlier plan; empty unless all are known."""
    sizes = {run.fingerprint: networks[run.identity].parameters for run in plan.runs if run.identity in networks}
    known = {name: float(size) for name, size in sizes.items() if size is not None}
    return known if len(known) == len({run.fingerprint for run in plan.runs}) else {}

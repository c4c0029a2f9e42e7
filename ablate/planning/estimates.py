"""How long runs will take, from those that are done: the row's own pace, else the study's, else epochs and sizes of networks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import median

from ablate.planning.plan import Plan, PlannedRun
from ablate.store.store import Store, read_or_nothing


class Estimates:
    """Paces of a study, in seconds per epoch and seed."""

    def __init__(self, plan: Plan, store: Store) -> None:
        paces: dict[str, list[float]] = defaultdict(list)
        for run in plan.runs:
            if run.record.seconds and run.record.epoch:
                paces[run.identity].append(run.record.seconds / run.record.epoch)
        self.paces = {identity: median(values) for identity, values in paces.items()}
        self.typical = median(self.paces.values()) if self.paces else None
        self.sizes = {} if self.paces else known_sizes(plan, store)

    def knows(self, run: PlannedRun) -> bool:
        """Whether a run of the same settings was measured."""
        return run.identity in self.paces

    def seconds(self, runs: Iterable[PlannedRun]) -> float:
        """What is left of runs that it `knows`."""
        return sum(self.paces[run.identity] * epochs_left(run) for run in runs)

    def cost(self, run: PlannedRun) -> float:
        """What is left of a run, to compare with others: in seconds where any pace is known, else in a unit of its own."""
        size = self.sizes.get(run.fingerprint, 1.0)
        return epochs_left(run) * (self.paces.get(run.identity) or self.typical or size)


def epochs_left(run: PlannedRun) -> int:
    """Epochs that a run still needs: all of them unless it was interrupted."""
    done = run.record.epoch if run.record.status in ("interrupted", "running", "timeout") else 0
    return max(run.variant.settings.epochs - done, 1)


def known_sizes(plan: Plan, store: Store) -> dict[str, float]:
    """Parameters of each run's network as an earlier look at the plan found them; empty unless all are known, so that like is compared with like."""
    facts = read_or_nothing(store.study_folder(plan.recipe.study) / "networks.json")
    by_row = {
        run.identity: facts[run.fingerprint]["parameters"]
        for run in plan.runs
        if facts.get(run.fingerprint, {}).get("parameters") is not None
    }
    sizes = {run.fingerprint: float(by_row[run.identity]) for run in plan.runs if run.identity in by_row}
    return sizes if len(sizes) == len({run.fingerprint for run in plan.runs}) else {}

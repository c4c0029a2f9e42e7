"""The same study as ``ablate run`` trains it: one-thread processes on every core, seeds in stacks, everything kept in
the store; without MLflow.

The server that jobs are forked from is started beforehand, as the others' imports are not timed either.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from ablate.evidence.gather import gather
from ablate.execution.events import RunEnded
from ablate.execution.executors.local import LocalExecutor
from ablate.execution.jobs import make_jobs, stack_rule
from ablate.execution.run_options import RunOptions, slots
from ablate.execution.scheduler import Scheduler
from ablate.planning.plan import make_plan
from ablate.planning.study_file import write_study
from ablate.recipe import Recipe
from ablate.store.provenance import of_command
from ablate.store.store import Store
from bench.rivals.work import asked


class Warm(LocalExecutor):
    """A server that is there before the first job."""

    def __init__(self) -> None:
        super().__init__()
        self._server = self._serve()
        self.poll(None)


def study(
    recipe: Recipe, device: str = "cpu", jobs_per_gpu: int = 1
) -> tuple[float, dict[str, list[float]], list[str]]:
    """Train a recipe from nothing. Returns seconds, the valid losses of every row's last epochs, and the stacks as they
    were made.
    """
    with tempfile.TemporaryDirectory() as folder:
        store, processes = Store(Path(folder)), Warm()
        places = slots(RunOptions(device=device, jobs_per_gpu=jobs_per_gpu))
        began = time.perf_counter()
        plan = make_plan(recipe, store)
        write_study(plan, store)
        missing = plan.to_do()
        jobs = make_jobs(missing, plan, store, of_command(recipe.folder), stack=stack_rule(missing, places))
        scheduler = Scheduler(places, store, executor=processes)
        ended = [event for event in scheduler.run(jobs) if isinstance(event, RunEnded)]
        bad = [event for event in ended if event.status != "finished"]
        if bad:
            raise RuntimeError(f"a run did not finish: {bad[0]}")
        table = gather(plan.renewed(store).record(), provenances=store.provenances)
        seconds = time.perf_counter() - began
        assert all(row.status == "finished" for row in table.rows)
        losses = {
            variant.name: [store.last_epoch(run.fingerprint)["valid_loss"] for run in plan.runs_of(variant.name)]
            for variant in recipe.variants
        }
        return seconds, losses, [f"{job.variant} {len(job.fingerprints)}" for job in jobs]


def main() -> None:
    ask = asked()
    seconds, losses, stacks = {}, {}, []
    for group in ask.groups or [ask.rows]:
        seconds[" ".join(group)], found, made = study(ask.load(group), ask.device, ask.jobs_per_gpu)
        losses.update(found)
        stacks.append(made)
    print(json.dumps({"seconds": seconds, "losses": losses, "stacks": stacks}))


if __name__ == "__main__":
    main()

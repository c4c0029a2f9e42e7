"""What a table and the commands say about the path of the design greedy."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.evidence.table import Table
from ablate.report.notes import counted
from ablate.report.numbers import duration
from ablate.store.records import Step


def path_line(table: Table) -> str:
    """On which seeds the variants were chosen, at what cost, and why the selection stopped; empty for other designs."""
    path = table.path
    if path is None:
        return ""
    if not path.complete:
        return f"The path is not complete: 'ablate run' chooses it on {seeds_text(path.seeds)}."
    cost = "" if path.device_seconds is None else f", {duration(path.device_seconds)} s of device time"
    tried = f"{path.candidates} {counted('candidate', path.candidates)} × {len(path.seeds)}"
    text = f"The path was chosen on {seeds_text(path.seeds)} ({tried}{cost}); verdicts use other seeds."
    return " ".join(part for part in (text, stop_text(path.steps, path.metric)) if part)


def step_lines(table: Table) -> list[str]:
    """A line for each step of the path, with the gains of all tricks."""
    path = table.path
    steps = () if path is None else path.steps
    return [f"{step_text(i, step, path.metric)}." for i, step in enumerate(steps, start=1)] if path else []


def step_text(number: int, step: Step, metric: str) -> str:
    """``Step 1, gain in accuracy: flip +0.012 (kept), dropout −0.003``."""
    gains = [
        f"{trick} {'no result' if gain is None else f'{gain:+.3g}'}{' (kept)' * (trick == step.kept)}"
        for trick, gain in step.gains.items()
    ]
    none = "" if step.kept is not None else "; none is kept"
    return f"Step {number}, mean gain in {metric}: {', '.join(gains)}{none}"


def stop_text(steps: Sequence[Step], metric: str) -> str:
    """Why a selection ended; empty if it kept all tricks."""
    if not steps or steps[-1].kept is not None:
        return ""
    left = ", ".join(steps[-1].gains)
    if all(gain is None for gain in steps[-1].gains.values()):
        return f"No candidate could be compared ({left})."
    return f"None of the others improved {metric} ({left})."


def seeds_text(seeds: Sequence[int]) -> str:
    """``seeds 1000000–1000002``."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]}–{seeds[-1]}"

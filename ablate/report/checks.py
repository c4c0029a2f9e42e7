"""Findings of checks as text and as plain values."""

from __future__ import annotations

from typing import Any

from ablate.planning.preflight import Preflight, Problem

SHOWN = 3
"""Number of variants whose values a line shows, if they differ."""


def line_of(problem: Problem) -> str:
    """One line for all variants that have a problem."""
    finding, names = problem.finding, ", ".join(problem.seen)
    parts = [f"{finding.severity}: {problem.check} ({names}): {finding.problem}", f"Seen: {seen_in(problem)}."]
    parts += [f"Expected: {finding.expected}.", f"Fix: {finding.fix}"]
    return " ".join(part for part in (*parts, f"[{problem.source}]" if problem.source else "") if part)


def seen_in(problem: Problem) -> str:
    """What was seen, once if it is the same in all variants."""
    values = list(dict.fromkeys(problem.seen.values()))
    if len(values) == 1:
        return values[0].rstrip(".")
    pairs = [f"{name}: {seen}" for name, seen in problem.seen.items()]
    return "; ".join(pairs[:SHOWN]) + (f"; and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else "")


def incomplete(outcome: Preflight) -> list[str]:
    """One line for the checks that were not completed for the same variants, with the reasons of the first one."""
    unfinished: dict[str, dict[str, str]] = {}
    for name, check, reason in outcome.not_judged:
        unfinished.setdefault(name, {})[check] = reason
    variants: dict[tuple[str, ...], list[str]] = {}
    for name, checks in unfinished.items():
        variants.setdefault(tuple(checks), []).append(name)
    lines = []
    for listed, names in variants.items():
        reasons = "; ".join(dict.fromkeys(unfinished[names[0]].values()))
        of = f"{names[0]}: " if len(names) > 1 else ""
        what = f"{', '.join(names)}: {', '.join(listed)} not completed ({of}{reasons})."
        lines.append(f"{what} Use a larger --seconds to complete them.")
    return lines


def summary_of(outcome: Preflight) -> str:
    """The last line."""
    warnings, variants = len(outcome.problems) - outcome.errors, counted(len(outcome.variants), "variant")
    checks = f"{counted(len(outcome.checks), 'check')}"
    if not outcome.problems:
        return f"No problems found in {variants} ({checks})."
    found = [counted(n, noun) for n, noun in ((outcome.errors, "error"), (warnings, "warning")) if n]
    return f"{' and '.join(found)} in {variants} ({checks})."


def counted(count: int, noun: str) -> str:
    """``1 error`` or ``2 errors``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def as_values(study: str, outcome: Preflight) -> dict[str, Any]:
    """The outcome as plain JSON values."""
    return {
        "study": study,
        "variants": list(outcome.variants),
        "checks": list(outcome.checks),
        "findings": [
            {
                "severity": one.finding.severity,
                "check": one.check,
                "variants": list(one.seen),
                "problem": one.finding.problem,
                "seen": one.seen,
                "expected": one.finding.expected,
                "fix": one.finding.fix,
                "source": one.source,
            }
            for one in outcome.problems
        ],
        "not_judged": [
            {"variant": name, "check": check, "reason": reason} for name, check, reason in outcome.not_judged
        ],
        "own_training": list(outcome.own),
    }

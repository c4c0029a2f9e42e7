"""Checks the variants of a plan before they are trained, in a helper process, and stores nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.checks.check import Check, Finding
from ablate.data.dataset import Parts
from ablate.planning.failure_reason import diagnosis
from ablate.planning.helper_process import asked
from ablate.recipe import Recipe, Settings, Variant
from ablate.recipe.folds import Folds
from ablate.recipe.settings import Choice
from ablate.registry import entries, lookup
from ablate.registry.lazy import torch
from ablate.trainers.trainer import OwnTrainer, trainer_of

if TYPE_CHECKING:
    from ablate.checks.shared.probe import Probe

FIRST = "first_step"
"""The check that reports what the training itself raises."""

BROKEN = "Fix the code of the check if it is your own; otherwise, report the error."


@dataclass(frozen=True)
class Found:
    """A finding of the check of this name."""

    check: str
    finding: Finding


@dataclass(frozen=True)
class Examined:
    """What the checks say of one variant. ``not_judged`` are the checks that were not completed, and why."""

    found: tuple[Found, ...] = ()
    not_judged: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Problem:
    """Findings that differ only in what was seen, with the variants that have them and what was seen in each."""

    check: str
    finding: Finding
    seen: dict[str, str]

    @property
    def source(self) -> str:
        """Where a built-in check comes from."""
        return next((one.card.source for one in entries("check") if one.name == self.check), "")


@dataclass(frozen=True)
class Preflight:
    """The outcome for a recipe. ``own`` are the variants trained by the user's code, of which only the arguments are
    checked; ``not_judged`` are (variant, check, reason).
    """

    variants: tuple[str, ...]
    checks: tuple[str, ...]
    problems: tuple[Problem, ...]
    not_judged: tuple[tuple[str, str, str], ...] = ()
    own: tuple[str, ...] = ()

    @property
    def errors(self) -> int:
        """The number of problems that are errors."""
        return sum(problem.finding.severity == "error" for problem in self.problems)


def names_of_checks(*, quick: bool = False) -> list[str]:
    """The names of all checks, or of the quick ones."""
    return [
        one.name for one in entries("check") if issubclass(one.settings, Check) and (one.settings.quick or not quick)
    ]


def preflight(recipe: Recipe, variants: Sequence[Variant], *, seconds: float) -> Preflight:
    """Run all checks on some variants of a recipe. ``seconds``: the longest time of a short training."""
    keys, settings = distinct(variants)
    loaded: dict[str, Parts] = {}
    answers = asked(examine, [question(one, recipe, loaded, seconds=seconds) for one in settings], raised)
    return gathered(recipe, variants, [answers[key] for key in keys])


def distinct(variants: Sequence[Variant]) -> tuple[list[int], list[Settings]]:
    """The different settings of variants, and for each variant the number of its own."""
    numbers: dict[str, int] = {}
    different: list[Settings] = []
    keys = []
    for one in variants:
        sources = {name: source.dump() for name, source in one.settings.sources.items()}
        key = json.dumps([one.settings.dump(), sources], sort_keys=True)
        if key not in numbers:
            numbers[key] = len(different)
            different.append(one.settings)
        keys.append(numbers[key])
    return keys, different


def question(
    settings: Settings, recipe: Recipe, loaded: dict[str, Any], *, quick: bool = False, seconds: float = 0.0
) -> tuple[Any, ...]:
    """The arguments of `examine`. ``loaded`` is a dict that all questions share."""
    return settings, recipe.folder, recipe.folds, recipe.checks, loaded, quick, seconds


def gathered(
    recipe: Recipe, variants: Sequence[Variant], answers: Sequence[Examined], *, quick: bool = False
) -> Preflight:
    """The answers of several variants as problems, errors first."""
    kinds: dict[tuple[str, ...], Problem] = {}
    for variant, answer in zip(variants, answers, strict=True):
        for found in answer.found:
            one = found.finding
            key = (found.check, one.severity, one.problem, one.expected, one.fix)
            kinds.setdefault(key, Problem(found.check, one, {})).seen[variant.name] = one.seen
    off = {one.label for one in recipe.checks if getattr(one.options, "enabled", True) is False}
    own = [one.label for one in recipe.checks if one.target is not None]
    names = tuple(name for name in (*names_of_checks(quick=quick), *own) if name not in off)
    ordered = sorted(kinds.values(), key=lambda one: one.finding.severity != "error")
    return Preflight(
        tuple(one.name for one in variants),
        names,
        tuple(ordered),
        tuple((one.name, *pair) for one, answer in zip(variants, answers, strict=True) for pair in answer.not_judged),
        tuple(one.name for one in variants if isinstance(trainer_of(one.settings), OwnTrainer)),
    )


def raised(reason: str) -> Examined:
    """What the training itself raises, as a finding."""
    fix = "Fix this first: the other checks need a training that can be built."
    finding = Finding("error", "The first step fails.", reason, "a step and an evaluation without an exception", fix)
    return Examined((Found(FIRST, finding),))


def examine(
    settings: Settings,
    folder: Path,
    folds: Folds | None,
    chosen: tuple[Choice, ...],
    loaded: dict[str, Parts],
    quick: bool,
    seconds: float,
) -> Examined:
    """Run the checks on one variant; ``loaded`` keeps the last dataset. Raises what a job would raise."""
    trainer = trainer_of(settings)
    if isinstance(trainer, OwnTrainer):
        if not quick:
            trainer.check(settings, folder)
        return Examined()
    if settings.joined:
        return Examined()
    from ablate.checks.shared.probe import Probe
    from ablate.data.load import data_of
    from ablate.engine.contract import Assignment
    from ablate.engine.rehearsal import rehearse

    torch.set_num_threads(1)  # faster for small networks, and does not disturb others
    precision = settings.precision if settings.precision == "float64" else "float32"
    settings = settings.replace(workers=0, compile=False, loader="auto", precision=precision, watch=())
    data = data_of(settings, folder, folds, loaded)
    assignment = Assignment(settings, (0,), folder, fold=0, folds=folds)
    if not quick:
        rehearse(assignment, data)
    checks = {name: one for name, one in checks_of(chosen, folder).items() if one.quick or not quick}
    probe = Probe(assignment, data, seconds)
    if quick and not settings.source_rows:
        _ = probe.first, probe.gradients  # what user code raises here would be raised in most checks
    return looked(probe, checks)


def checks_of(chosen: Sequence[Choice], folder: Path) -> dict[str, Check]:
    """All checks by name, with the settings of the recipe, the quick ones first. Imports the user's own checks."""
    made = {name: lookup("check", name).settings() for name in names_of_checks()}
    for choice in chosen:
        kind = choice.resolve(folder) if choice.target is not None else None
        if kind is not None and not (isinstance(kind, type) and issubclass(kind, Check)):
            raise ValueError(f"checks.target (={choice.target}) must be a subclass of ablate.checks.check.Check.")
        made[choice.label] = kind.model_validate(dict(choice.options)) if kind is not None else choice.built_in(Check)
    enabled = {name: one for name, one in made.items() if isinstance(one, Check) and one.enabled}
    return dict(sorted(enabled.items(), key=lambda pair: not pair[1].quick))


def looked(probe: Probe, checks: Mapping[str, Check]) -> Examined:
    """What the checks find in a training."""
    from ablate.checks.shared.probe import NotJudged

    found: list[Found] = []
    not_judged: list[tuple[str, str]] = []
    for name, check in checks.items():
        if not check.quick and any(one.finding.severity == "error" for one in found):
            break  # the short trainings would only show its consequences
        if probe.settings.source_rows and check.needs_weights:
            continue
        try:
            found += [Found(name, one) for one in check.look(probe)]
        except NotJudged as reason:
            not_judged.append((name, str(reason)))
        except Exception as error:
            finding = Finding("warning", "The check itself failed.", diagnosis(error)[1], "a check that runs", BROKEN)
            found.append(Found(name, finding))
    return Examined(tuple(found), tuple(not_judged))

"""``trainer: {target: train:main}``: the user's own training function."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from ablate.printable import shortened
from ablate.recipe.settings import Choice, Settings
from ablate.recipe.targets import TARGET, code_digest, local_code
from ablate.registry import Card, register, suggestion
from ablate.trainers.trainer import OwnTrainer

if TYPE_CHECKING:
    from ablate.engine.contract import Assignment, Outcome, Report, State


@register(
    "trainer",
    "target",
    card=Card(
        "A training function of your own, which gets the run, and the arguments in args.",
        helps="Ablates training code that the built-in loop cannot express.",
        costs="Tricks, losses and models of the catalogue are not available.",
    ),
)
class Function(OwnTrainer):
    """Calls the user's function as ``main(run, **args)``, once per run."""

    target: str = Field(description="the function as module:attribute; it is called as main(run, **args)")

    @field_validator("target")
    @classmethod
    def _has_module_and_attribute(cls, value: str) -> str:
        if not TARGET.fullmatch(value):
            raise ValueError("must be module:attribute, such as train:main.")
        return value

    @property
    def module(self) -> str:
        return self.target.partition(":")[0]

    def train(self, assignment: Assignment, report: Report, state: State | None) -> Sequence[Outcome]:
        from ablate.engine.contract import Facts
        from ablate.trainers.shared.points import Diverged
        from ablate.trainers.shared.run import Run

        settings = assignment.settings
        function = self.function(assignment.folder)
        outcomes = []
        report.started(Facts())
        for replica in range(len(assignment.seeds)):
            run = Run(assignment, replica, report, state)
            try:
                run.finish(function(run, **values_of(settings.args)))
            except Diverged:
                pass
            except SystemExit as error:
                if error.code not in (None, 0):
                    raise ValueError(f"{self.target} ended with sys.exit({shortened(repr(error.code))})") from None
            report.end_if_asked(only_if_raised=True)
            outcomes.append(run.outcome())
            report.ended(replica, outcomes[-1])
        return outcomes

    def function(self, folder: Path) -> Any:
        """Import the function. Raises ValueError if it does not exist or cannot be called."""
        found = Choice("trainer", None, self.target, {}).resolve(folder)
        if not callable(found):
            kind = type(found).__name__
            article = "an" if kind[0] in "aeiou" else "a"
            raise ValueError(f"trainer.target (={self.target}) must be a function, but is {article} {kind}.")
        return found

    def check(self, settings: Settings, folder: Path) -> None:
        function = self.function(folder)
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # some built-in callables have none
            return
        known = list(signature.parameters.values())
        if not known or known[0].kind in (known[0].KEYWORD_ONLY, known[0].VAR_KEYWORD):
            raise ValueError(f"trainer.target (={self.target}) must take the run as its first argument.")
        if any(one.kind is one.VAR_KEYWORD for one in known):
            names: list[str] | None = None
        else:
            names = [one.name for one in known[1:] if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)]
        for name in settings.args:
            if names is not None and name not in names:
                near = suggestion(name, names)
                have = f"Did you mean '{near}'?" if near else f"It takes: {', '.join(names) or 'no arguments'}."
                raise ValueError(f"args.{name} is not an argument of {self.target}. {have}")
            if name == known[0].name:
                raise ValueError(f"args.{name} is the run itself, the first argument of {self.target}. Remove it.")
        lacking = [
            one.name
            for one in known[1:]
            if one.default is one.empty
            and one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)
            and one.name not in settings.args
        ]
        if lacking:
            raise ValueError(f"args.{lacking[0]} is required by {self.target}. Add it under 'args'.")

    def deciding(self) -> dict[str, Any]:
        return {"name": "target", "target": self.target}

    def code_digests(self, folder: Path) -> dict[str, Any]:
        return {self.target: code_digest(self.module, folder)}

    def code_files(self, folder: Path) -> set[Path]:
        return set(local_code(self.module, folder).values())

    def ignores_epochs(self, folder: Path) -> str | None:
        try:
            texts = [path.read_text(encoding="utf-8", errors="replace") for path in self.code_files(folder)]
        except (OSError, ValueError):
            return None  # reported elsewhere
        if not texts or any(re.search(r"\bepochs\b", text) for text in texts):
            return None
        return f"is not used by {self.target}. Use run.epochs there, or remove 'epochs'."


def values_of(args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments, with the values of environment variables for ``{env: NAME}``. Raises ValueError."""
    return {name: value_of(name, value) for name, value in args.items()}


def value_of(name: str, value: Any) -> Any:
    """One argument's value."""
    if not isinstance(value, Mapping) or list(value) != ["env"]:
        return value
    variable = str(value["env"])
    if variable not in os.environ:
        raise ValueError(f"args.{name} requires the environment variable {variable}, which is not set.")
    return os.environ[variable]

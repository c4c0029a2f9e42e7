"""How the network is called with a batch, and what of its return value is the prediction and the loss: as hooks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from ablate.losses.from_model import FromModel, WithTargets
from ablate.recipe.settings import BatchForm, Settings
from ablate.trees import Tree, WrongPath, children_of, described, pick


class Arguments:
    """A forward pre-hook: the network's arguments, of inputs, or of `WithTargets` if it computes the loss.

    Named inputs (a dict or a dataclass) are unpacked with the targets under the name in ``batch.targets``; all others
    get them as the last positional argument. ``has_targets``: whether the last call had any.
    """

    def __init__(self, form: BatchForm) -> None:
        self.form = form
        self.has_targets = self.accepts_targets = False

    def __call__(self, network: nn.Module, given: tuple[Tree], _: Mapping[str, Any]) -> tuple[Any, dict[str, Tree]]:
        self.has_targets = isinstance(given[0], WithTargets)
        inputs = given[0].inputs if self.has_targets else given[0]
        arguments, named = self._unpacked(inputs) if self.form.call == "unpack" else ((inputs,), {})
        if self.has_targets:
            targets = given[0].targets
            if named:
                named |= targets if isinstance(self.form.targets, tuple) else {self._name(): targets}
            else:
                arguments = (*arguments, targets)
            if not self.accepts_targets:
                _check_arguments(network, arguments, named)
                self.accepts_targets = True
        return arguments, named

    def _unpacked(self, inputs: Tree) -> tuple[tuple[Tree, ...], dict[str, Tree]]:
        several = children_of(inputs)
        if several is None:
            raise WrongPath(
                f"batch.call (=unpack) requires several inputs, but they are {described(inputs)}. List them in "
                "batch.inputs, or remove 'call'."
            )
        return (tuple(several.values()), {}) if isinstance(inputs, tuple | list) else ((), dict(several))

    def _name(self) -> str:
        name = str(self.form.targets or "").rpartition(".")[2]
        if not name.isidentifier():
            raise WrongPath(
                f"loss (=from_model) with batch.call (=unpack) requires a name for the targets, but batch.targets is "
                f"{'not set' if self.form.targets is None else self.form.targets}. Set it to their key."
            )
        return name


def _check_arguments(network: nn.Module, arguments: tuple[Tree, ...], named: Mapping[str, Tree]) -> None:
    """Raises ValueError (one line) for a network that cannot be called with targets."""
    signature = inspect.signature(network.forward)
    try:
        signature.bind(*arguments, **named)
    except TypeError as error:
        names = ", ".join(signature.parameters)
        raise ValueError(
            f"loss (=from_model) requires a network that accepts the targets, but {type(network).__name__}.forward "
            f"takes ({names}): {error}. Add an argument for the targets, or use another loss."
        ) from None


class Returned:
    """A forward hook: the prediction, in what the network returned; with targets, `WithLoss`."""

    def __init__(self, arguments: Arguments, output: str | int | None, loss: FromModel | None) -> None:
        self.arguments, self.output, self.loss = arguments, output, loss

    def __call__(self, network: nn.Module, _: tuple[Tree, ...], returned: Tree) -> Tree:
        if self.loss is None or not self.arguments.has_targets:
            return self._picked(returned)
        found = self.loss.split(returned)
        return found._replace(prediction=self._picked(found.prediction))

    def _picked(self, returned: Tree) -> Tree:
        return returned if self.output is None else pick(returned, self.output, "batch.output")


def add_hooks(network: nn.Module, settings: Settings) -> None:
    """Add the hooks that the settings require."""
    form, loss = settings.batch, settings.loss.options
    own = loss if isinstance(loss, FromModel) else None
    arguments = Arguments(form)
    if form.call == "unpack" or own is not None:
        network.register_forward_pre_hook(arguments, with_kwargs=True)
    if form.output is not None or own is not None:
        network.register_forward_hook(Returned(arguments, form.output, own))

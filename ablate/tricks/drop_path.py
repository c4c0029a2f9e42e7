"""Stochastic depth: drop residual branches at random, per sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.schedules import Scheduled
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from torch import nn


@register(
    "trick",
    "drop_path",
    card=Card(
        "Drops residual branches at random, per sample, during training.",
        source="Huang et al. 2016, Deep Networks with Stochastic Depth; Larsson et al. 2017, FractalNet",
        helps="For deep residual networks that overfit.",
        costs=(
            "Slower convergence; the training loss is computed with dropped branches, so compare train_loss_clean. "
            "Training is not faster."
        ),
        interacts="Requires a network with residual branches. Can be combined with dropout.",
    ),
)
class DropPath(Trick):
    """x + f(x) becomes x + f(x)·keep/(1 − p), with keep (0 or 1) drawn per sample and block.

    With the ``linear`` rule, block l of L is dropped with probability ``rate``·l/L (equation 4 of the paper); with
    ``uniform``, all with ``rate``. A block is a module whose class has an attribute ``residual_branch``, the name of
    the child that computes f(x), as in `ablate.layers.residual_block.ResidualBlock`. For other networks, list the
    modules that compute f(x) in ``branches``.

    ``wrong`` drops the whole block, (x + f(x))·keep/(1 − p): a known mistake, available so that its effect can be
    measured. A dropped sample is zero in all later layers and contributes no gradient.
    """

    stacked = True
    shorthand = "rate"
    order = 58
    examples = ({"rate": 0.5}, {"rate": {"linear": [0.2, 0.5]}, "rule": "uniform", "wrong": True})

    rate: Annotated[Scheduled[float], Range(ge=0, lt=1)] = Field(
        default=0.2, description="drop probability of the last block (linear), or of every block (uniform)"
    )
    rule: Literal["linear", "uniform"] = Field(
        default="linear", description="linear: probabilities grow with depth; uniform: all are equal"
    )
    branches: str | None = Field(
        default=None,
        description="pattern of the branches' names, such as layer*.conv_path, if blocks have no residual_branch",
    )
    wrong: bool = Field(
        default=False, description="drop the whole block with its input: an incorrect variant, for comparison"
    )

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Raises `NoEffect` if there is no branch or the rate is 0, ValueError if ``wrong`` is combined with
        ``branches``.
        """
        from ablate.layers.dropout import NAME, DropPath, end_in

        if self.rate == 0:
            raise NoEffect("drop_path has no effect: drop_path.rate is 0.")
        found = self._places(model)
        if not found:
            raise NoEffect(
                "drop_path has no effect: the network has no residual branches. Define 'residual_branch' in the "
                "block's class, or list the branches in drop_path.branches."
            )
        for i, (_, module) in enumerate(found, start=1):
            layer = DropPath(self._present(i, len(found))())
            layer.rate = self._present(i, len(found))
            end_in(module, layer)
        return model, [f"{path}.{NAME}".removeprefix(".") for path, _ in found]

    def _places(self, model: nn.Module) -> list[tuple[str, nn.Module]]:
        """The modules whose output is dropped and their names, in order of depth."""
        modules = dict(model.named_modules())
        if self.branches is not None:
            if self.wrong:
                raise ValueError(
                    f"drop_path.wrong (=True) cannot be combined with drop_path.branches (={self.branches}), "
                    "because it drops whole blocks."
                )
            return [(path, module) for path, module in modules.items() if fnmatchcase(path, self.branches)]
        blocks = {path: module for path, module in modules.items() if hasattr(type(module), "residual_branch")}
        if self.wrong:
            return list(blocks.items())
        names = [f"{path}.{type(block).residual_branch}".removeprefix(".") for path, block in blocks.items()]
        return [(name, modules[name]) for name in names]

    def _present(self, block: int, blocks: int) -> Callable[[], float]:
        share = block / blocks if self.rule == "linear" else 1.0
        return lambda: float(self.now.rate) * share

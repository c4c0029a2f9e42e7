"""Stochastic depth: residual branches are left out at random, sample by sample."""

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
        "Leaves out residual branches at random, sample by sample, in training.",
        source="Huang et al. 2016, Deep Networks with Stochastic Depth; Larsson et al. 2017, FractalNet",
        helps="Deep residual networks that overfit.",
        costs="More epochs; the train loss is measured with branches missing, so compare train_loss_clean. No time is saved here.",
        interacts="Only networks with residual branches have a use for it. Its draws come on top of dropout's.",
    ),
)
class DropPath(Trick):
    """x + f(x) becomes x + f(x)·keep/(1 − p) with one draw of keep (0 or 1) for each sample and block.

    With the ``linear`` rule block l of L drops at ``rate``·l/L (the paper's equation 4), with ``uniform`` all at ``rate``.
    A block is a module whose class has an attribute ``residual_branch``, the name of the child that makes f(x), as
    `ablate.layers.residual_block.ResidualBlock` has; in other networks ``branches`` names the modules that make f(x).

    ``wrong`` drops the whole block, (x + f(x))·keep/(1 − p): a known mistake, kept to be measured. Such a sample is all zeros from there on and learns nothing.
    """

    stacked = True
    shorthand = "rate"
    order = 58

    rate: Annotated[Scheduled[float], Range(ge=0, lt=1)] = Field(
        default=0.2, description="drop rate of the last block (linear), or of each (uniform)"
    )
    rule: Literal["linear", "uniform"] = Field(default="linear", description="rates grow with depth, or are all alike")
    branches: str | None = Field(
        default=None, description="pattern of the branches' names, such as layer*.conv_path, where blocks do not tell"
    )
    wrong: bool = Field(
        default=False, description="drop the whole block with its input: the wrong form, to compare with"
    )

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Raises `NoEffect` where there is no branch or the rate is 0, ValueError where ``wrong`` meets branches without a block."""
        from ablate.layers.drop_path import NAME, DropPath, end_in

        if self.rate == 0:
            raise NoEffect("drop_path changes nothing: its rate is 0.")
        found = self._places(model)
        if not found:
            raise NoEffect(
                "drop_path changes nothing: the network has no residual branch. Give a block's class 'residual_branch', or name them in drop_path.branches."
            )
        for i, (_, module) in enumerate(found, start=1):
            layer = DropPath(self._present(i, len(found))())
            layer.rate = self._present(i, len(found))
            end_in(module, layer)
        return model, [f"{path}.{NAME}".removeprefix(".") for path, _ in found]

    def _places(self, model: nn.Module) -> list[tuple[str, nn.Module]]:
        """The modules whose output is dropped, with their names, in the order of depth."""
        modules = dict(model.named_modules())
        if self.branches is not None:
            if self.wrong:
                raise ValueError(
                    f"drop_path.wrong (=True) cannot be combined with drop_path.branches (={self.branches}): it drops whole blocks."
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

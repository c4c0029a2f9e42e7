"""Several optimizers as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch


class SeveralOptimizers(torch.optim.Optimizer):
    """Takes a step of each optimizer. ``param_groups`` are theirs, in order."""

    takes_rates = True

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self.optimizers = optimizers
        super().__init__([group for one in optimizers for group in one.param_groups], {})

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of each."""
        for one in self.optimizers:
            one.step()

    def state_dict(self) -> dict[str, Any]:
        """``state`` and ``param_groups`` of each, by its number."""
        saved = dict(enumerate(one.state_dict() for one in self.optimizers))
        return {key: {i: one[key] for i, one in saved.items()} for key in ("state", "param_groups")}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore each. One without an entry in ``state`` begins again."""
        self.param_groups = []
        for i, one in enumerate(self.optimizers):
            state, groups = state_dict["state"].get(i, {}), state_dict["param_groups"][i]
            one.load_state_dict({**one.state_dict(), "state": state, "param_groups": groups})
            self.param_groups += one.param_groups

"""The learning rate and momentum that a step was made with, as an optimizer holds them."""

from __future__ import annotations

from typing import Any


def applied_rates(optimizer: Any, replica: int) -> dict[str, float | None]:
    """``lr`` and ``momentum`` of one seed as last applied, in the group that no pattern took, or else the first; ``lr/<pattern>`` of the other groups.

    Adam's like call their momentum β₁. What an optimizer does not have is not there.
    """
    groups = optimizer.param_groups
    base = next((group for group in groups if group.get("match") is None), groups[0])
    rates: dict[str, float | None] = {}
    if "lr" in base:
        rates["lr"] = of_seed(base["lr"], replica)
    if "momentum" in base:
        rates["momentum"] = of_seed(base["momentum"], replica)
    elif "betas" in base:
        rates["momentum"] = of_seed(base["betas"][0], replica)
    for group in groups:
        if group is not base and group.get("match") is not None and "lr" in group:
            rates.setdefault(f"lr/{group['match']}", of_seed(group["lr"], replica))
    return rates


def of_seed(value: Any, replica: int) -> float | None:
    """A number that an optimizer's group holds for all seeds, or for each."""
    if hasattr(value, "dim"):
        return float(value[replica] if value.dim() else value)
    return float(value)

"""The losses of single validation samples that a user's own training reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.data.examples import MOST, Examples
from ablate.registry.lazy import torch


class ExamplesByPoint:
    """The values of samples by the number of the point with which they were reported."""

    def __init__(self) -> None:
        self.points: dict[int, Examples] = {}

    def add(self, point: int, metric: str, ids: object, values: object, groups: object = None) -> None:
        """Record a metric of all samples. Raises ValueError (one line)."""
        numbers = array("losses", values, "numbers")
        known = array("ids", ids, "integers")
        own = None if groups is None else array("groups", groups, "integers")
        for name, one in (("losses", numbers), ("groups", own)):
            if one is not None and len(one) != len(known):
                raise ValueError(f"run.examples: {name} ({len(one)}) must be as many as ids ({len(known)}).")
        if len(np.unique(known)) != len(known):
            raise ValueError("run.examples: ids must be different. Use the positions of the samples in your data.")
        if not 0 < len(known) <= MOST or not np.isfinite(numbers).all():
            return
        order = np.argsort(known)  # samples may come in another order in each epoch
        known, numbers, own = known[order], numbers[order], own if own is None else own[order]
        before = self.points.get(point)
        if before is None or not np.array_equal(before.ids, known):
            before = Examples(known, {}, groups=own)
        self.points[point] = replace(
            before, values={**before.values, metric: numbers}, groups=before.groups if own is None else own
        )

    def keep_only(self, points: Iterable[int | None]) -> None:
        """Forget all other points."""
        kept = set(points)
        self.points = {point: one for point, one in self.points.items() if point in kept}

    def of(self, point: int | None) -> Examples | None:
        """The values of a point, if they are known."""
        return None if point is None else self.points.get(point)

    def state(self) -> dict[int, dict[str, Any]]:
        """What a checkpoint holds."""
        return {
            point: {
                "ids": torch.from_numpy(one.ids),
                "values": {name: torch.from_numpy(values) for name, values in one.values.items()},
                "groups": None if one.groups is None else torch.from_numpy(one.groups),
            }
            for point, one in self.points.items()
        }

    def restore(self, state: Mapping[int, Mapping[str, Any]]) -> None:
        """Continue after a checkpoint."""
        for point, one in state.items():
            values = {name: kept.cpu().numpy() for name, kept in one["values"].items()}
            groups = None if one["groups"] is None else one["groups"].cpu().numpy()
            self.points[point] = Examples(one["ids"].cpu().numpy(), values, groups=groups)


def array(name: str, given: object, kind: str) -> NDArray[Any]:
    """An argument of ``run.examples`` as an array (n,) of int64 or float32. Raises ValueError (one line)."""
    if isinstance(given, torch.Tensor):
        given = given.detach().cpu().numpy()
    found = np.asarray(given)
    if found.ndim != 1 or found.dtype.kind not in ("iu" if kind == "integers" else "iufb"):
        what = f"an array of shape {found.shape} and type {found.dtype}"
        raise ValueError(f"run.examples: {name} must be {kind} of shape (n,), but are {what}.")
    return found.astype(np.int64 if kind == "integers" else np.float32)

"""Applies losses, metrics and tricks that are written for one network to a stack of R seeds.

A loss runs under ``torch.func.vmap``, or seed by seed if that fails. A trick is copied for each seed, with that seed's
tensors, noise and state, so that its hooks work as in a training of one seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ablate.data.dataset import mapped
from ablate.losses.classification import CrossEntropy, has_class
from ablate.losses.regression import Mse, same_shape
from ablate.registry.lazy import torch
from ablate.trees import length, tensors, tree_map, unbound
from ablate.tricks.trick import Context, Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Batch
    from ablate.rng.noise import Noise

Measure = Callable[["Tensor", "Tensor"], "Tensor"]


def vmapped(loss: Measure) -> Measure:
    """A loss (N, …) → 0-d as one (R, N, …) → (R,). Two of them are written out: 3 times as fast as vmap."""
    if type(loss) is CrossEntropy and not loss.model_dump():
        return partial(_cross_entropy, missing=loss._missing)
    if type(loss) is Mse and not loss.model_dump() and not loss._missing:
        return _mse
    return torch.func.vmap(loss)


def one_by_one(measure: Measure) -> Measure:
    """A loss or metric (N, …) → 0-d as one (R, N, …) → (R,), seed by seed."""

    def each(prediction: Tensor, target: Tensor) -> Tensor:
        pairs = zip(unbound(prediction), unbound(target), strict=True)
        device = next(tensors(prediction)).device
        return torch.stack([torch.as_tensor(measure(p, t), device=device) for p, t in pairs])

    return each


def weight_of_each(weight: Callable[[Tensor], Tensor | int]) -> Callable[[Tensor], Tensor | int]:
    """The weight of a batch in a mean: one number if it only depends on the batch's size, else (R,) or (R, K)."""

    def each(target: Tensor) -> Tensor | int:
        first = weight(tree_map(itemgetter(0), target))
        return first if isinstance(first, int) else torch.stack([first, *map(weight, unbound(target)[1:])])  # type: ignore[list-item]

    return each


def _cross_entropy(prediction: Tensor, target: Tensor, *, missing: bool) -> Tensor:
    flat = target.flatten(0, 1)
    ignored = missing and target.is_floating_point()
    if ignored:
        known = has_class(flat)
        flat = torch.where(known.unsqueeze(1), flat, 0.0)
    each = torch.nn.functional.cross_entropy(prediction.flatten(0, 1), flat, reduction="none")
    each = each.view(len(prediction), -1)
    if target.is_floating_point() or not missing:
        mean = each.mean(dim=1)
        return mean * (each.shape[1] / known.view_as(each).sum(dim=1).clamp(min=1).to(mean.dtype)) if ignored else mean
    # torch ignores samples of class -100
    return each.sum(dim=1) / (target != -100).flatten(1).sum(dim=1).clamp(min=1)


def _mse(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - same_shape("mse", prediction, target)).square().flatten(1).mean(dim=1)


class EachSeed:
    """A trick for one network in a stack: one copy per seed. Its hooks are those of a stacked trick."""

    def __init__(self, copies: Sequence[Trick]) -> None:
        self.copies, self.device = list(copies), "cpu"
        self._views: list[dict[str, Tensor]] = []

    def bind(self, context: Context) -> None:
        """Bind each copy to its seed."""
        self.device = context.device
        for copy, seed in zip(self.copies, context.seeds, strict=True):
            copy.bind(replace(context, seeds=(seed,)))

    def on_order(self, order: Tensor, targets: Tensor | None, noise: Sequence[Noise]) -> Tensor:
        """Each seed's order, (R, n)."""
        rows = zip(self.copies, order.unbind(), noise, strict=True)
        return torch.stack([copy.on_order(row, targets, own) for copy, row, own in rows])

    def on_batch(self, batch: Batch, noise: Sequence[Noise]) -> Batch:
        """Each seed's batch; ``noise`` has one stream per seed."""
        changed = [copy.on_batch(part, own) for copy, part, own in zip(self.copies, _parts(batch), noise, strict=True)]
        return mapped(lambda *parts: torch.stack(parts), *changed)

    def needs_positions(self) -> bool:
        """The same for all seeds."""
        return self.copies[0].needs_positions()

    def batches_per_step(self) -> int:
        """The same for all seeds."""
        return self.copies[0].batches_per_step()

    def on_rate(self, rate: float | Tensor) -> Tensor:
        """Each seed's learning rate, (R,)."""
        rates = rate.unbind() if isinstance(rate, torch.Tensor) and rate.dim() else [rate] * len(self.copies)
        each = [copy.on_rate(own) for copy, own in zip(self.copies, rates, strict=True)]
        return torch.stack([on_device(rate, self.device) for rate in each])

    def on_loss(self, loss: Tensor, prediction: Tensor, batch: Batch) -> Tensor:
        """Each seed's loss, (R,)."""
        seeds = zip(self.copies, loss.unbind(), unbound(prediction), _parts(batch), strict=True)
        return torch.stack([copy.on_loss(own, predicted, part) for copy, own, predicted, part in seeds])

    def on_gradients(self, parameters: Mapping[str, Tensor]) -> None:
        """Each seed's gradients, as views: changes in place apply to the stack; a new ``grad`` is copied into it."""
        for i, (copy, views) in enumerate(zip(self.copies, self._one_network_each(parameters), strict=True)):
            for name, parameter in parameters.items():
                views[name].grad = None if parameter.grad is None else parameter.grad[i]
            given = {name: view.grad for name, view in views.items()}
            copy.on_gradients(views)
            for name, view in views.items():
                gradient = parameters[name].grad
                if gradient is not None and view.grad is not given[name]:
                    if view.grad is None:
                        rule = f"must not set the gradient of {name} to None when seeds are trained in parallel"
                        raise ValueError(f"{type(copy).__name__} {rule}. Set it to 0, or set 'stacks' to a reason.")
                    gradient[i] = view.grad
                view.grad = None

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        """Each seed's weights, as views."""
        for copy, views in zip(self.copies, self._one_network_each(parameters), strict=True):
            copy.on_weights(views)

    def on_epoch(self, epoch: int, metrics: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_] | None:
        """Each seed's metrics. Returns which seeds should stop, (R,)."""
        wishes = [
            copy.on_epoch(epoch, {name: values[i : i + 1] for name, values in metrics.items()})
            for i, copy in enumerate(self.copies)
        ]
        if all(wish is None for wish in wishes):
            return None
        return np.array([wish is not None and bool(np.all(wish)) for wish in wishes])

    def evaluation_weights(self) -> dict[str, Tensor] | None:
        """Each seed's weights, (R, …); None if no seed has any. Raises ValueError if only some have."""
        each = [weights for copy in self.copies if (weights := copy.evaluation_weights()) is not None]
        if each and len(each) < len(self.copies):
            rule = "must have evaluation weights for all seeds or none when seeds are trained in parallel"
            raise ValueError(f"{type(self.copies[0]).__name__} {rule}. Set 'stacks' to a reason.")
        return {name: torch.stack([weights[name] for weights in each]) for name in each[0]} if each else None

    @property
    def fresh_norms(self) -> bool:
        """The same for all seeds."""
        return self.copies[0].fresh_norms

    @property
    def ignored_epochs(self) -> int:
        """The same for all seeds."""
        return self.copies[0].ignored_epochs

    def state(self) -> dict[str, Any]:
        """The states of all copies."""
        return {"each": [copy.state() for copy in self.copies]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the states of all copies."""
        for copy, saved in zip(self.copies, state["each"], strict=True):
            copy.restore(saved)

    def _one_network_each(self, parameters: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        if not self._views:  # the stack's tensors stay the same during a training
            self._views = [{n: p.detach()[i] for n, p in parameters.items()} for i in range(len(self.copies))]
            for views in self._views:
                for name, parameter in parameters.items():
                    views[name].requires_grad_(parameter.requires_grad)
        return self._views


def _parts(batch: Batch) -> list[Batch]:
    """A stack's batch as R batches of one network each."""
    return [mapped(itemgetter(i), batch) for i in range(length(batch.inputs))]


def on_device(rate: float | Tensor, device: str) -> Tensor:
    """A learning rate as a 0-d tensor on the device; created there, because a copy from the host would block."""
    if isinstance(rate, torch.Tensor):
        return rate.to(device, torch.float64)
    return torch.full((), rate, dtype=torch.float64, device=device)

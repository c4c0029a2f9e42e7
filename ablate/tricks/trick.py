"""The interface of a trick: one named change to how a network is trained.

A trick is a frozen, typed group of settings with only the hooks that it needs. The engine (``ablate/engine/training.py``) calls them here::

    settings  = trick.on_settings(settings)         # built-in tricks only: a rule on settings, applied when a recipe is read
    data      = trick.on_data(data)                 # subset, normalize, clean, once
    model     = trick.on_model(model)               # wrap, replace, initialize, freeze layers; returns what it changed
    trick.between_epochs(0, weights, optimizer)     # initial state
    for epoch:
        order     = trick.on_order(order, targets, noise)       # which samples, in which order
        for batches:                                # one, or trick.batches_per_step(); scheduled values are set; tensors are on the device
            rate       = trick.on_rate(rate)                    # learning rate: plateau, restart …
            for batch in batches:
                batch      = trick.on_batch(batch, noise)           # flip, crop, mixup …; batch.true_targets are kept for metrics
                prediction = model(batch.inputs)
                loss       = trick.on_loss(loss, prediction, batch) # penalties, smoothing …
                gradients of loss
            trick.on_pass(gradients, parameters)    # gradients() again at other weights (SAM) or of some samples (noise scale)
            trick.on_gradients(parameters)          # clip …
            optimizer step
            trick.on_weights(parameters)            # max-norm, moving average …
        validation                                  # trick.on_predict(network, predict, inputs, batch); best and last weights;
                                                    # uses trick.evaluation_weights(), if any, instead of the live weights;
                                                    # tracked metrics of the epoch are read from the device
        trick.on_epoch(epoch, metrics)              # early stopping, plateau, unfreezing, snapshots; then the epoch is reported
        trick.between_epochs(epoch, weights, optimizer)     # not after the last epoch: go back to earlier weights …

Hooks are written for one network, ``(N, C, H, W)``. A hook with ``stacked = True`` gets a whole stack of R seeds at once,
``(R, N, C, H, W)``, and counts axes from the right, so that it works for both. A hook never waits for the device (no ``.item()``)
and keeps shapes from step to step; decisions on values are made in ``on_epoch``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import PrivateAttr

from ablate.registry import Named
from ablate.schedules import Schedule

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from ablate.data.dataset import Batch, Parts, Spec
    from ablate.notes.note import Note
    from ablate.recipe.settings import Settings
    from ablate.rng.noise import Noise


class NoEffect(ValueError):
    """A change that changes nothing: the row says `no effect` and why."""


class Gradients(Protocol):
    """Computes the gradients of a step anew, for `Trick.on_pass`: on the same batches, with the same random numbers, at the weights as they are now."""

    @property
    def samples(self) -> int:
        """Samples of the step; in a stack, of each seed."""

    def __call__(self, part: slice | None = None) -> Tensor:
        """Put the gradients into ``parameters[name].grad`` (new tensors) and return the loss, 0-d or (R,); ``part``: of these samples only.

        What a network learns by the way, such as batch norm's statistics, stays as the first pass left it.
        """


@dataclass(frozen=True)
class Context:
    """What a trick may know of the training that it takes part in. ``steps_per_epoch`` are the optimizer's.

    ``weights`` are files with the weights of rows that were trained before, by row and seed.
    """

    spec: Spec
    seeds: tuple[int, ...]
    epochs: int
    steps_per_epoch: int
    device: str = "cpu"
    monitor: str = "valid_loss"
    better: str = "lower"
    weights: Mapping[tuple[str, int], Path] = field(default_factory=dict)


class Now:
    """The present values of a trick's scheduled fields, as attributes; a tuple's schedules have theirs too. Fields without a schedule are there, unchanged."""

    def __init__(self, trick: Trick, context: Context) -> None:
        self._context = context
        values = {name: getattr(trick, name) for name in type(trick).model_fields}
        self._scheduled = {name: value for name, value in values.items() if _has_schedule(value)}
        for name, value in values.items():
            setattr(self, name, value)
        self.set(0)

    def set(self, step: int) -> None:
        """Take the values of a step, counted from 0 over the whole training."""
        for name, value in self._scheduled.items():
            setattr(self, name, self._at(value, step))

    def _at(self, value: Any, step: int) -> Any:
        if isinstance(value, tuple):
            return tuple(self._at(item, step) for item in value)
        return (
            value.at_step(step, self._context.epochs, self._context.steps_per_epoch)
            if isinstance(value, Schedule)
            else value
        )

    @property
    def scheduled(self) -> bool:
        """Whether any value changes in time."""
        return bool(self._scheduled)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def _has_schedule(value: Any) -> bool:
    return isinstance(value, Schedule) or (isinstance(value, tuple) and any(_has_schedule(item) for item in value))


class Trick(Named):
    """Base of all tricks. Override only the hooks that are needed; fields are the trick's settings.

    ``self.now.p`` is the present value of the field ``p`` (a number, also where the recipe gives a schedule); ``self.context`` the training's facts.
    """

    order: ClassVar[int] = 50
    """Place among other tricks' same hooks: small runs first. Augmentation 20, mixing 30, noise 40, penalties 50, clipping 90, averages 95."""

    stacked: ClassVar[bool] = False
    """Whether the hooks see a whole stack, ``(R, N, …)``, at once: their code counts axes from the right. Otherwise they see one network's ``(N, …)``."""

    stacks: ClassVar[bool | str] = True
    """Whether several seeds may train together with it; otherwise the reason why not."""

    shows_at_once: ClassVar[bool] = True
    """Whether what `on_data`, `on_model`, `on_batch` or `on_loss` change shows in the loss of the first step; freezing, say, only shows in later ones."""

    _context: Context | None = PrivateAttr(default=None)
    _now: Now | None = PrivateAttr(default=None)

    def bind(self, context: Context) -> None:
        """Join a training; called by the engine before any hook but `on_settings`. Raises ValueError where data do not suit (`check`)."""
        self.check(context.spec)
        self._context = context
        self._now = Now(self, context)

    def check(self, spec: Spec) -> None:
        """Raise ValueError with one line where the data do not suit this trick; for a library trick asked when the recipe is planned, too."""

    @property
    def context(self) -> Context:
        """The facts of the training that this trick was bound to."""
        assert self._context is not None, "a trick has no context before bind()"
        return self._context

    @property
    def now(self) -> Now:
        """The present values of the fields."""
        assert self._now is not None, "a trick has no present values before bind()"
        return self._now

    def on_settings(self, settings: Settings) -> Settings:
        """A rule on settings, applied when the recipe is read. Raises `NoEffect` where it would change nothing."""
        return settings

    def on_data(self, data: Parts) -> Parts:
        """Change the data once, before training; never in place."""
        return data

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Surgery on the network of one seed; returns it and the names of the layers that changed. Raises `NoEffect` if there are none."""
        return model, ()

    def on_order(self, order: Tensor, targets: Tensor | None, noise: Noise) -> Tensor:
        """Which training samples an epoch shows, and in which order: (n,) positions, of any of the n samples, as often as wished.

        ``targets`` are the training part's, None where they are streamed; ``noise`` is a stream of this trick's own on the CPU.
        """
        return order

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        """Change a training batch; ``noise`` is this trick's own stream."""
        return batch

    def on_predict(self, network: nn.Module, predict: Callable[[Tensor], Tensor], inputs: Tensor, batch: int) -> Tensor:
        """Predictions in evaluation: ``predict(inputs)``, or what is made of several calls of it. ``inputs`` are batch number ``batch`` (from 0) of a part.

        ``network`` is the one that ``predict`` runs, in a stack the template of all. Only what is ``stacked`` can have it in a stack.
        """
        return predict(inputs)

    def batches_per_step(self) -> int:
        """How many batches make one step of the optimizer; asked once. Steps, schedules and epochs count the optimizer's steps."""
        return 1

    def on_rate(self, rate: float | Tensor) -> float | Tensor:
        """The rate with which a parameter group is stepped, from the one that the settings or their schedule say; asked at every step.

        In a stack a tensor (R,) gives each seed its own.
        """
        return rate

    def on_loss(self, loss: Tensor, prediction: Tensor, batch: Batch) -> Tensor:
        """Change the loss: 0-d, in a stack (R,)."""
        return loss

    def on_pass(self, gradients: Gradients, parameters: Mapping[str, Tensor]) -> None:
        """After the gradients of a step: have them computed again, elsewhere or of a part. The gradients that are then there count; weights must be back.

        Only what is ``stacked`` can have it in a stack.
        """

    def on_gradients(self, parameters: Mapping[str, Tensor]) -> None:
        """Change ``parameters[name].grad`` in place, before the optimizer's step."""

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        """Change the weights in place, after the optimizer's step."""

    def on_epoch(self, epoch: int, metrics: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_] | None:
        """After epoch ``epoch`` (from 1), with its metrics, each (R,). Returns (R,) True for the seeds that should stop, or None."""
        return None

    def evaluation_weights(self) -> Mapping[str, Tensor] | None:
        """The weights, by name, that are validated and kept in place of the live ones, which go on training; None: the live ones.

        One trick at most has them.
        """
        return None

    @property
    def fresh_norms(self) -> bool:
        """Whether batch norm's statistics are measured anew, on the training part, for `evaluation_weights`."""
        return False

    def between_epochs(self, epoch: int, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
        """Before the first epoch (0) and between any two: look at the live weights and buffers (R, …) and the optimizer's state, or change them in place.

        Not called after the last epoch, whose weights are kept as they were judged, nor for an epoch again where a training is resumed.
        Only what is ``stacked`` can have it in a stack.
        """

    def notes(self) -> Sequence[Note | str]:
        """Notes for the record, or sentences. Called after `between_epochs` (0), or after `restore`."""
        return ()

    def state(self) -> dict[str, Any]:
        """What a checkpoint must keep, in tensors and plain values."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state."""


def overrides(trick: Trick, hook: str) -> bool:
    """Whether a trick has its own version of a hook (the engine calls no other)."""
    return getattr(type(trick), hook) is not getattr(Trick, hook)

"""The base class of tricks. A trick is one named change to how a network is trained.

A trick is a class with typed, frozen settings (its fields). It overrides only the hooks that it needs. The engine calls
the hooks (marked with ``trick.``) at these points of the training loop::

    settings = trick.on_settings(settings)              # when the recipe is read: change or check other settings
    data = trick.on_data(data)                          # once: select, normalize or clean samples
    model = trick.on_model(model)                       # once: insert, replace or freeze layers
    trick.between_epochs(0, weights, optimizer)         # before the first epoch
    for epoch in 1, 2, …:
        order = trick.on_order(order, targets, noise)   # choose the samples and their order
        for each step:                                  # a step has one batch, or trick.batches_per_step() batches
            lr = trick.on_rate(lr)                      # change the learning rate
            for batch in step:
                batch = trick.on_batch(batch, noise)    # augment or mix samples
                prediction = model(batch.inputs)
                loss = trick.on_loss(loss, prediction, batch)   # add penalties
                compute the gradients of loss
            trick.on_pass(gradients, parameters)        # compute the gradients again, at other weights or on a part
            trick.on_gradients(parameters)              # change the gradients: penalties, clipping
            optimizer step
            trick.on_weights(parameters)                # change or average the weights
        validate, with trick.evaluation_weights() if any (also between steps, with ``evaluate.every``):
            prediction = trick.on_predict(network, predict, inputs, batch)
        trick.on_epoch(epoch, metrics)                  # use the metrics: stop a seed, reduce the learning rate
        trick.between_epochs(epoch, weights, optimizer) # not after the last epoch: change weights or optimizer state

- Before each step, ``self.now`` is set to the values of scheduled fields. Tensors are on the training device.
- Several seeds can be trained at once, as a stack. By default, a hook is called for one network, with ``(N, C, H, W)``.
  With ``stacked = True``, it is called once for all R seeds, with ``(R, N, C, H, W)``: count axes from the right, so
  that the code works for both.
- A hook must not wait for the device (no ``.item()``), and must keep shapes constant from step to step. Make decisions
  that depend on values in ``on_epoch``.
- Only built-in tricks and plugins may use ``on_settings``; custom tricks (``target:``) may not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal, Protocol

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
    """A change without effect: the variant gets the status `no effect`, with this reason."""


class Gradients(Protocol):
    """Computes the gradients of a step again, for `Trick.on_pass`: same batches and random numbers, current weights."""

    @property
    def samples(self) -> int:
        """Number of samples of the step; in a stack, per seed."""

    def __call__(self, part: slice | None = None) -> Tensor:
        """Store the gradients in ``parameters[name].grad`` (new tensors) and return the loss, 0-d or (R,); ``part``
        selects samples.

        Buffers, such as batch norm's statistics, keep their values from the first pass.
        """


class WeightsFile(Protocol):
    """A file of weights: a path, or a file in the folder of runs."""

    def open(self, mode: Literal["rb"], /) -> IO[bytes]:
        """Open it for reading."""


@dataclass(frozen=True)
class Context:
    """Facts of the training that a trick is bound to. ``steps_per_epoch`` counts the optimizer's steps. The last of the
    ``epochs`` may be cut short (9.9).

    ``samples`` is the size of the training set. ``weights`` are the files with the weights of finished variants, by
    variant and seed.
    """

    spec: Spec
    seeds: tuple[int, ...]
    epochs: float
    steps_per_epoch: int
    device: str = "cpu"
    monitor: str = "valid_loss"
    better: str = "lower"
    samples: int = 0
    weights: Mapping[tuple[str, int], WeightsFile] = field(default_factory=dict)


class Now:
    """The current values of a trick's fields, as attributes.

    A schedule, also in a tuple, is replaced by its value at the current step.
    """

    def __init__(self, trick: Trick, context: Context) -> None:
        self._context = context
        values = {name: getattr(trick, name) for name in type(trick).model_fields}
        self._scheduled = {name: value for name, value in values.items() if _has_schedule(value)}
        for name, value in values.items():
            setattr(self, name, value)
        self.set(0)

    def set(self, step: int) -> None:
        """Set the values of a step, counted from 0 over the whole training."""
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
        """Whether any field has a schedule."""
        return bool(self._scheduled)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def _has_schedule(value: Any) -> bool:
    return isinstance(value, Schedule) or (isinstance(value, tuple) and any(_has_schedule(item) for item in value))


class Trick(Named):
    """Base of all tricks. Override only the hooks that are needed; fields are the trick's settings.

    ``self.now.p`` is the current value of the field ``p``, a number even if the recipe has a schedule. ``self.context``
    has the facts of the training.
    """

    order: ClassVar[int] = 50
    """Order among tricks with the same hook, lowest first: augmentation 20, mixing 30, noise 40, penalties 50, clipping
    90, averages 95.
    """

    stacked: ClassVar[bool] = False
    """Whether hooks are called for a whole stack, ``(R, N, …)``, and count axes from the right.

    Otherwise they are called per network, ``(N, …)``.
    """

    stacks: ClassVar[bool | str] = True
    """Whether several seeds can be trained at once with this trick; otherwise the reason why not."""

    shows_at_once: ClassVar[bool] = True
    """Whether changes by `on_data`, `on_model`, `on_batch` or `on_loss` affect the loss of the first step.

    False for freezing, for example.
    """

    moves_pixels: ClassVar[bool] = False
    """Whether `on_batch` moves the pixels of images, and the keypoints and masks among the targets with them.

    A note reports targets that may be positions but are not declared as keypoints.
    """

    any_inputs: ClassVar[bool] = False
    """Whether `on_batch` and `on_data` also work if the inputs are a nest of tensors, because they use only targets."""

    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)
    """Settings that the contract test (tests/test_contract.py) trains with."""

    example_needs: ClassVar[Literal["images", "numbers", "classes", "volumes", "epochs", "dropout"]] = "images"
    """What the contract test trains on: images with keypoints, also for several epochs or with a dropout layer; images
    with plain numbers or classes as targets; or volumes."""

    _context: Context | None = PrivateAttr(default=None)
    _now: Now | None = PrivateAttr(default=None)

    def bind(self, context: Context) -> None:
        """Bind to a training; the engine calls it before any hook except `on_settings`.

        Raises ValueError if the data do not match (`check`).
        """
        self.check(context.spec)
        self._context = context
        self._now = Now(self, context)

    def check(self, spec: Spec) -> None:
        """Raise ValueError (one line) if the data do not match this trick.

        For built-in tricks, also called when a recipe is planned.
        """

    @property
    def context(self) -> Context:
        """The facts of the training that this trick is bound to."""
        assert self._context is not None, "a trick has no context before bind()"
        return self._context

    @property
    def now(self) -> Now:
        """The current values of the fields."""
        assert self._now is not None, "a trick has no current values before bind()"
        return self._now

    def on_settings(self, settings: Settings) -> Settings:
        """Change or check other settings when the recipe is read. Raises `NoEffect` if it changes nothing."""
        return settings

    def on_data(self, data: Parts) -> Parts:
        """Change the data once, before training; not in place."""
        return data

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Change the network of one seed.

        Returns it and the names of the changed layers. Raises `NoEffect` if there are none. If a custom
        trick keeps the network itself, or state that the network's hooks use, seeds are trained one by one, because a
        stack trains copies of the networks. A trick may keep copies.
        """
        return model, ()

    def on_order(self, order: Tensor, targets: Tensor | None, noise: Noise) -> Tensor:
        """The samples of an epoch and their order: (n,) positions among the n training samples; repetitions are
        allowed.

        ``targets`` are those of the training set, None if streamed. ``noise`` is a random stream of this trick, on the
        CPU.
        """
        return order

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        """Change a training batch; ``noise`` is a random stream of this trick."""
        return batch

    def on_predict(self, network: nn.Module, predict: Callable[[Tensor], Tensor], inputs: Tensor, batch: int) -> Tensor:
        """The predictions in evaluation: ``predict(inputs)``, or a combination of several calls.

        ``inputs`` is batch number ``batch`` (from 0).

        ``network`` is the network of ``predict``, in a stack the template of all seeds. In a stack, it requires
        ``stacked``.
        """
        return predict(inputs)

    def needs_positions(self) -> bool:
        """Whether `on_batch` uses ``batch.positions``; called once."""
        return False

    def batches_per_step(self) -> int:
        """Number of batches per optimizer step; called once. Steps, schedules and epochs count optimizer steps."""
        return 1

    def on_rate(self, rate: float | Tensor) -> float | Tensor:
        """The learning rate of a parameter group, given that of the settings or their schedule; called in every step.

        In a stack, a tensor (R,) has one learning rate per seed.
        """
        return rate

    def on_loss(self, loss: Tensor, prediction: Tensor, batch: Batch) -> Tensor:
        """Change the loss: 0-d, in a stack (R,)."""
        return loss

    def on_pass(self, gradients: Gradients, parameters: Mapping[str, Tensor]) -> None:
        """Compute the gradients of a step again, at other weights or on a part of the samples.

        The last gradients are used; restore the weights.

        In a stack, it requires ``stacked``.
        """

    def on_gradients(self, parameters: Mapping[str, Tensor]) -> None:
        """Change ``parameters[name].grad`` in place, before the optimizer's step."""

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        """Change the weights in place, after the optimizer's step."""

    def on_epoch(self, epoch: int, metrics: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_] | None:
        """Called after epoch ``epoch`` (from 1) with its metrics, each (R,).

        Returns (R,), True for the seeds that should stop, or None.
        """
        return None

    def evaluation_weights(self) -> Mapping[str, Tensor] | None:
        """The weights, by name, to validate and save instead of the current ones, which continue training; None: the
        current ones.

        At most one trick may return weights.
        """
        return None

    @property
    def fresh_norms(self) -> bool:
        """Whether the statistics of batch norm are recomputed on the training set for `evaluation_weights`."""
        return False

    @property
    def ignored_epochs(self) -> int:
        """Number of initial epochs that cannot be the best epoch."""
        return 0

    def between_epochs(self, epoch: int, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
        """Called before the first epoch (0) and between epochs: read the weights and buffers (R, …) and the optimizer's
        state, or change them in place.

        Not called after the last epoch, whose weights are final, nor again for an epoch after a resume. In a stack, it
        requires ``stacked``.
        """

    def notes(self) -> Sequence[Note | str]:
        """Notes or sentences for the record of a run; called after `between_epochs` (0), or after `restore`."""
        return ()

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint, as tensors and plain values."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state."""


def overrides(trick: Trick, hook: str) -> bool:
    """Whether a trick overrides a hook (the engine calls no other)."""
    return getattr(type(trick), hook) is not getattr(Trick, hook)

"""Computes the tracked metrics of a recipe during training, and reads an epoch's values from the device at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ablate.engine.device import autocast
from ablate.engine.replicas import Replicas
from ablate.recipe.settings import Settings
from ablate.registry.lazy import torch
from ablate.tracked.watch import Watch, looks
from ablate.tricks.trick import Context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from ablate.data.loaders import Loader

Numbers = Mapping[str, NDArray[np.float64]]


class TrackedMetrics:
    """The tracked metrics of one stack. Tricks cannot see them, so that tracking does not change the training."""

    def __init__(self, settings: Settings, context: Context, replicas: Replicas, train_clean: Loader) -> None:
        self.replicas, self.train_clean = replicas, train_clean
        self.mixed = partial(autocast, context.device, settings.precision)
        self.watches: list[Watch] = []
        for choice in settings.watch:
            watch = choice.built_in(Watch).model_copy()
            watch.bind(context, len(train_clean))
            self.watches.append(watch)
        self.labels = [choice.label for choice in settings.watch]

    @property
    def clean(self) -> bool:
        """Whether any of them requires ``train_loss_clean`` every epoch."""
        return any(watch.clean for watch in self.watches)

    @property
    def valid(self) -> bool:
        """Whether any of them uses the predictions on the validation set."""
        return bool(self.hooks("on_valid"))

    def hooks(self, hook: str) -> list[Callable[..., Any]]:
        """The bound methods of the tracked metrics that have this hook."""
        return [getattr(watch, hook) for watch in self.watches if looks(watch, hook)]

    def begin(self, epoch: int) -> None:
        """Begin an epoch."""
        for watch in self.watches:
            watch.begin(epoch)

    def show_valid(self, prediction: Tensor, target: Tensor) -> None:
        """Pass the predictions on the validation set to the tracked metrics."""
        for hook in self.hooks("on_valid"):
            hook(prediction, target)

    def numbers(self, epoch: int, numbers: Numbers) -> dict[str, NDArray[np.float64]]:
        """The values of an epoch, each (R,)."""
        for watch in self.watches:
            if looks(watch, "on_layers"):
                self._look_into(watch)
        found: dict[str, Tensor | NDArray[np.float64]] = {}
        for watch in self.watches:
            found |= watch.on_epoch(epoch, numbers)
        return read_together(found)

    def state(self) -> dict[str, Any]:
        """The states for a checkpoint, by name, because a resumed training may have other tracked metrics."""
        return {
            label: state for label, watch in zip(self.labels, self.watches, strict=True) if (state := watch.state())
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state."""
        for label, watch in zip(self.labels, self.watches, strict=True):
            if label in state:
                watch.restore(state[label])

    def _look_into(self, watch: Watch) -> None:
        """Run each seed's network on some samples in evaluation mode, and pass its layers' outputs to ``watch``."""
        replicas = self.replicas
        layers = watch.layers(replicas.template)
        if not layers:
            return
        loader = self.train_clean
        count = min(getattr(watch, "samples", len(loader)), len(loader))
        # evenly spaced, because data may be sorted by class
        chosen = torch.arange(count) * len(loader) // count
        batches = [inputs for inputs, _ in loader.batches(chosen)]
        state = replicas.state()
        replicas.eval()
        with torch.no_grad(), self.mixed():
            for seed in range(replicas.count):
                own = {name: value[seed] for name, value in state.items()} if replicas.lead else state
                with outputs_of(layers) as outputs:
                    for inputs in batches:
                        torch.func.functional_call(replicas.template, own, (inputs,))
                watch.on_layers(seed, outputs)


def read_together(values: Mapping[str, Tensor | NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Tensors and arrays (R,) as arrays; all tensors are transferred from the device at once."""
    tensors = {name: value.reshape(-1).double() for name, value in values.items() if isinstance(value, torch.Tensor)}
    read = torch.stack(list(tensors.values())).cpu().numpy() if tensors else np.empty((0, 0))
    arrays = dict(zip(tensors, read, strict=True))
    return {name: arrays[name] if name in arrays else np.asarray(value) for name, value in values.items()}


@contextmanager
def outputs_of(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, list[Tensor]]]:
    """Inside, the outputs of layers are recorded: a list per layer, in the order of its calls."""
    kept: dict[str, list[Tensor]] = {name: [] for name in layers}

    def keep(name: str, layer: nn.Module, inputs: Sequence[Any], output: Any) -> None:
        if isinstance(output, torch.Tensor):
            # a later layer may modify it in place
            kept[name].append(output.clone())

    handles = [layer.register_forward_hook(partial(keep, name)) for name, layer in layers.items()]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()

"""What a recipe watches, in a training: every watch is shown what it asks for, and an epoch's numbers are read from the device once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

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


class Watched(Protocol):
    """What of an assembly is looked at."""

    settings: Settings
    device: str
    replicas: Replicas
    train_clean: Loader


class Watching:
    """The watches of one stack. Its numbers go to the record, never to tricks: what is watched must change nothing."""

    def __init__(self, settings: Settings, context: Context, samples: int) -> None:
        self.watches: list[Watch] = []
        for choice in settings.watch:
            watch = choice.named.model_copy()
            assert isinstance(watch, Watch)
            watch.bind(context, samples)
            self.watches.append(watch)
        self.labels = [choice.label for choice in settings.watch]

    @property
    def clean(self) -> bool:
        """Whether any of them needs the clean train loss of every epoch."""
        return any(watch.clean for watch in self.watches)

    @property
    def valid(self) -> bool:
        """Whether any of them looks at the predictions of the validation part."""
        return bool(self.hooks("on_valid"))

    def hooks(self, hook: str) -> list[Callable[..., Any]]:
        """The bound methods of those watches that have this hook."""
        return [getattr(watch, hook) for watch in self.watches if looks(watch, hook)]

    def begin(self, epoch: int) -> None:
        """An epoch begins."""
        for watch in self.watches:
            watch.begin(epoch)

    def show_valid(self, prediction: Tensor, target: Tensor) -> None:
        """Show the predictions of the validation part."""
        for hook in self.hooks("on_valid"):
            hook(prediction, target)

    def numbers(self, watched: Watched, epoch: int, numbers: Numbers) -> dict[str, NDArray[np.float64]]:
        """What the watches have to tell of an epoch, each (R,)."""
        for watch in self.watches:
            if looks(watch, "on_layers"):
                look_into(watch, watched)
        found: dict[str, Tensor | NDArray[np.float64]] = {}
        for watch in self.watches:
            found |= watch.on_epoch(epoch, numbers)
        return read_together(found)

    def state(self) -> dict[str, Any]:
        """What a checkpoint must keep, by name: a training that goes on may watch other things."""
        return {
            label: state for label, watch in zip(self.labels, self.watches, strict=True) if (state := watch.state())
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state."""
        for label, watch in zip(self.labels, self.watches, strict=True):
            if label in state:
                watch.restore(state[label])


def read_together(values: Mapping[str, Tensor | NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Tensors and arrays (R,) as arrays: all tensors come from the device in one transfer."""
    tensors = {name: value.reshape(-1).double() for name, value in values.items() if isinstance(value, torch.Tensor)}
    read = torch.stack(list(tensors.values())).cpu().numpy() if tensors else np.empty((0, 0))
    arrays = dict(zip(tensors, read, strict=True))
    return {name: arrays[name] if name in arrays else np.asarray(value) for name, value in values.items()}


def look_into(watch: Watch, watched: Watched) -> None:
    """Run each seed's network over the watch's samples, in evaluation mode, and show it the outputs of its layers."""
    replicas = watched.replicas
    layers = watch.layers(replicas.template)
    if not layers:
        return
    loader = watched.train_clean
    count = min(getattr(watch, "samples", len(loader)), len(loader))
    # spread evenly: data may be sorted by class
    chosen = torch.arange(count) * len(loader) // count
    batches = [inputs for inputs, _ in loader.batches(chosen)]
    state = replicas.state()
    replicas.eval()
    with torch.no_grad(), autocast(watched.device, watched.settings.precision):
        for seed in range(replicas.count):
            own = {name: value[seed] for name, value in state.items()} if replicas.lead else state
            with outputs_of(layers) as outputs:
                for inputs in batches:
                    torch.func.functional_call(replicas.template, own, (inputs,))
            watch.on_layers(seed, outputs)


@contextmanager
def outputs_of(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, list[Tensor]]]:
    """Inside, what comes out of layers is kept: for each a list, in the order of its calls."""
    kept: dict[str, list[Tensor]] = {name: [] for name in layers}

    def keeper(name: str) -> Callable[..., None]:
        def keep(layer: nn.Module, inputs: Sequence[Any], output: Any) -> None:
            if isinstance(output, torch.Tensor):
                # a later layer may write into it
                kept[name].append(output.clone())

        return keep

    handles = [layer.register_forward_hook(keeper(name)) for name, layer in layers.items()]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()

"""The tricks of a stack: stacked tricks as they are, all others as one copy per seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.data.dataset import Part, Parts, Spec
from ablate.engine.construction import make_trick, make_tricks, seed_globals
from ablate.engine.each_seed import EachSeed
from ablate.engine.held_networks import hooks_keep_state, reason_against_stack
from ablate.engine.replicas import CannotStack
from ablate.layers.dropout import noisy_layers
from ablate.recipe.settings import Settings
from ablate.registry.lazy import torch
from ablate.rng.noise import Noise
from ablate.tricks.trick import Context, Trick, overrides

if TYPE_CHECKING:
    from torch import Tensor, nn


def tricks_for(
    settings: Settings, spec: Spec, folder: Path, seeds: tuple[int, ...], device: str
) -> tuple[list[Trick | EachSeed], Context]:
    """The tricks of one seed or of a stack, bound, and their context. Raises `CannotStack` if one cannot be stacked."""
    single, context = make_tricks(settings, spec, folder, seeds, device)
    if len(seeds) == 1:
        return list(single), context
    tricks: list[Trick | EachSeed] = []
    for trick, choice in zip(single, settings.tricks, strict=True):
        if trick.stacks is not True:
            reason = f": {trick.stacks}" if trick.stacks else ""
            raise CannotStack(f"trick (={choice.label}) does not support training seeds in parallel{reason}.")
        for hook in ("on_pass", "on_predict", "between_epochs"):
            if not trick.stacked and overrides(trick, hook):
                rule = f"has the hook {hook}, which requires stacked = True to train seeds in parallel"
                raise CannotStack(f"trick (={choice.label}) {rule}.")
        if trick.stacked:
            tricks.append(trick)
        else:
            each = EachSeed([make_trick(choice, folder) for _ in seeds])
            each.bind(context)
            tricks.append(each)
    return tricks, context


def check_apart(tricks: Sequence[Trick | EachSeed], settings: Settings, networks: Sequence[nn.Module]) -> None:
    """Raise `CannotStack` if a trick from outside this library holds a network of the stack, which trains copies, or if
    hooks of a network keep state.
    """
    for trick, choice in zip(tricks, settings.tricks, strict=True):
        if choice.entry is None or choice.entry.provider != "ablate":
            for one in trick.copies if isinstance(trick, EachSeed) else [trick]:
                if reason := reason_against_stack(one, networks):
                    raise CannotStack(f"trick (={choice.label}) {reason}.")
    if hooks_keep_state(networks[-1]):
        raise CannotStack("model: its hooks keep state, which all seeds that are trained in parallel would use.")


def of_seed(tricks: Sequence[Trick | EachSeed], i: int) -> list[Trick]:
    """The tricks of the i-th seed."""
    return [trick.copies[i] if isinstance(trick, EachSeed) else trick for trick in tricks]


def has_hook(trick: Trick | EachSeed, hook: str) -> bool:
    """Whether a trick overrides a hook."""
    return overrides(trick.copies[0] if isinstance(trick, EachSeed) else trick, hook)


def stream_name(trick: Trick | EachSeed) -> str:
    """The name of a trick's random stream: its module and class, because class names may not be unique."""
    kind = type(trick.copies[0] if isinstance(trick, EachSeed) else trick)
    return f"trick/{kind.__module__}:{kind.__qualname__}"


def judged_by(tricks: Sequence[Trick | EachSeed]) -> Trick | EachSeed | None:
    """The trick whose weights are evaluated instead of the network's. Raises ValueError if there are several."""
    found = [trick for trick in tricks if has_hook(trick, "evaluation_weights")]
    if len(found) > 1:
        names = ", ".join(stream_name(trick).rpartition(":")[2] for trick in found)
        rule = "cannot be combined: each evaluates its own averaged weights"
        raise ValueError(f"tricks (={names}) {rule}. Remove all but one.")
    return found[0] if found else None


def make_streams(
    tricks: Sequence[Trick | EachSeed], network: nn.Module, seeds: tuple[int, ...], device: str
) -> dict[str, Noise]:
    """A random stream for each trick that changes batches, one per seed for tricks that are not stacked; and one for
    each dropout layer of the network, which is bound to it.
    """
    streams: dict[str, Noise] = {}
    for trick in tricks:
        if has_hook(trick, "on_batch"):
            name = stream_name(trick)
            if isinstance(trick, EachSeed):
                streams |= {f"{name}/{seed}": Noise((seed,), name, device) for seed in seeds}
            else:
                streams[name] = Noise(seeds, name, device)
    for name, layer in noisy_layers(network).items():
        streams[f"dropout/{name}"] = Noise(seeds, f"dropout/{name}", device)
        layer.bind(streams[f"dropout/{name}"])
    return streams


def changed_data(
    tricks: Sequence[Trick | EachSeed], data: Parts, seeds: tuple[int, ...], *, copies: bool = False
) -> Parts:
    """The data after the tricks' ``on_data``, which get ``copies`` if they may write to them.

    Raises `CannotStack` if the data differ between seeds.
    """
    copies = copies and any(has_hook(trick, "on_data") for trick in tricks)
    by_seed = any(isinstance(trick, EachSeed) and has_hook(trick, "on_data") for trick in tricks)
    changed: Parts | None = None
    for i, seed in enumerate(seeds if by_seed else seeds[:1]):
        seed_globals(seed, "data")
        own = data.copied() if copies else data
        for trick in of_seed(tricks, i):
            own = trick.on_data(own)
        if changed is not None and not same_data(changed, own):
            raise CannotStack("tricks change the data differently for each seed.")
        changed = changed or own
    assert changed is not None
    return changed


def same_data(a: Parts, b: Parts) -> bool:
    """Whether two datasets are equal."""

    def same(x: Tensor | None, y: Tensor | None) -> bool:
        return x is y or (x is not None and y is not None and torch.equal(x, y))

    def same_part(x: Part | None, y: Part | None) -> bool:
        if x is None or y is None:
            return x is y
        return same(x.inputs, y.inputs) and same(x.targets, y.targets) and x.dataset is y.dataset

    return same_part(a.train, b.train) and same_part(a.valid, b.valid) and same_part(a.test, b.test)

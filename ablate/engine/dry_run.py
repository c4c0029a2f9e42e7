"""Tests whether a network can be stacked: each seed must get the same predictions and gradients as alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.data.dataset import Spec
from ablate.engine.construction import build_network, make_optimizer
from ablate.engine.each_seed import Measure, one_by_one, vmapped
from ablate.engine.replicas import CannotStack, Stack
from ablate.engine.stacked_tricks import check_apart, of_seed, tricks_for
from ablate.layers.dropout import handed_in, noisy_layers
from ablate.losses.loss import Loss
from ablate.notes.note import Note
from ablate.recipe.settings import Settings
from ablate.registry.lazy import torch
from ablate.trees import Tree, tensors, tree_map, unbound

if TYPE_CHECKING:
    from torch import Tensor, nn


SAMPLES = 4

REASONS = {
    "data-dependent control flow": "branches on a tensor's value (such as 'if tensor')",
    ".item()": "reads a tensor's value (.item(), float() or int())",
    "random operation": "uses torch's global random generator",
    "dynamic shape": "indexes with a mask, so that shapes depend on values",
    "inplace arithmetic": "modifies a tensor in place that all seeds share",
    "numpy": "converts tensors to NumPy arrays",
}
"""Part of vmap's error message → the reason, as a property of the network."""


def explained(error: Exception) -> str:
    """The reason for an error of vmap, in a few words about the network."""
    text = " ".join(str(error).split())
    for said, reason in REASONS.items():
        if said in text:
            return reason
    if "Batching rule not implemented for" in text:
        operation = text.split("Batching rule not implemented for ")[1].split()[0].rstrip(".;")
        return f"uses {operation}, which cannot be vmapped"
    return f"does not run under vmap: {type(error).__name__}: {text[:200]}"


def dry_run(
    stack: Stack, networks: Sequence[nn.Module], inputs: Tensor, targets: Tensor, loss: Measure
) -> tuple[Measure, list[Note]]:
    """Try a forward and a backward pass in training mode and a forward pass in evaluation mode on a few samples.

    ``networks`` are those of the stack, which is not changed. Returns the stacked loss, and notes; raises `CannotStack`
    with the reason.
    """
    kept = {name: tensor.clone() for name, tensor in stack.network.buffers.items()}
    ends = {0: networks[0], len(networks) - 1: networks[-1]}
    stacked_loss = vmapped(loss)
    notes: list[Note] = []
    with without_dropout(ends.values()):
        single = {i: network.train()(inputs) for i, network in ends.items()}
        if (
            isinstance(loss, Loss)
            and not loss.any_targets
            and not all(isinstance(one, torch.Tensor) for one in single.values())
        ):
            raise CannotStack("model: it returns several tensors.")  # alone, the loss says what is wrong
        stack.train()
        prediction = attempt(stack, inputs, shared=False)
        for i, alone in single.items():
            same_tree("predictions", unbound(prediction)[i], alone)
        expected = {i: loss(alone, targets) for i, alone in single.items()}
        try:
            losses = stacked_loss(prediction, stack.shared(targets))
            for i, alone in expected.items():
                same("losses", losses[i], alone)
        except (RuntimeError, TypeError, ValueError):
            stacked_loss = one_by_one(loss)
            notes.append(Note("loss_not_vmapped"))
            losses = stacked_loss(prediction, stack.shared(targets))
        try:
            stack.backward(losses)
        except RuntimeError as error:
            raise CannotStack(f"model: its backward pass {explained(error)}.") from None
        for i, network in ends.items():
            expected[i].sum().backward()  # type: ignore[no-untyped-call]
            # the gradient of a bias before batch norm is only rounding error: compare relative to the largest gradient
            largest = max(p.grad.abs().max() for p in network.parameters() if p.grad is not None)
            for name, parameter in network.named_parameters():
                found = stack.parameters[name].grad
                if parameter.grad is not None and found is not None:
                    same(f"gradients of {name}", found[i], parameter.grad, largest)
        stack.eval()
        with torch.no_grad():
            prediction = attempt(stack, inputs, shared=True)
            for i, network in ends.items():
                same_tree("predictions in evaluation", unbound(prediction)[i], network.eval()(inputs))
    for leaf in stack.parameters.values():
        leaf.grad = None
    for name, tensor in kept.items():
        stack.network.buffers[name].copy_(tensor)
    return stacked_loss, notes


def attempt(stack: Stack, inputs: Tensor, *, shared: bool) -> Tensor:
    """A forward pass of the stack with the same inputs for all seeds. Raises `CannotStack` with the reason."""
    try:
        return (
            stack.predict(inputs) if shared else stack.forward(tree_map(torch.Tensor.contiguous, stack.shared(inputs)))
        )
    except Exception as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            raise
        raise CannotStack(f"model: it {explained(error)}.") from None


def same_tree(what: str, stacked: Tree, alone: Tree) -> None:
    """`same` for each tensor of a nest."""
    for one, other in zip(tensors(stacked), tensors(alone), strict=True):
        same(what, one, other)


def same(what: str, stacked: Tensor, alone: Tensor, scale: Tensor | None = None) -> None:
    """Raise `CannotStack` if a seed's values in the stack differ from those alone by more than rounding errors.

    These are relative to ``scale``, by default the largest of the values.
    """
    share = 1e-8 if alone.dtype == torch.float64 else 1e-2
    scale = (alone.detach().abs().max() if scale is None else scale).clamp(min=1e-6)
    # NaN in both is no difference
    far = (stacked.detach() - alone.detach()).abs().nan_to_num(0.0).max() > share * scale
    if stacked.shape != alone.shape or bool(far) or bool((stacked.isfinite() != alone.isfinite()).any()):
        raise CannotStack(f"model: {what[0].upper()}{what[1:]} of seeds trained in parallel and individually differ.")


@contextmanager
def unchanged(network: nn.Module) -> Iterator[None]:
    """Inside, no gradients are computed; afterwards, the network has its buffers and its mode again."""
    kept, training = {name: tensor.clone() for name, tensor in network.named_buffers()}, network.training
    try:
        with torch.no_grad():
            yield
    finally:
        network.train(training)
        for name, tensor in network.named_buffers():
            tensor.copy_(kept[name])


@contextmanager
def without_dropout(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Inside, the networks' dropout layers drop nothing."""
    with ExitStack() as stack:
        for network in networks:
            stack.enter_context(handed_in(network, {name: repeat(torch.ones(())) for name in noisy_layers(network)}))
        yield


def unstackable_batches(settings: Settings) -> str | None:
    """The reason why the batches of several seeds cannot be read as one, or None."""
    if settings.batch.collate is not None:
        return "batch.collate: It would collate the samples of several seeds to one batch."
    if settings.batch.per_epoch is not None:
        return "data: Each seed reads the IterableDataset in its own order."
    return None


def stack_reason(settings: Settings, folder: Path, spec: Spec) -> str | None:
    """The reason why seeds of these settings cannot be stacked, or None; tried with two networks on the CPU.

    For plans, which have no data and use random inputs. If a network does not accept these (tokens), the job finds out.
    """
    if (known := unstackable_batches(settings)) is not None:
        return known
    if spec.input_form is not None:
        return None
    try:
        tricks, _ = tricks_for(settings, spec, folder, (0, 1), "cpu")
        networks = [build_network(settings, spec, folder, of_seed(tricks, i), i)[0] for i in (0, 1)]
        check_apart(tricks, settings, networks)
        make_optimizer(settings, dict(networks[0].named_parameters()), 1, folder, stacked=True)
        inputs = torch.rand(SAMPLES, *spec.input_shape, generator=torch.Generator().manual_seed(0))
        try:
            with without_dropout(networks), torch.no_grad():
                prediction = networks[0].train()(inputs)
        except (RuntimeError, IndexError, TypeError):
            return None
        dry_run(Stack(networks), networks, inputs, torch.zeros_like(prediction), torch.nn.functional.mse_loss)
    except CannotStack as reason:
        return str(reason)
    return None

"""Nests of tensors: samples, batches and predictions of custom code may be dicts, tuples, lists and dataclasses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import islice
from typing import Any

from ablate.registry.described import type_of
from ablate.registry.lazy import torch

LISTED = 8
"""Number of the parts of a nest that an error lists."""

Tree = Any
"""A tensor, or a nest of tensors. Other leaves, such as None, are kept as they are."""


class WrongPath(ValueError):
    """A path of the recipe that leads to nothing. One line."""


def tree_map(function: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """A nest of the same form with ``function`` applied to its tensors, and to those of others at the same place."""
    if isinstance(tree, torch.Tensor):
        return function(tree, *others)
    children = children_of(tree)
    if children is None:
        return tree
    below = [children_of(other) or {} for other in others]
    return rebuilt(tree, {k: tree_map(function, v, *(other.get(k) for other in below)) for k, v in children.items()})


def leaves(tree: Tree) -> Iterator[Any]:
    """The tensors of a nest, and everything else that is no nest, in order."""
    if isinstance(tree, torch.Tensor) or (children := children_of(tree)) is None:
        yield tree
    else:
        for child in children.values():
            yield from leaves(child)


def tensors(tree: Tree) -> Iterator[torch.Tensor]:
    """The tensors of a nest, in order."""
    return (leaf for leaf in leaves(tree) if isinstance(leaf, torch.Tensor))


def shapes(tree: Tree) -> Tree:
    """The same nest with the shapes of its tensors."""
    return tree_map(lambda values: values.shape, tree)


def length(tree: Tree, axis: int = 0) -> int:
    """The number of samples of a batch: the length of its tensors along an axis, which is the same for all."""
    return int(next(tensors(tree)).shape[axis])


def split(tree: Tree, size: int, axis: int = 0) -> Iterator[Tree]:
    """A tree in batches of ``size`` samples along an axis."""
    if isinstance(tree, torch.Tensor):
        yield from torch.split(tree, size, axis)
        return
    for start in range(0, length(tree, axis), size):
        yield tree_map(
            lambda values, start=start: values.narrow(axis, start, min(size, values.shape[axis] - start)), tree
        )


def joined(trees: Sequence[Tree], axis: int = 0, dtype: torch.dtype | None = None) -> Tree:
    """Batches of the same form, concatenated; with a ``dtype``, their floats have it."""

    def one(*parts: torch.Tensor) -> torch.Tensor:
        whole = torch.cat(parts, dim=axis)
        return whole.to(dtype) if dtype is not None and whole.is_floating_point() else whole

    return tree_map(one, trees[0], *trees[1:])


def stacked(trees: Sequence[Tree]) -> Tree:
    """Trees of the same form with a new leading axis."""
    return tree_map(lambda *parts: torch.stack(parts), trees[0], *trees[1:])


def unbound(tree: Tree) -> Sequence[Tree]:
    """The trees of each seed of a stack, from one with a leading axis."""
    if isinstance(tree, torch.Tensor):
        return tree.unbind()
    return [tree_map(lambda values, i=i: values[i], tree) for i in range(length(tree))]


def cloned(tree: Tree) -> Tree:
    """A copy, which may be written to."""
    return tree_map(lambda tensor: tensor.clone(), tree)


def pick(tree: Tree, path: str | int, what: str) -> Tree:
    """The value at a path: a key, an index or an attribute, or several of them, joined by dots.

    Raises `WrongPath` that starts with ``what`` and lists what is there.
    """
    for part in str(path).split("."):
        children = children_of(tree)
        found = children or {}
        key = next((key for key in found if str(key) == part), None)
        if key is None and hasattr(tree, part) and not part.startswith("_") and not isinstance(tree, torch.Tensor):
            tree = getattr(tree, part)
            continue
        if key is None:
            raise WrongPath(f"{what} (={path}) is not in {described(tree)}.")
        tree = found[key]
    return tree


def described(tree: Tree) -> str:
    """A nest for an error: ``a dict with 'image' (3, 8, 8) and 'label' ()``."""
    if isinstance(tree, torch.Tensor):
        return f"a tensor of shape {tuple(tree.shape)}"
    if not (children := children_of(tree)):
        return f"a shape {tuple(tree)}" if isinstance(tree, torch.Size) else type_of(tree)
    named = not isinstance(tree, tuple | list)
    parts = [f"{key!r} {shown(child)}" if named else shown(child) for key, child in islice(children.items(), LISTED)]
    parts += [f"{len(children) - LISTED} more"] if len(children) > LISTED else []
    listed = ", ".join(parts[:-1]) + f" and {parts[-1]}" if len(parts) > 1 else parts[0]
    return f"{type_of(tree)} {'with' if named else 'of'} {listed}"


def shown(tree: Tree) -> str:
    """The shape of a tensor for an error; of a nest, what is in it."""
    shape = tree if isinstance(tree, torch.Size) else getattr(tree, "shape", None)
    return str(tuple(shape)) if shape is not None else described(tree) if children_of(tree) else type(tree).__name__


def children_of(tree: Tree) -> dict[Any, Any] | None:
    """The values of a nest by key, index or field; None for a leaf."""
    if is_dataclass(tree) and not isinstance(tree, type):
        return {field.name: getattr(tree, field.name) for field in fields(tree)}
    if isinstance(tree, Mapping):
        return dict(tree)
    if isinstance(tree, tuple | list) and not isinstance(tree, torch.Size):
        return dict(enumerate(tree))
    return None


def rebuilt(tree: Any, children: Mapping[Any, Any]) -> Tree:
    """A nest of the same type with other values."""
    made: Any = type(tree)
    if is_dataclass(tree):
        return made(**children)
    if isinstance(tree, Mapping):
        return dict(children)
    return made(*children.values()) if hasattr(tree, "_fields") else made(children.values())  # a named tuple, or not

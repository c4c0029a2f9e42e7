"""Custom data: any torch dataset, or tensors, returned by a ``target`` of the recipe."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ablate.data.classes import check_classes
from ablate.data.dataset import Part, Parts, Spec, Task
from ablate.data.iterable import Stream, read_through
from ablate.data.keypoints import Points, as_coordinates, declared
from ablate.data.samples import Collated, Samples, as_nest, as_tensor, parts_of, read, repeats
from ablate.data.split import Fold, in_fold
from ablate.recipe.settings import BatchForm, Choice
from ablate.registry.described import type_of
from ablate.registry.lazy import LazyModule, torch
from ablate.trees import Tree, described, shapes, shown, tensors, tree_map

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")

SHARED_OUT = 42
"""Seed of the folds of custom data, which have no ``split_seed``."""

KEYS = ("train", "valid", "test", "outputs", "classes", "keypoints")
EXPECTED = "(train, valid), or a dict with train, valid and optionally test, outputs, classes and keypoints"


def from_target(
    choice: Choice,
    folder: Path | None,
    fold: Fold | None = None,
    *,
    double: bool = False,
    form: BatchForm | None = None,
) -> Parts:
    """Import the target, call it with the recipe's arguments, and read the splits that it returns.

    With a ``fold``, a function with the parameters ``fold`` (a number from 0) and ``folds`` (how many) is called for
    that fold. Otherwise its training and validation sets are concatenated and split into folds.

    Each split is a torch ``Dataset`` of (input, target), or a pair of tensors or arrays. A dataset with deterministic
    samples that fits in half of the free memory is read once into tensors; any other is streamed. A training set that
    is an ``IterableDataset`` requires ``form.per_epoch``; such a validation or test set is read once.
    ``double``: Python's floats become float64 instead of float32; those of tensors and arrays keep their type.
    ``form``: which parts of a sample are its inputs and targets, which may then be nests, and how batches are made.

    Raises ValueError (one line) if the arguments or the returned value are invalid.
    """
    where = f"data.target (={choice.target})"
    function = choice.resolve(folder)
    arguments = dict(cast("Mapping[str, Any]", choice.options))
    if not callable(function):
        raise ValueError(f"{where} must be a function that returns {EXPECTED}, but it is {type_of(function)}.")
    own_folds = knows_folds(function)
    if own_folds and fold is not None:
        arguments |= {"fold": fold.number, "folds": fold.folds.k}
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"{where} cannot be called with the recipe's arguments: {error}.") from None
    except ValueError:
        pass  # functions in C have no signature
    returned = _taken_apart(function(**arguments), where)
    form = form or BatchForm()
    collate = None
    if (named := form.collate_choice) is not None:
        collate = partial(named.resolve(folder), **cast("Mapping[str, Any]", named.options))
    points = declared(returned.get("keypoints"), f"{where}: keypoints")
    are_points = points is not None and bool(points.names)
    parts: dict[str, Part] = {}
    for name in ("train", "valid", "test"):
        if returned.get(name) is not None:
            make = _training_stream if name == "train" and is_iterable(returned[name]) else _part
            parts[name] = make(returned[name], f"{where}: {name}", double, form, collate, are_points=are_points)
    if form.per_epoch is not None and not isinstance(parts["train"].dataset, Stream):
        raise ValueError(f"batch.per_epoch (={form.per_epoch}) requires an IterableDataset as training set. Remove it.")
    spec = _spec(parts, returned, points, where, collated=collate is not None)
    notes: dict[str, object] = {name: len(part) for name, part in parts.items() if not isinstance(part.dataset, Stream)}
    if streamed := [name for name, part in parts.items() if part.inputs is None]:
        notes["streamed"] = streamed
    made = Parts(parts["train"], parts["valid"], spec, parts.get("test"), notes=notes)
    return made if fold is None or own_folds else in_fold(made, fold, SHARED_OUT, where)


def knows_folds(function: Any) -> bool:
    """Whether a data function is called for each fold: it has the parameters ``fold`` and ``folds``."""
    try:
        return {"fold", "folds"} <= inspect.signature(function).parameters.keys()
    except (TypeError, ValueError):
        return False


def _taken_apart(value: Any, where: str) -> dict[str, Any]:
    """The returned value as a dict with the keys ``KEYS``."""
    if isinstance(value, Mapping):
        unknown = [str(key) for key in value if key not in KEYS]
        if unknown:
            raise ValueError(f"{where} returned a dict with '{unknown[0]}'. It must return {EXPECTED}.")
        lacking = [key for key in ("train", "valid") if value.get(key) is None]
        if lacking:
            raise ValueError(f"{where} returned a dict without '{lacking[0]}'. It must return {EXPECTED}.")
        return dict(value)
    if isinstance(value, tuple | list) and len(value) == 2:
        return {"train": value[0], "valid": value[1]}
    came = f"{type(value).__name__} of {len(value)}" if isinstance(value, tuple | list) else type(value).__name__
    raise ValueError(f"{where} returned a {came}. It must return {EXPECTED}.")


def is_iterable(value: Any) -> bool:
    """Whether a split is an `IterableDataset` of torch, whose samples have no positions."""
    from torch.utils.data import IterableDataset

    return isinstance(value, IterableDataset)


def _training_stream(
    value: Any, where: str, double: bool, form: BatchForm, collate: Callable[..., Any] | None, *, are_points: bool
) -> Part:
    """The training set from an `IterableDataset`."""
    if form.per_epoch is None:
        raise ValueError(
            f"{where} is an IterableDataset, so the length of an epoch is unknown. Set batch.per_epoch to the number "
            "of batches that an epoch takes from it."
        )
    read: Samples | Collated
    if collate is None:
        read = Samples(value, where, double=double, are_points=are_points, form=form)
    else:
        read = Collated(value, where, form, collate)
    return Part(dataset=cast("Any", Stream(value, where, form.per_epoch, read)))


def _part(
    value: Any, where: str, double: bool, form: BatchForm, collate: Callable[..., Any] | None, *, are_points: bool
) -> Part:
    """One split from a finite dataset or a pair; ``are_points``: targets are declared as keypoints."""
    from torch.utils.data import TensorDataset

    if isinstance(value, TensorDataset):
        value = value.tensors
    if iterable := is_iterable(value):
        value = read_through(value, where)
    pair = isinstance(value, tuple | list) and len(value) == 2 and all(hasattr(half, "shape") for half in value)
    if not pair and isinstance(value, tuple | Mapping) and collate is None:
        part = _from_arrays(value, where, form)
    elif pair and form.inputs is None and form.targets is None:
        inputs, targets = (
            as_tensor(value[0], f"{where} inputs"),
            as_tensor(value[1], f"{where} targets", is_target=True),
        )
        if inputs.dim() == 0 or targets.dim() == 0 or len(inputs) != len(targets):
            raise ValueError(
                f"{where} has inputs {tuple(inputs.shape)} and targets {tuple(targets.shape)}. Their first axes "
                "must have the same length."
            )
        targets = as_coordinates(targets) if are_points else targets
        targets = targets.unsqueeze(1) if targets.dim() == 1 and targets.is_floating_point() else targets
        part = Part(inputs, targets, rows=torch.arange(len(inputs)))
    elif not (hasattr(value, "__getitem__") and hasattr(value, "__len__")) or isinstance(value, tuple):
        raise ValueError(
            f"{where} is {type_of(value)}. It must be a map-style Dataset (with __getitem__ and __len__) "
            "or a pair of tensors or arrays."
        )
    elif collate is not None:
        part = Part(dataset=cast("Any", Collated(value, where, form, collate)), rows=torch.arange(len(value)))
    else:
        samples = Samples(value, where, double=double, are_points=are_points, form=form)
        part = _from_dataset(samples, where)
    if not len(part):
        raise ValueError(f"{where} is empty.")
    return replace(part, rows=None) if iterable else part


def _from_arrays(value: Any, where: str, form: BatchForm) -> Part:
    """A split from a nest of arrays, each with all samples."""
    parts = parts_of(value, form, where)
    inputs, targets = (as_nest(half, where, form, is_target=half is parts[1]) for half in parts)
    if isinstance(targets, torch.Tensor) and targets.dim() == 1 and targets.is_floating_point():
        targets = targets.unsqueeze(1)
    lengths = {len(one) if one.dim() else 0 for one in tensors((inputs, targets))}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"{where} is {described(value)}. The first axes of its arrays must have the same length.")
    return Part(inputs, targets, rows=torch.arange(lengths.pop()))


def _from_dataset(samples: Samples, where: str) -> Part:
    if not len(samples):
        raise ValueError(f"{where} is empty.")
    if repeats(samples):
        inputs, targets = read(samples)
        return Part(inputs, targets, rows=torch.arange(len(samples)))
    return Part(dataset=cast("Any", samples), rows=torch.arange(len(samples)))


def _spec(
    parts: Mapping[str, Part], returned: Mapping[str, Any], points: Points | None, where: str, *, collated: bool
) -> Spec:
    """Input shape and task from the first samples; classes from the returned dict, or from all targets."""
    firsts = {name: _first(part) for name, part in parts.items()}
    inputs, target = firsts["train"]
    for name, (other_inputs, other_target) in firsts.items():
        # collated batches may have different lengths
        if not collated and shapes(other_inputs) != shapes(inputs):
            raise ValueError(
                f"{where}: {name} has inputs of shape {shown(other_inputs)}, but train has {shown(inputs)}. The "
                "shapes must be equal."
            )
        floats = [[values.is_floating_point() for values in tensors(half)] for half in (other_target, target)]
        if floats[0] != floats[1] or (not collated and shapes(other_target) != shapes(target)):
            raise ValueError(f"{where}: {name} and train must have targets of the same shape and type.")
    classes, outputs = _declared(returned, where)
    form, shape = (None, tuple(inputs.shape)) if isinstance(inputs, torch.Tensor) else (shapes(inputs), ())
    if not isinstance(target, torch.Tensor):
        return Spec(shape, outputs or 1, "other", classes, input_form=form, target_form=shapes(target))
    if target.is_floating_point():
        task: Task = "regression" if target.dim() == 1 else "other"
        marks = points.facts(shape, target.numel(), f"{where}: keypoints") if points else None
        return Spec(
            shape,
            outputs or target.numel(),
            task,
            classes,
            keypoints=marks,
            target_names=points.target_names if points else (),
            places=tuple(target.shape) if task == "other" else (),
            no_positions=points is not None and marks is None,
            input_form=form,
        )
    task = "classification" if target.dim() == 0 else "other"
    streamed = any(part.inputs is None for part in parts.values())
    if outputs is None and isinstance(parts["train"].dataset, Stream):
        raise ValueError(f"{where} cannot count the classes of an IterableDataset. Return 'outputs' with the data.")
    if outputs is None or not streamed:
        labels = np.concatenate([_labels(part) for part in parts.values()])
        samples, single = sum(map(len, parts.values())), target.dim() == 0
        check_classes(labels, samples, f"{where}: targets", single=single, declared=outputs is not None)
        highest = int(labels.max())
        if outputs is not None and highest >= outputs:
            raise ValueError(
                f"{where} has the class index {highest} among its targets. With outputs {outputs}, the largest is "
                f"{outputs - 1}."
            )
        if outputs is None and highest < 1:
            raise ValueError(
                f"{where} has the class index 0 for all samples, but must have at least two classes. Use floats for "
                "regression, or return 'outputs'."
            )
        outputs = outputs or highest + 1
    return Spec(
        shape,
        outputs,
        task,
        classes or tuple(str(number) for number in range(outputs)),
        places=tuple(target.shape),
        no_positions=points is not None,
        input_form=form,
    )


def _declared(returned: Mapping[str, Any], where: str) -> tuple[tuple[str, ...], int | None]:
    """The classes and the number of outputs that the function returned with the data. Raises ValueError (one line)."""
    classes = tuple(str(name) for name in returned.get("classes") or ())
    outputs = returned.get("outputs") or len(classes) or None
    if outputs is not None and (not isinstance(outputs, int) or isinstance(outputs, bool) or outputs < 1):
        raise ValueError(f"{where}: outputs (={outputs}) must be an integer of at least 1.")
    if classes and outputs != len(classes):
        raise ValueError(f"{where}: outputs (={outputs}) must be the number of classes ({len(classes)}).")
    return classes, outputs


def _first(part: Part) -> tuple[Tree, Tree]:
    if isinstance(part.dataset, Stream):
        return part.dataset.first()
    if isinstance(part.dataset, Collated):
        batch = part.dataset.collate([part.dataset[0]])
        return cast("tuple[Tree, Tree]", tree_map(lambda values: values[0], batch))
    if part.inputs is None:
        sample: tuple[Tree, Tree] = cast("Any", part.dataset)[0]
        return sample
    return cast("tuple[Tree, Tree]", tree_map(lambda values: values[0], part.tensors))


def _labels(part: Part) -> NDArray[np.int64]:
    """All class indices, flattened; of streamed data the different ones of each sample. Reads every sample of those."""
    if part.targets is not None:
        return cast("NDArray[np.int64]", part.targets.numpy().reshape(-1))
    data = cast("Any", part.dataset)
    targets = (data.collate([data[i]])[1] if isinstance(data, Collated) else data[i][1] for i in range(len(data)))
    return np.concatenate([np.unique(target.numpy()) for target in targets])

"""Data whose targets are their inputs, for autoencoders, without labels."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from ablate.data.dataset import Part, Parts, Spec
from ablate.registry.lazy import torch


def reconstructed(data: Parts, dtype: torch.dtype) -> Parts:
    """The same split with targets of this type (n, values per sample), bytes as [0, 1].

    Raises ValueError if inputs are streamed or tokens.
    """
    test = None if data.test is None else _own_targets(data.test, dtype)
    train, valid = _own_targets(data.train, dtype), _own_targets(data.valid, dtype)
    spec = reconstructed_spec(data.spec)
    return replace(data, train=train, valid=valid, test=test, spec=spec)


def reconstructed_spec(spec: Spec) -> Spec:
    """The facts: a regression with one output per value of a sample. Raises ValueError for tokens."""
    if spec.vocabulary:
        raise ValueError("data.reconstruct (=true) requires floating-point inputs, but the data are tokens. Remove it.")
    return Spec(spec.input_shape, outputs=prod(spec.input_shape), task="regression")


def _own_targets(part: Part, dtype: torch.dtype) -> Part:
    if part.inputs is None:
        raise ValueError("data.reconstruct (=true) requires inputs in memory, but they are streamed. Remove it.")
    numbers = part.inputs.flatten(1)
    if part.inputs.dtype == torch.uint8:
        return replace(part, targets=numbers.to(dtype) / 255)
    return replace(part, targets=numbers.clone() if numbers.is_floating_point() else numbers.to(dtype))

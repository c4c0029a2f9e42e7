"""Digits to be reconstructed, and numbers that rows can both be asked for which have none in common otherwise."""

from __future__ import annotations

import torch


def reconstruction():
    """The digits' parts as the recipes split them, each picture its own target."""
    from ablate.data.load import load_parts
    from ablate.recipe.settings import Choice
    from ablate.registry import lookup

    settings = lookup("data", "digits").settings(valid=0.5)
    parts = load_parts(Choice("data", "digits", None, settings), None)

    def paired(part):
        pictures = part.inputs.float() / 255 if part.inputs.dtype == torch.uint8 else part.inputs
        return pictures, pictures.flatten(1)

    return paired(parts.train), paired(parts.valid)


def score(prediction, target):
    """Accuracy of classes, minus the squared error of numbers: one name for both, as rows are compared by one."""
    if target.is_floating_point():
        return -((prediction - target) ** 2).mean()
    return (prediction.argmax(1) == target).float().mean()


def judged(prediction, target, by="loss"):
    """How wrong classes are, by the cross-entropy or by the share that is wrong: one name for both, as rows are compared by one."""
    if by == "loss":
        return torch.nn.functional.cross_entropy(prediction, target)
    return (prediction.argmax(1) != target).float().mean()

"""What the data of a training say before it begins: gaps among targets, inputs that do not fit, and notes."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.data.dataset import Parts, Spec
from ablate.data.iterable import Stream
from ablate.data.keypoints import stay_behind
from ablate.engine.device import dtype_of
from ablate.losses.loss import Loss
from ablate.models.model import Model
from ablate.notes.note import Note
from ablate.recipe.settings import Settings
from ablate.registry import Named
from ablate.registry.lazy import torch
from ablate.trees import described, tensors
from ablate.tricks.trick import Trick, overrides


def has_gaps(data: Parts) -> bool:
    """Whether any target can be missing (NaN, or a class index below 0), checked once instead of in every batch.

    True for streamed data.
    """
    parts = [part for part in (data.train, data.valid, data.test) if part is not None]
    return any(
        part.targets is None
        or any(bool((one.isnan() if one.is_floating_point() else one < 0).any()) for one in tensors(part.targets))
        for part in parts
    )


def check_input_type(settings: Settings, data: Parts) -> None:
    """Raise ValueError (one line) for integers in memory that a built-in network would have to multiply."""
    inputs, model = data.train.inputs, settings.model.options
    if not isinstance(inputs, torch.Tensor) or inputs.is_floating_point() or inputs.dtype == torch.uint8:
        return
    if isinstance(model, Model) and not model.takes_tokens:
        raise ValueError(
            f"model (={settings.model.name}) requires floating-point inputs, but the inputs are {inputs.dtype}. "
            "Convert them to float32, or pixels to uint8."
        )


def check_forms(settings: Settings, spec: Spec) -> None:
    """Raise ValueError (one line) for a built-in entry that requires one tensor, but would get several."""
    for form, what, choices in (
        (spec.input_form, "inputs", [settings.model, *settings.tricks]),
        (spec.target_form, "targets", [settings.loss, *settings.metrics]),
    ):
        for choice in choices if form is not None else ():
            options = choice.options
            fits = isinstance(options, Trick) and (options.any_inputs or not takes_inputs(options))
            fits |= isinstance(options, Loss) and options.any_targets
            if isinstance(options, Named) and not fits:
                raise ValueError(
                    f"{choice.kind} (={choice.name}) requires {what} that are one tensor, but they are "
                    f"{described(form)}. Name one with batch.{what}, or use a target."
                )


def check_stream(settings: Settings, data: Parts) -> None:
    """Raise ValueError (one line) for a trick that cannot change an `IterableDataset`."""
    if not isinstance(data.train.dataset, Stream):
        return
    for choice in settings.tricks:
        trick = choice.options
        hooks = ("on_data", "on_order", "needs_positions")
        if isinstance(trick, Trick) and any(overrides(trick, hook) for hook in hooks):
            what = "a training set with positions, but it is an IterableDataset"
            raise ValueError(f"trick (={choice.label}) requires {what}. Remove it, or change the dataset itself.")


def is_unrepeatable(data: Parts) -> bool:
    """Whether the training set is an `IterableDataset` that has other samples when it is read again."""
    return isinstance(data.train.dataset, Stream) and not data.train.dataset.repeats()


def takes_inputs(trick: Trick) -> bool:
    """Whether a trick reads or changes the inputs of samples."""
    return any(overrides(trick, hook) for hook in ("on_batch", "on_data"))


def data_notes(settings: Settings, data: Parts) -> list[Note]:
    """Notes about missing targets for a custom loss, unnamed columns, and invalid inputs of custom data."""
    notes = [Note("missing_targets")] if settings.loss.target is not None and has_gaps(data) else []
    if is_unrepeatable(data):
        notes.append(Note("not_repeatable"))
    if columns := data.notes.get("unnamed"):
        notes.append(Note("unnamed", values={"columns": columns}))
    return notes + (not_finite_inputs(data, dtype_of(settings.precision)) if settings.data.target is not None else [])


def not_finite_inputs(data: Parts, dtype: torch.dtype) -> list[Note]:
    """A note for each split in memory whose inputs contain NaN or infinity, or numbers that are too large for
    ``dtype``: most losses are not finite then either.
    """
    notes = []
    for name, part in (("train", data.train), ("valid", data.valid), ("test", data.test)):
        if part is None or not isinstance(part.inputs, torch.Tensor) or not part.inputs.is_floating_point():
            continue
        bad = ~part.inputs.reshape(len(part.inputs), -1).to(dtype).isfinite().all(dim=1)
        if count := int(bad.sum()):
            first = int(bad.to(torch.uint8).argmax())
            values = {"count": count, "total": len(bad), "split": name, "first": first}
            notes.append(Note("not_finite_inputs", values=values))
    return notes


def targets_stay(settings: Settings, tricks: Sequence[Trick], spec: Spec) -> list[Note]:
    """A note if tricks move the pixels of images whose targets may be positions that do not move."""
    moving = [choice.label for choice, trick in zip(settings.tricks, tricks, strict=True) if trick.moves_pixels]
    return [Note("targets_stay", values={"tricks": moving})] if moving and stay_behind(spec) else []

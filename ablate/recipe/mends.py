"""Wrong results that have been mended, each with the settings it affects: only their runs become outdated.

A mend within one entry of the registry raises the entry's version instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ablate.recipe.settings import Settings


@dataclass(frozen=True)
class Mend:
    """``fact: version`` is added to the `facts` of the settings that it ``affects``, and so changes their identity.

    `report.notes.DIFFERENCES` says why their runs are stale. A variant with ``joined`` uses no model and no optimizer
    of its own. ``by_contents`` is asked as well if files decide: it gets the settings as in `facts`, with the hashes of
    files, by which the answer can be cached.
    """

    fact: str
    version: int
    affects: Callable[[Settings], bool]
    by_contents: Callable[[Settings, Mapping[str, Any]], bool] | None = None

    def holds(self, settings: Settings, plain: Mapping[str, Any]) -> bool:
        """Whether the mend affects these settings, given those of `facts`."""
        return self.affects(settings) and (self.by_contents is None or self.by_contents(settings, plain))


def _lent_to_custom_code(settings: Settings) -> bool:
    return settings.custom("loss", "metrics", "tricks") or (not settings.joined and settings.custom("model"))


def _groups_of_one(settings: Settings) -> bool:
    trick = settings.trick("group_norm")
    return trick is not None and trick.dump()["where"] != "conv"


CHOOSING = (
    *("flip", "rotate", "scale", "crop", "brightness", "contrast", "colour_pca", "cutout", "random_erasing"),
    *("mixup", "cutmix", "noise"),
)
"""The tricks that change a ``share`` of each batch."""


def _changes_part_of_a_batch(settings: Settings) -> bool:
    return any(choice.name in CHOOSING and choice.options.share not in (0, 1) for choice in settings.tricks)  # type: ignore[union-attr]


def _has_files(settings: Settings) -> bool:
    return settings.data.target is None and getattr(settings.data.options, "path", None) is not None


def _misread(settings: Settings, plain: Mapping[str, Any]) -> bool:
    data: Any = settings.data.options
    return bool(data.misread(plain["data"]["path"]["contents"]))


def _weighted_by_targets(settings: Settings) -> bool:
    """Whether targets can be missing, and the loss is not a mean over the samples or over all known numbers."""
    own = settings.custom("data", "tricks")
    if settings.joined:
        return False
    if settings.loss.name == "multi_task":
        return own or settings.data.name in ("csv", "npz", "facial_keypoints")
    soft = any(choice.name in ("label_smoothing", "mixup", "cutmix") for choice in settings.tricks)
    losses = ("cross_entropy", "focal", "mse_on_softmax", "dice_ce", *(("bce", "dice") if soft else ()))
    return own and settings.loss.name in losses


def _starts_late(settings: Settings) -> bool:
    """Whether early stopping ignores the first epochs, and reports the best one."""
    stops: list[Any] = [choice.options for choice in settings.tricks if choice.name == "early_stop"]
    return not settings.joined and any(stop.restore_best and stop.start.of(settings.epochs) > 0 for stop in stops)


def _in_float64(settings: Settings) -> bool:
    """Whether data that may have other values in float64 than in float32 are trained on in float64."""
    exact = ("digits", "images", "shapes", "text", "facial_keypoints")
    reconstruct = getattr(settings.data.options, "reconstruct", False)
    return settings.precision == "float64" and (settings.data.name not in exact or reconstruct or bool(settings.joined))


def _own_layers(settings: Settings) -> bool:
    """Whether tricks find layers by what the code of a custom network calls."""
    names = ("activation", "batch_norm", "layer_norm", "instance_norm", "group_norm")
    return not settings.joined and settings.custom("model") and any(map(settings.trick, names))


MENDS = (
    # a group of one feature of a linear layer became 0 and stopped all gradients: it is refused
    Mend("group_norm", 2, _groups_of_one),
    # custom code gets copies of the data, so that what it writes in place changes nothing else
    Mend("contract", 2, _lent_to_custom_code),
    # share · N is no longer rounded: at batch 1, a share of 0.4 changed nothing
    Mend("share", 2, _changes_part_of_a_batch),
    # a file is read right, or refused
    Mend("reading", 2, _has_files, _misread),
    # in a mean over batches, each counts by what its loss is divided by: known targets, those of each task
    Mend("loss_weight", 2, _weighted_by_targets),
    # an epoch that early stopping ignores cannot be the best one
    Mend("early_stop_start", 2, _starts_late),
    # data were stored in float32 whatever the precision
    Mend("float64_data", 2, _in_float64),
    # norms went only into Sequentials, and not every activation was replaced
    Mend("own_layers", 2, _own_layers),
)

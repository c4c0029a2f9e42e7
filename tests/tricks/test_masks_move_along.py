"""Segmentation under every trick that changes a batch: masks go where their pictures go, and targets stay what losses
take.
"""

from __future__ import annotations

import pytest
import torch

from ablate.data.dataset import Batch, Spec
from ablate.data.shapes import Shapes
from ablate.registry import entries, lookup
from ablate.rng.noise import Noise
from ablate.tricks.trick import Context, NoEffect, Trick

SPEC = Shapes(size=24, classes=4, count=24).spec()
SEEDS = (0, 1)

MOVING = {
    "flip": {"share": 0.5},
    "rotate": {"degrees": 40},
    "scale": {"by": 0.4},
    "shift": {"pixels": 5},
    "crop": {},
    "cutmix": {},
}
"""Tricks that move pixels from one place, or from one picture, to another."""

STILL = {
    "brightness": {},
    "contrast": {},
    "cutout": {"pixels": 6},
    "noise": {},
    "random_erasing": {"share": 1},
}
"""Tricks that leave every pixel where it is: what is hidden is still asked for."""

SOFT = {"mixup": {"alpha": 1.0}, "label_smoothing": {}, "class_weights": {}}
"""Tricks that make probabilities of class numbers."""


@pytest.fixture(scope="module")
def scenes() -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures that show their own masks, class k as k/3, and these masks; two seeds' batches of twelve."""
    masks = Shapes(size=24, classes=4, count=24, valid=0.5).load()
    masks = torch.stack([masks.train.targets, masks.valid.targets])
    return masks.unsqueeze(2) / 3, masks


def applied(name: str, fields: dict, inputs: torch.Tensor, masks: torch.Tensor, seeds: tuple[int, ...]) -> Batch:
    trick = lookup("trick", name).settings(**fields)
    assert isinstance(trick, Trick)
    trick.bind(Context(SPEC, seeds, 1, 4))
    trick.on_data(Shapes(size=24, classes=4, count=24).load())
    trick.now.set(0)
    return trick.on_batch(Batch(inputs, masks, masks, SPEC), Noise(seeds, "trick/x"))


@pytest.mark.parametrize("form", ["class numbers", "one plane for each class"])
@pytest.mark.parametrize("name", MOVING)
def test_masks_go_where_pictures_go(name, form, scenes):
    inputs, masks = scenes
    if form != "class numbers":
        masks = torch.nn.functional.one_hot(masks, 4).movedim(-1, 2).float()
    batch = applied(name, MOVING[name], inputs, masks, SEEDS)
    assert batch.targets.shape == masks.shape
    assert batch.targets.dtype == masks.dtype
    assert not torch.equal(batch.targets, masks)
    if form != "class numbers":
        assert set(batch.targets.unique().tolist()) == {0.0, 1.0}
        assert torch.equal(batch.targets.sum(2), torch.ones_like(batch.targets[:, :, 0])), "each pixel has one class"
        moved = batch.targets.argmax(2)
    else:
        assert set(batch.targets.unique().tolist()) <= {0, 1, 2, 3}
        moved = batch.targets
    # between the pixels of an edge a picture is blurred where a mask is one or the other
    difference = (batch.inputs[:, :, 0] - moved / 3).abs()
    assert (difference < 1e-4).float().mean() > 0.75
    assert difference.mean() < 0.06
    wrong = (
        batch.inputs[:, :, 0] - masks.argmax(2) / 3 if form != "class numbers" else batch.inputs[:, :, 0] - masks / 3
    ).abs()
    assert wrong.mean() > 2.5 * difference.mean(), "the test would not see masks that stay"


@pytest.mark.parametrize("name", STILL)
def test_masks_stay_where_pictures_stay(name, scenes):
    inputs, masks = scenes
    batch = applied(name, STILL[name], inputs, masks, SEEDS)
    assert torch.equal(batch.targets, masks)
    assert not torch.equal(batch.inputs, inputs)


@pytest.mark.parametrize("name", SOFT)
def test_class_numbers_become_probabilities_that_losses_take(name, scenes):
    inputs, masks = scenes
    fields, prediction = SOFT[name], torch.randn(12, 4, 24, 24)
    batch = applied(name, fields, inputs[0], masks[0], (0,))
    assert batch.targets.shape == prediction.shape
    if name != "class_weights":
        torch.testing.assert_close(batch.targets.sum(1), torch.ones(12, 24, 24))
    for loss in ("cross_entropy", "focal", "dice", "dice_ce", "mse_on_softmax"):
        assert lookup("loss", loss).settings()(prediction, batch.targets).isfinite()
    stacked = applied(name, fields, inputs, masks, SEEDS)
    assert torch.equal(stacked.targets[0], batch.targets)


def refusal(check, *arguments) -> str:
    """What a check says against data of masks; nothing where they fit."""
    try:
        check(*arguments)
    except (ValueError, NoEffect) as error:
        return str(error)
    return ""


def answers(masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are sure and right everywhere, and such that are sure and wrong."""
    right = torch.nn.functional.one_hot(masks, 4).movedim(-1, 1) * 80.0 - 40.0
    return right, -right


FITTING = {"bce", "cross_entropy", "dice", "dice_ce", "focal", "mse_on_softmax"}


@pytest.mark.parametrize("loss", [entry.name for entry in entries("loss") if not entry.settings.any_targets])
def test_every_loss_takes_masks_or_refuses_them_beforehand(loss, scenes):
    fields = {"tasks": [{"outputs": 4}]} if loss == "multi_task" else {}
    chosen = lookup("loss", loss).settings(**fields)
    refused = refusal(chosen.check, loss, SPEC)
    assert bool(refused) == (loss not in FITTING), refused
    assert "\n" not in refused
    if not refused:
        right, wrong = (chosen(prediction, scenes[1][0]).item() for prediction in answers(scenes[1][0]))
        assert right < 1e-3 < wrong


@pytest.mark.parametrize("metric", [entry.name for entry in entries("metric")])
def test_every_metric_takes_masks_or_refuses_them_beforehand(metric, scenes):
    chosen = lookup("metric", metric).settings(**({"k": 2} if metric == "top_k" else {}))
    refused = refusal(chosen.check, metric, SPEC)
    assert bool(refused) == (chosen.task == "regression" or metric == "rmse_pixels"), refused
    assert "\n" not in refused
    if not refused:
        right, wrong = (chosen.measure(one, scenes[1][0], SPEC).item() for one in answers(scenes[1][0]))
        assert right > wrong if chosen.better == "higher" else right < wrong


def test_every_trick_on_batches_of_pictures_is_looked_at_here():
    changing = {entry.name for entry in entries("trick") if entry.settings.on_batch is not Trick.on_batch}
    # colour_pca wants three colours
    assert changing - {*MOVING, *STILL, *SOFT} == {"colour_pca"}


@pytest.mark.parametrize(("name", "fields"), (MOVING | STILL | SOFT).items())
def test_volumes_are_refused_by_what_is_for_pictures_and_taken_by_the_rest(name, fields):
    data = Shapes(dimensions=3, size=8, count=12)
    parts = data.load()
    inputs, masks = parts.train.inputs[:6] / 255, parts.train.targets[:6]
    trick = lookup("trick", name).settings(**fields)
    refused = refusal(trick.bind, Context(data.spec(), (0,), 1, 4))
    if name not in (*SOFT, "flip", "noise"):
        assert refused.startswith(f"trick (={name}) requires images (C, H, W)")
        return
    assert not refused
    trick.on_data(parts)
    trick.now.set(0)
    batch = trick.on_batch(Batch(inputs, masks, masks, data.spec()), Noise((0,), "trick/x"))
    assert batch.inputs.shape == inputs.shape
    assert batch.targets.shape == ((6, 4, 8, 8, 8) if name in SOFT else masks.shape)


def test_a_volume_is_mirrored_with_its_mask():
    data = Shapes(dimensions=3, size=8, count=8, valid=0.5, noise=0)
    parts = data.load()
    inputs = torch.stack([parts.train.inputs, parts.valid.inputs]) / 255
    masks = torch.stack([parts.train.targets, parts.valid.targets])
    trick = lookup("trick", "flip").settings()
    trick.bind(Context(data.spec(), SEEDS, 1, 4))
    trick.now.set(0)
    batch = trick.on_batch(Batch(inputs, masks, masks, data.spec()), Noise(SEEDS, "trick/x"))
    for seed in SEEDS:
        pairs = list(zip(batch.inputs[seed], inputs[seed], batch.targets[seed], masks[seed], strict=True))
        mirrored = [torch.equal(new, old.flip(-1)) and torch.equal(mask, was.flip(-1)) for new, old, mask, was in pairs]
        same = [torch.equal(new, old) and torch.equal(mask, was) for new, old, mask, was in pairs]
        assert (sum(mirrored), sum(same)) == (2, 2)


@pytest.mark.parametrize("seeds", [(0,), SEEDS], ids=["alone", "stacked"])
@pytest.mark.parametrize("name", MOVING)
def test_pictures_that_are_their_own_targets_move_along(name, seeds):
    """An autoencoder's targets are its inputs in a row: they are so still when the pictures have moved."""
    spec = Spec((2, 24, 24), 2 * 24 * 24, "regression")
    inputs = torch.rand(2, 12, *spec.input_shape, generator=torch.Generator().manual_seed(0))
    inputs = inputs if len(seeds) > 1 else inputs[0]
    targets = inputs.flatten(-3).clone()
    trick = lookup("trick", name).settings(**MOVING[name])
    trick.bind(Context(spec, seeds, 1, 4))
    batch = trick.on_batch(Batch(inputs, targets, targets, spec), Noise(seeds, "trick/x"))
    assert not torch.equal(batch.inputs, inputs)
    assert torch.equal(batch.targets, batch.inputs.flatten(-3))

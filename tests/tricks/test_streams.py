"""The names of the tricks' random streams. A stream is named after its trick's module and class, so a trick that moves to another file draws other numbers, and
finished runs would no longer be what they say.
"""

from __future__ import annotations

from ablate.engine.stacked_tricks import stream_name
from ablate.registry import entries
from ablate.tricks.trick import overrides

MODULES = {
    "balanced_sampling": "balanced_sampling:BalancedSampling",
    "brightness": "light:Brightness",
    "class_weights": "class_weights:ClassWeights",
    "colour_pca": "colour_pca:ColourPca",
    "contrast": "light:Contrast",
    "crop": "crop:Crop",
    "cutmix": "mixing:Cutmix",
    "cutout": "erase:Cutout",
    "flip": "flip:Flip",
    "label_smoothing": "label_smoothing:LabelSmoothing",
    "mixup": "mixing:Mixup",
    "noise": "gaussian_noise:GaussianNoise",
    "random_erasing": "erase:RandomErasing",
    "rotate": "rotate:Rotate",
    "scale": "scale:Scale",
    "shift": "shift:Shift",
}


def test_tricks_that_draw_keep_their_streams():
    built_in = [entry.settings for entry in entries("trick") if entry.provider == "ablate"]
    tricks = {entry.settings: entry.name for entry in entries("trick")}
    drawing = [trick.model_construct() for trick in built_in]
    found = {
        tricks[type(trick)]: stream_name(trick)
        for trick in drawing
        if overrides(trick, "on_batch") or overrides(trick, "on_order")
    }
    assert found == {name: f"trick/ablate.tricks.{where}" for name, where in MODULES.items()}

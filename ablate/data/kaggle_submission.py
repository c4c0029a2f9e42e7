"""The submission of the keypoint competition: one number per row of its lookup table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.data.csv_file import read_table
from ablate.data.data import shown
from ablate.data.dataset import Keypoints
from ablate.registry import suggestion

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = ("RowId", "ImageId", "FeatureName")


def submission(predictions: Tensor, names: Sequence[str], ids: Sequence[int], lookup: Path) -> str:
    """``RowId,Location`` in CSV, one line per row of ``IdLookupTable.csv``.

    ``predictions`` (n, outputs) are in pixels, for the images ``ids``.

    Raises ValueError (one line) for a table with other columns, or for an image or feature without a prediction.
    """
    if not lookup.is_file():
        raise ValueError(
            f"--lookup (={shown(lookup)}) does not exist. Download IdLookupTable.csv from the competition page."
        )
    table = read_table(lookup, "--lookup", COLUMNS)
    for column in COLUMNS:
        if column not in table.columns:
            raise ValueError(
                f"--lookup (={shown(lookup)}) has no column '{column}'. Use the competition's IdLookupTable.csv."
            )
    place = {number: i for i, number in enumerate(ids)}
    output = {name: i for i, name in enumerate(names)}
    lines = ["RowId,Location"]
    values = predictions.tolist()
    for row, image, feature in zip(*(table[column].tolist() for column in COLUMNS), strict=True):
        if image not in place:
            raise ValueError(f"--lookup (={shown(lookup)}) requests image {image} (row {row}), which is not in --data.")
        if feature not in output:
            near = suggestion(str(feature), names)
            hint = (
                f" Did you mean '{near}'?"
                if near
                else " Use a variant that predicts all keypoints, such as one that combines specialists."
            )
            raise ValueError(
                f"--lookup (={shown(lookup)}) requests '{feature}', which this variant does not predict.{hint}"
            )
        lines.append(f"{row},{values[place[image]][output[feature]]:.6f}")
    return "\n".join(lines) + "\n"


def in_pixels(predictions: Tensor, marks: Keypoints) -> Tensor:
    """Keypoints (n, 2·P) in pixels of the frame, clipped to it."""
    pixels = marks.pixels(predictions)
    for i, axis in enumerate(marks.axes):
        pixels[..., i::2].clamp_(axis.first, axis.first + axis.side)
    return pixels

"""What the keypoint competition wants back: one number for each row of its lookup table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.data.data import shown
from ablate.data.dataset import Landmarks
from ablate.registry import suggestion

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = ("RowId", "ImageId", "FeatureName")


def submission(predictions: Tensor, names: Sequence[str], ids: Sequence[int], lookup: Path) -> str:
    """``RowId,Location`` in CSV, a line for each row of ``IdLookupTable.csv``. ``predictions`` (n, outputs) are in pixels, of pictures with these ``ids``.

    Raises ValueError in one line for a table with other columns, and for a picture or a feature that was not predicted.
    """
    import pandas

    if not lookup.is_file():
        raise ValueError(
            f"--lookup (={shown(lookup)}) does not exist. Download IdLookupTable.csv from the competition page."
        )
    table = pandas.read_csv(lookup)
    for column in COLUMNS:
        if column not in table.columns:
            raise ValueError(
                f"--lookup (={shown(lookup)}) has no column '{column}'. Give the competition's IdLookupTable.csv."
            )
    place = {number: i for i, number in enumerate(ids)}
    output = {name: i for i, name in enumerate(names)}
    lines = ["RowId,Location"]
    values = predictions.tolist()
    for row, image, feature in zip(*(table[column].tolist() for column in COLUMNS), strict=True):
        if image not in place:
            raise ValueError(
                f"--lookup (={shown(lookup)}) asks for picture {image} in row {row}, which --data has not."
            )
        if feature not in output:
            near = suggestion(str(feature), names)
            hint = (
                f" Did you mean '{near}'?"
                if near
                else " Use a row that predicts all points, such as one that joins specialists."
            )
            raise ValueError(
                f"--lookup (={shown(lookup)}) asks for '{feature}', which this row does not predict.{hint}"
            )
        lines.append(f"{row},{values[place[image]][output[feature]]:.6f}")
    return "\n".join(lines) + "\n"


def in_pixels(predictions: Tensor, marks: Landmarks) -> Tensor:
    """Points (n, 2·P) in pixels of the frame, clipped to it."""
    return (predictions * marks.scale + marks.centre).clamp(0, marks.frame)

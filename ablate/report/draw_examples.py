"""Images of the samples on which two variants differ most."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from ablate.evidence.examples import Examples
from ablate.execution.predictions import trained
from ablate.planning.planned_run import PlannedRun
from ablate.recipe import Recipe
from ablate.report.figure import GREY, SMALL, TITLE, drawing, fitted, new_figure, picture_bytes, titled_study
from ablate.report.wording import plain
from ablate.store.store import Store

COLUMNS, MOST = 4, 40
"""Images in a line, and in a figure."""

SIDE = 1.5
"""Inches of an image."""


def examples_picture(found: Examples, run: PlannedRun, recipe: Recipe, store: Store, format: str) -> bytes:
    """The samples as a file's contents. ``run`` is one of the first variant, whose data are shown.

    Raises ValueError (one line) if they are not images.
    """
    images = read_images(found, run, recipe, store)
    with drawing():
        return picture_bytes(draw_examples(found, images), format)


def read_images(found: Examples, run: PlannedRun, recipe: Recipe, store: Store) -> list[NDArray[Any]]:
    """The samples' images, (H, W) or (H, W, 3), in the order of the rows. Raises ValueError if they are not images."""
    if any(row.fold is not None for row in found.rows):
        raise ValueError("--output requires a recipe without folds. Print the samples instead.")
    part = trained(run, recipe, store).parts().valid
    shape: tuple[int, ...] = tuple(getattr(part.inputs, "shape", ()))
    if part.rows is None or len(shape) != 4 or shape[1] not in (1, 3):
        raise ValueError("--output requires images in memory, of one or three channels. Print the samples instead.")
    places = {int(row): i for i, row in enumerate(part.rows)}
    inputs: Any = part.inputs
    images = [inputs[places[row.position]].double().numpy() for row in found.rows[:MOST]]
    return [scaled(image[0] if len(image) == 1 else image.transpose(1, 2, 0)) for image in images]


def scaled(image: NDArray[Any]) -> NDArray[Any]:
    """An image with values from 0 to 1."""
    low, high = image.min(), image.max()
    return (image - low) / (high - low) if high > low else image * 0


def draw_examples(found: Examples, images: list[NDArray[Any]]) -> Figure:
    """The images side by side, with the values of both variants. Call it under `drawing`."""
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    width, height = max(columns * SIDE + 0.3, 4.4), rows * (SIDE + 0.36) + 0.75
    figure = new_figure(width, height)
    title = titled_study(found.study, ": samples that differ most", width - 0.3)
    figure.text(0.15 / width, 1 - 0.25 / height, title, size=TITLE, weight="bold")
    legend = f"position; {found.compare.metric} of {plain(found.first)} → {plain(found.second)}"
    figure.text(0.15 / width, 1 - 0.45 / height, fitted(legend, width - 0.3, SMALL), size=SMALL, color=GREY)
    for i, (row, image) in enumerate(zip(found.rows, images, strict=False)):
        line, column = divmod(i, columns)
        left, bottom = 0.15 + column * SIDE, height - 0.75 - (line + 1) * (SIDE + 0.36) + 0.36
        axes = figure.add_axes((left / width, bottom / height, (SIDE - 0.1) / width, (SIDE - 0.1) / height))
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.set_title(f"{row.position}\n{row.first:.3g} → {row.second:.3g}", size=SMALL, pad=2)
    return figure

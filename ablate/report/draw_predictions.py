"""Keypoints on images: true and predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from ablate.report.figure import BLUE, GREY, SMALL, TITLE, VERMILION, fitted, new_figure, titled_study
from ablate.report.wording import plain
from ablate.store.records import StudyRecord
from ablate.store.store import Store

COLUMNS, MOST = 4, 8
"""Images in a line, and in a figure."""

SIDE = 1.7
"""Inches of an image."""


@dataclass(frozen=True)
class Shown:
    """Images (n, H, W) with true and predicted keypoints (n, P, 2), in pixels from the edges of a frame of ``frame``
    (width, height) pixels; NaN: missing.
    """

    study: str
    variant: str
    images: NDArray[Any]
    truth: NDArray[np.float64]
    predicted: NDArray[np.float64]
    frame: tuple[int, int]


def read_predictions(study: StudyRecord, store: Store) -> Shown:
    """The first validation samples of the last finished variant, predicted by its first finished seed.

    Raises ValueError where nothing has finished, and where targets are no keypoints.
    """
    from ablate.engine.predicting import predict
    from ablate.evidence.stages import planned_now
    from ablate.execution.predictions import trained
    from ablate.planning.plan import make_plan

    plan = planned_now(make_plan(study.recipe, store), store)
    finished = [
        run
        for variant in reversed(study.recipe.variants)
        for run in plan.runs_of(variant.name)
        if run.record.status == "finished"
    ]
    if not finished:
        raise ValueError("there are no predictions: no run has finished.")
    run = trained(finished[0], study.recipe, store)
    name = finished[0].variant.name
    data = run.parts()
    marks, part = data.spec.keypoints, data.valid
    if marks is None or part.inputs is None or part.targets is None:
        raise ValueError(
            f"--kind (=predictions) requires a keypoint model, but {name} predicts no keypoints. Use --kind curves."
        )
    few = part.take(torch.arange(min(len(part), MOST)))
    values, _ = predict(run, few)
    inputs, targets = few.tensors

    def pixels(points: Tensor) -> NDArray[np.float64]:
        found: NDArray[np.float64] = (marks.pixels(points.double()) - marks.first).reshape(len(points), -1, 2).numpy()
        return found

    frame = marks.axes[0].side, marks.axes[1].side
    return Shown(study.recipe.study, name, inputs[:, 0].numpy(), pixels(targets), pixels(values), frame)


def draw_predictions(shown: Shown) -> Figure:
    """The images side by side: true keypoints as rings, predicted ones as dots, with a line between. Call it under
    `drawing`.
    """
    n, (right, bottom_edge) = len(shown.images), shown.frame
    columns = min(COLUMNS, n)
    rows = -(-n // columns)
    width, height = max(columns * SIDE + 0.3, 4.4), rows * (SIDE + 0.22) + 0.75
    figure = new_figure(width, height)
    title = titled_study(shown.study, ": keypoints on validation images", width - 0.3)
    figure.text(0.15 / width, 1 - 0.25 / height, title, size=TITLE, weight="bold")
    legend = f"{plain(shown.variant)}: rings: true, dots: predicted; number: RMSE in pixels"
    figure.text(0.15 / width, 1 - 0.45 / height, fitted(legend, width - 0.3, SMALL), size=SMALL, color=GREY)
    for i in range(n):
        row, column = divmod(i, columns)
        left, bottom = 0.15 + column * SIDE, height - 0.75 - (row + 1) * (SIDE + 0.22) + 0.22
        axes = figure.add_axes((left / width, bottom / height, (SIDE - 0.1) / width, (SIDE - 0.1) / height))
        axes.imshow(shown.images[i], cmap="gray", extent=(0, right, bottom_edge, 0))
        for (x, y), (px, py) in zip(shown.truth[i], shown.predicted[i], strict=True):
            axes.plot([x, px], [y, py], color=VERMILION, linewidth=0.7)
        axes.plot(*shown.truth[i].T, "o", markersize=4.2, markerfacecolor="none", markeredgecolor=BLUE)
        axes.plot(*shown.predicted[i].T, "o", markersize=1.9, color=VERMILION)
        axes.set(xlim=(0, right), ylim=(bottom_edge, 0), xticks=[], yticks=[])
        error = float(np.sqrt(np.nanmean((shown.truth[i] - shown.predicted[i]) ** 2)))
        axes.set_title(f"{error:.2f}", size=SMALL, pad=2)
    return figure

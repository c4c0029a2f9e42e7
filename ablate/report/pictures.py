"""The figures of a study as files: learning curves, ladder, effects, predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ablate.evidence.gather import Table
from ablate.recipe.measured import LOSSES
from ablate.recipe.shape import did_you_mean
from ablate.recipe.variant import MeanOfLast
from ablate.report.columns import ArgumentError
from ablate.report.curves import Curves
from ablate.report.figure import check_picture, drawing, picture_bytes
from ablate.store.records import StudyRecord
from ablate.store.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("curves", "ladder", "effects", "predictions")
"""Learning curves; steps from parents; differences with intervals; keypoints on images of the last variant."""

MOST_ROWS = 60
"""The most variants of a figure for MLflow, so that it stays readable."""


def picture(
    kind: str,
    study: StudyRecord,
    store: Store,
    table: Callable[[], Table],
    format: str,
    *,
    metric: str | None = None,
    log: bool | None = None,
) -> bytes:
    """A figure as a file's contents. ``metric`` (default: the losses) and ``log`` are for curves; other kinds show the
    compared metric. ``table`` is called if the figure shows verdicts.

    Raises ValueError for an unknown kind or format, and if it would be empty.
    """
    check_kind(kind)
    check_picture(format)
    with drawing():
        figure = _figure(kind, study, store, table=table, curves=Curves(study, store), metric=metric, log=log)
        return picture_bytes(figure, format)


def pictures(study: StudyRecord, store: Store, table: Table, format: str = "svg") -> dict[str, bytes]:
    """All figures that are not empty: file name → contents, which are equal for equal numbers.

    A study that compares a metric has its curves as ``metric.svg``, beside the losses' in ``curves.svg``.
    """
    check_picture(format)
    found: dict[str, bytes] = {}
    compared = table.compare.metric
    wanted = {"curves": ("curves", "valid_loss"), "ladder": ("ladder", None), "effects": ("effects", None)}
    if compared not in LOSSES:
        wanted["metric"] = ("curves", compared)
    curves = Curves(study, store)
    with drawing():
        for name, (kind, metric) in wanted.items():
            if kind != "curves" and len(table.rows) > MOST_ROWS:
                continue
            try:
                figure = _figure(kind, study, store, table=lambda: table, curves=curves, metric=metric)
            except ValueError:  # nothing to draw yet
                continue
            found[f"{name}.{format}"] = picture_bytes(figure, format)
    return found


def check_kind(kind: str) -> None:
    """Raises ValueError for an unknown kind of figure."""
    if kind not in KINDS:
        raise ArgumentError(f"kind (={kind}) must be one of {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}")


def _figure(
    kind: str,
    study: StudyRecord,
    store: Store,
    *,
    table: Callable[[], Table],
    curves: Curves,
    metric: str | None = None,
    log: bool | None = None,
) -> Figure:
    if kind == "curves":
        from ablate.report.draw_curves import draw_curves

        return draw_curves(study, curves, metric or "valid_loss", log=log)
    if kind == "ladder":
        from ablate.report.draw_ladder import draw_ladder

        return draw_ladder(table())
    if kind == "predictions":
        from ablate.report.draw_predictions import draw_predictions, read_predictions

        return draw_predictions(read_predictions(study, store))
    from ablate.report.draw_effects import draw_effects

    return draw_effects(study, table(), store.metrics if isinstance(study.recipe.compare.at, MeanOfLast) else None)

"""The figures of a study as files: learning curves, ladder, effects, predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
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
"""The most variants of a ladder or forest plot for MLflow and in reports, so that it stays readable."""


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
    """All figures that are not empty: file name → contents, which are equal for equal numbers."""
    check_picture(format)
    with drawing():
        found = figures(study, store, table, Curves(study, store))
        return {f"{name}.{format}": picture_bytes(figure, format) for name, figure in found}


def figures(study: StudyRecord, store: Store, table: Table, curves: Curves) -> Iterator[tuple[str, Figure]]:
    """The figures that are not empty, by name. Call it under `drawing`.

    A study that compares a metric has its curves as ``metric``, beside the losses' in ``curves``.
    """
    compared = table.compare.metric
    wanted = {"ladder": ("ladder", None), "effects": ("effects", None), "curves": ("curves", "valid_loss")}
    if compared not in LOSSES:
        wanted["metric"] = ("curves", compared)
    for name, (kind, metric) in wanted.items():
        if kind != "curves" and len(table.rows) > MOST_ROWS:
            continue
        with suppress(ValueError):  # nothing to draw yet
            yield name, _figure(kind, study, store, table=lambda: table, curves=curves, metric=metric)


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

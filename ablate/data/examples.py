"""Losses and metrics of single samples, which are stored with a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST = 1_000_000
"""The most samples of a run whose values are stored: about 4 MB for each metric."""


@dataclass(frozen=True)
class Examples:
    """Values of the n validation samples of a run at its selected epoch.

    ``ids`` (n,) are the samples' positions in the data source, all different. ``values`` maps a metric, such as
    ``valid_loss``, to its value for each sample, (n,); the metric of the run is their mean, weighted by ``weights``
    (n,), such as numbers of known targets, which are left out if they are equal. ``groups`` (n,) are the samples'
    groups (``data.group``), if there are any.
    """

    ids: NDArray[np.int64]
    values: Mapping[str, NDArray[np.floating]]
    weights: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    groups: NDArray[np.int64] | None = None

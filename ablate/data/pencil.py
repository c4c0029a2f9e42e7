"""Draw soft-edged shapes on many gray images at once, and simulate a photograph of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ablate.data.faces import FRAME
from ablate.registry.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]
    Cover = Callable[[Floats, Floats], Floats]
else:
    np = LazyModule("numpy")


def paint(
    canvas: Floats,
    centre: Floats,
    along: Floats,
    across: Floats,
    window: int,
    cover: Cover,
    tone: Floats,
    strength: Floats | float = 1.0,
) -> None:
    """Paint one feature on every image, inside a window around its center.

    ``cover(s, t)`` returns the painted fraction of a pixel, 0 … 1: s runs from −1 to 1 along the vector ``along`` (n,
    2), t along ``across`` (n,) pixels perpendicular to it.
    """
    n = len(canvas)
    corner = np.rint(centre - window / 2).clip(0, FRAME - window).astype(np.int64)
    columns, rows = (corner[:, axis, None] + np.arange(window) for axis in (0, 1))
    x = (columns + 0.5 - centre[:, :1]).astype(np.float32)[:, None, :]
    y = (rows + 0.5 - centre[:, 1:]).astype(np.float32)[:, :, None]
    squared = np.einsum("nk,nk->n", along, along)
    one, two = ((along / squared[:, None]).astype(np.float32)[:, axis, None, None] for axis in (0, 1))
    turn = (np.sqrt(squared) / across).astype(np.float32)[:, None, None]
    s, t = x * one + y * two, y * (one * turn) - x * (two * turn)
    alpha = cover(s, t)
    alpha *= np.broadcast_to(np.asarray(strength, np.float32), (n,))[:, None, None]
    tone = tone.astype(np.float32)[:, None, None]
    if window == FRAME:
        canvas += alpha * (tone - canvas)
        return
    where = (np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :])
    patch = canvas[where]
    canvas[where] = patch + alpha * (tone - patch)


def ellipse(s: Floats, t: Floats) -> Floats:
    """A filled ellipse."""
    return _soft((1 - s * s - t * t) * 4)


def ring(s: Floats, t: Floats) -> Floats:
    """The outline of an ellipse."""
    return _soft(1 - np.abs(s * s + t * t - 0.85) * 5)


def box(s: Floats, t: Floats) -> Floats:
    """A filled rectangle."""
    return _soft((1 - np.abs(s)) * 5) * _soft((1 - np.abs(t)) * 5)


def stroke(bend: Floats, thick: Floats) -> Cover:
    """A line through both ends, bent by ``bend`` pixels in the middle (down is positive)."""

    def cover(s: Floats, t: Floats) -> Floats:
        bow = (1 - s * s).clip(0)
        line = thick[:, None, None] * (0.6 + 0.4 * bow) + 0.5 - np.abs(t - bend[:, None, None] * bow)
        return _soft(line) * _soft((1.02 - np.abs(s)) * 12)

    return cover


def lips(upper: Floats, lower: Floats, half: Floats) -> Cover:
    """The area between two arcs that meet at the corners, ``upper`` pixels above and ``lower`` pixels below their
    midpoint.
    """

    def cover(s: Floats, t: Floats) -> Floats:
        bow = (1 - s * s).clip(0)
        below = t + upper[:, None, None] * bow + 0.5
        above = lower[:, None, None] * bow - t + 0.5
        return _soft(below) * _soft(above) * _soft((1 - np.abs(s)) * half[:, None, None])

    return cover


def _soft(share: Floats) -> Floats:
    """The fraction of a pixel: an edge fades over about one pixel."""
    kept: Floats = share.clip(0, 1)
    return kept


def photograph(rng: np.random.Generator, canvas: Floats) -> NDArray[np.uint8]:
    """Light from one side, exposure and noise, converted to uint8."""
    n = len(canvas)
    ramp = np.linspace(-1, 1, FRAME, dtype=np.float32)
    slope = rng.normal(0, 0.16, (2, n, 1)).astype(np.float32)
    light = (1 + slope[0] * ramp)[:, None, :] + (slope[1] * ramp)[:, :, None]
    canvas *= light * rng.uniform(0.7, 1.15, (n, 1, 1)).astype(np.float32)
    grain = rng.integers(0, 256, canvas.shape, np.uint8).astype(np.float32)
    grain -= 127.5
    canvas += grain * rng.uniform(0.0001, 0.0006, (n, 1, 1)).astype(np.float32)
    return (canvas.clip(0, 1) * 255 + 0.5).astype(np.uint8)

"""Synthetic scenes: gray images (or small volumes) of overlapping shapes, and masks with the class of each pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.registry.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
else:
    np = LazyModule("numpy")

NAMES = {
    2: ("background", "disc", "box", "cross", "ring", "triangle"),
    3: ("background", "ball", "cuboid", "cross", "shell", "tetrahedron"),
}
"""The classes in two and in three dimensions, in order."""

RADII = (0.0, 0.24, 0.20, 0.20, 0.18, 0.16)
"""Mean radius of each class, as a fraction of the side: later classes are smaller."""

RARER = 0.75
"""Frequency of each class relative to the class before it."""

PIXELS = 2**20
"""Number of pixels painted at a time: they fit in the CPU cache."""


@dataclass(frozen=True)
class Scenes:
    """The layout of n images with at most k shapes each; later shapes are on top.

    ``kind`` (n, k) is the class, 0 if there is no shape; ``centre`` (n, k, D) and ``radius`` (n, k) are fractions of
    the side; ``turn`` (n, k, D, D) are rotations; ``tone`` (n, k) and ``ground`` (n,) are brightness in 0 … 1;
    ``light`` (n, D) is the brightness of the far side minus that of the near side; ``grain`` (n, side, …) is noise of
    standard deviation 1.
    """

    kind: NDArray[np.int64]
    centre: Floats
    radius: Floats
    turn: Floats
    tone: Floats
    ground: Floats
    light: Floats
    grain: Floats


def scenes(count: int, dimensions: int, size: int, classes: int, figures: int, seed: int) -> Scenes:
    """``count`` scenes. Scene i depends on (seed, i) and the settings of a scene, not on the number of scenes."""
    each = [_scene(np.random.default_rng((seed, i)), dimensions, size, classes, figures) for i in range(count)]
    return Scenes(*(np.stack(values) for values in zip(*each, strict=True)))


def _scene(
    rng: np.random.Generator, dimensions: int, size: int, classes: int, figures: int
) -> tuple[NDArray[np.generic], ...]:
    shares = RARER ** np.arange(classes - 1)
    kind = rng.choice(np.arange(1, classes), figures, p=shares / shares.sum())
    kind[rng.integers(1, figures, endpoint=True) :] = 0
    radius = np.array(RADII)[kind] * rng.uniform(0.7, 1.3, figures)
    centre = rng.uniform(0.1, 0.9, (figures, dimensions))
    turn = np.stack([_rotation(rng, dimensions) for _ in range(figures)])
    tone = rng.uniform(0.45, 1.0, figures)
    ground, light = np.array(rng.uniform(0.1, 0.3)), rng.uniform(-0.1, 0.1, dimensions)
    grain = rng.standard_normal((size,) * dimensions, np.float32)
    return kind, *(np.asarray(values, np.float32) for values in (centre, radius, turn, tone, ground, light)), grain


def _rotation(rng: np.random.Generator, dimensions: int) -> NDArray[np.float64]:
    """A uniformly distributed rotation: the orthogonal factor of normal numbers with unique signs (Stewart 1980)."""
    q, r = np.linalg.qr(rng.standard_normal((dimensions, dimensions)))
    turned: NDArray[np.float64] = q * np.sign(np.diag(r))
    return turned


def paint(given: Scenes, noise: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images and masks, both uint8 (n, side, …); ``noise`` is the standard deviation, 1 is white − black."""
    pictures = np.empty(given.grain.shape, np.uint8)
    masks = np.empty(given.grain.shape, np.uint8)
    step = max(PIXELS // given.grain[0].size, 1)
    for start in range(0, len(pictures), step):
        chunk = slice(start, start + step)
        part = Scenes(*(getattr(given, name)[chunk] for name in Scenes.__dataclass_fields__))
        pictures[chunk], masks[chunk] = _painted(part, noise)
    return pictures, masks


def _painted(given: Scenes, noise: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    n, dimensions = given.light.shape
    size = given.grain.shape[1]
    middles = ((np.arange(size) + 0.5) / size).astype(np.float32)
    # axis d of the image is coordinate d
    grid = np.stack(np.meshgrid(*[middles] * dimensions, indexing="ij")).reshape(dimensions, -1)
    values = np.broadcast_to(given.ground[:, None], (n, grid.shape[1])).copy()
    masks = np.zeros(values.shape, np.uint8)
    for slot in range(given.kind.shape[1]):
        turn = given.turn[:, slot] / np.maximum(given.radius[:, slot], 1e-6)[:, None, None]
        own = turn @ grid - turn @ given.centre[:, slot, :, None]
        for kind in np.unique(given.kind[:, slot]):
            if kind:
                rows = np.flatnonzero(given.kind[:, slot] == kind)
                covered = inside(int(kind), own[rows])
                values[rows] = np.where(covered, given.tone[rows, slot, None], values[rows])
                masks[rows] = np.where(covered, kind, masks[rows])
    values += given.light @ (grid - 0.5)
    values += noise * given.grain.reshape(n, -1)
    shape = given.grain.shape
    return (values.clip(0, 1) * 255 + 0.5).astype(np.uint8).reshape(shape), masks.reshape(shape)


def inside(kind: int, own: Floats) -> NDArray[np.bool_]:
    """The points (n, D, pixels) that a shape covers, as (n, pixels), in its own coordinates (center 0, radius 1)."""
    covered: NDArray[np.bool_]
    dimensions = own.shape[1]
    if kind == 1:
        covered = (own**2).sum(1) <= 1
    elif kind == 2:
        covered = np.abs(own).max(1) <= 0.85
    elif kind == 3:
        # a plus has two bars, in space three: all but one coordinate are small
        covered = (np.sort(np.abs(own), axis=1)[:, -2] <= 0.33) & (np.abs(own).max(1) <= 1.1)
    elif kind == 4:
        squared = (own**2).sum(1)
        covered = (squared <= 1.2) & (squared >= 0.4)
    else:
        covered = np.max([normal @ own for normal in _simplex(dimensions)], axis=0) <= (
            0.625 if dimensions == 2 else 0.55
        )
    return covered


def _simplex(dimensions: int) -> Floats:
    """The outward normals (D + 1, D) of the sides of a triangle or the faces of a tetrahedron."""
    if dimensions == 2:
        angles = np.pi * np.array([90, 210, 330]) / 180
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float32)
    normals: Floats = (corners / np.sqrt(3)).astype(np.float32)
    return normals

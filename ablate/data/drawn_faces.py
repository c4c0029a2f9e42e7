"""Synthetic faces: 7049 gray images with the keypoints, and the missing keypoints, of the Kaggle competition's data.

The faces are generated from a fixed seed: 1500 people (proportions, tones, hair, glasses, beard) in random pose, light
and mood. Keypoints are placed in three dimensions, rotated and projected, and each feature is painted at its keypoints.
Pixel i covers [i, i + 1), so a flipped image has its keypoints at 96 − x.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ablate.data.faces import FRAME, POINTS, Faces
from ablate.data.pencil import box, ellipse, lips, paint, photograph, ring, stroke
from ablate.registry.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]
else:
    np = LazyModule("numpy")

COUNT, PEOPLE, SEED = 7049, 1500, 20130507
CHUNK = 32
"""Number of images drawn at a time: they fit in the CPU cache."""

INDEX = {name: i for i, name in enumerate(POINTS)}


def draw_faces(count: int = COUNT, *, seed: int = SEED) -> Faces:
    """``count`` faces, with the missing keypoints as NaN; always the same."""
    rng = np.random.default_rng(seed)
    person = rng.integers(0, PEOPLE, count)
    people = _people(rng)
    looks = {name: values[person] for name, values in people.items()}
    points, mood = _points(rng, looks)
    images = np.empty((count, FRAME, FRAME), np.uint8)
    for start in range(0, count, CHUNK):
        rows = slice(start, start + CHUNK)
        images[rows] = _draw(
            rng,
            points[rows],
            {name: values[rows] for name, values in looks.items()},
            {name: values[rows] for name, values in mood.items()},
        )
    keypoints = points[:, : len(POINTS)].copy()
    keypoints[missing_pattern(count, seed=seed)] = np.nan
    return Faces(images, keypoints, person)


def missing_pattern(count: int = COUNT, *, seed: int = SEED) -> NDArray[np.bool_]:
    """True (count, 15) if a keypoint is missing.

    For 7049 images the counts equal the competition's, by group of keypoints:

    eye centers 7033, nose tip 7049, mouth corners and top lip 2260, bottom lip 7016, eye corners 2247, brows 2190, all
    of them 2140.
    """
    rng = np.random.default_rng([seed, 1])
    full = round(count * 2278 / COUNT)
    missing = np.zeros((count, len(POINTS)), bool)
    always = ("left_eye_center", "right_eye_center", "nose_tip", "mouth_center_bottom_lip")
    missing[full:, [INDEX[name] for name in POINTS if name not in always]] = True
    brows = [i for name, i in INDEX.items() if "eyebrow" in name]
    corners = [i for name, i in INDEX.items() if "eye_" in name and "corner" in name]
    mouth = [i for name, i in INDEX.items() if "mouth" in name and "bottom" not in name]
    eyes = [INDEX["left_eye_center"], INDEX["right_eye_center"]]
    lip = [INDEX["mouth_center_bottom_lip"]]
    rich, poor = iter(rng.permutation(full)), iter(full + rng.permutation(count - full))
    for group, holes, rows in (
        (brows, 88, rich),
        (corners, 31, rich),
        (mouth, 18, rich),
        (eyes, 1, rich),
        (eyes, 15, poor),
        (lip, 33, poor),
    ):
        for _ in range(round(holes * count / COUNT)):
            missing[next(rows), rng.choice(group, rng.integers(1, len(group) + 1), replace=False)] = True
    return missing


def _people(rng: np.random.Generator) -> dict[str, Floats]:
    """Proportions (in pixels of an upright face), tones (0 black … 1 white) and other features of each person, each
    (PEOPLE,).
    """

    def about(mean: float, sd: float) -> Floats:
        return (mean + sd * rng.standard_normal(PEOPLE).clip(-2, 2)).astype(np.float32)

    skin = rng.uniform(0.3, 0.85, PEOPLE).astype(np.float32)
    return {
        "eye_apart": about(17, 1.2),
        "eye_height": about(-12, 1.2),
        "eye_width": about(6.3, 0.6),
        "eye_open": about(3.0, 0.5),
        "eye_slant": about(0, 0.6),
        "brow_height": about(-21, 1.4),
        "brow_inner": about(8, 0.9),
        "brow_outer": about(28, 1.4),
        "brow_arch": about(2.5, 1.2),
        "brow_thick": about(1.8, 0.4),
        "nose_length": about(10.5, 1.5),
        "nose_width": about(6.5, 0.9),
        "mouth_height": about(25, 1.5),
        "mouth_width": about(13.5, 1.4),
        "lip_thick": about(3.0, 0.5),
        "head_width": about(36, 2),
        "head_height": about(48, 3),
        "skin": skin,
        "hair": rng.uniform(0.02, 1, PEOPLE).astype(np.float32)
        * (0.25 + 0.5 * rng.random(PEOPLE) ** 2).astype(np.float32),
        "hair_line": about(-30, 4),
        "lip_tone": about(0.72, 0.08),
        "glasses": (rng.random(PEOPLE) < 0.15).astype(np.float32),
        "beard": ((rng.random(PEOPLE) < 0.2) * rng.uniform(0.3, 0.8, PEOPLE)).astype(np.float32),
    }


def _points(rng: np.random.Generator, looks: dict[str, Floats]) -> tuple[Floats, dict[str, Floats]]:
    """The fifteen keypoints and the centers of the head and the hairline, (n, 17, 2) in pixels; and the mood of each
    image.
    """
    n = len(looks["skin"])

    def about(mean: float, sd: float) -> Floats:
        return (mean + sd * rng.standard_normal(n).clip(-2, 2)).astype(np.float32)

    smile, gape, raised = about(0.8, 1.4), about(0, 1).clip(0) * 3, about(0, 1.1)
    apart, eye_y, width = looks["eye_apart"], looks["eye_height"], looks["eye_width"]
    brow_y, mouth_y, lip = looks["brow_height"] - raised, looks["mouth_height"], looks["lip_thick"]
    zero = np.zeros(n, np.float32)
    upright = {
        "eye_center": (apart, eye_y, 3),
        "eye_inner_corner": (apart - width, eye_y + looks["eye_slant"], 4),
        "eye_outer_corner": (apart + width, eye_y - looks["eye_slant"], -2),
        "eyebrow_inner_end": (looks["brow_inner"], brow_y, 8),
        "eyebrow_outer_end": (looks["brow_outer"], brow_y + 1, -5),
        "mouth_corner": (looks["mouth_width"] + smile, mouth_y - smile, 4),
        "nose_tip": (zero, looks["nose_length"], 20),
        "mouth_center_top_lip": (zero, mouth_y - lip - gape / 3, 11),
        "mouth_center_bottom_lip": (zero, mouth_y + lip + gape, 10),
    }
    solid = np.zeros((n, len(POINTS) + 2, 3), np.float32)
    for name, i in INDEX.items():
        side = {"left": 1, "right": -1}.get("left" if "left" in name else "right" if "right" in name else "", 0)
        x, y, depth = upright[name.replace("left_", "").replace("right_", "")]
        solid[:, i] = np.stack([x * side if side else x, y, np.full(n, depth, np.float32)], -1)
    solid[:, -2] = (0, 3, -10)
    solid[:, -1, 1] = looks["hair_line"]
    yaw, pitch, roll = about(0, 0.2), about(0, 0.1), about(0, 0.09)
    scale = about(0.97, 0.055)
    x = solid[..., 0] * np.cos(yaw)[:, None] + solid[..., 2] * np.sin(yaw)[:, None]
    y = solid[..., 1] * np.cos(pitch)[:, None] + solid[..., 2] * np.sin(pitch)[:, None]
    cos, sin = (scale * np.cos(roll))[:, None], (scale * np.sin(roll))[:, None]
    points = (
        np.stack([x * cos - y * sin, x * sin + y * cos], -1) + np.stack([about(48, 2.7), about(50, 2.7)], -1)[:, None]
    )
    return points.astype(np.float32), {"gape": gape * scale, "roll": roll, "scale": scale}


def _draw(
    rng: np.random.Generator, points: Floats, looks: dict[str, Floats], mood: dict[str, Floats]
) -> NDArray[np.uint8]:
    """Images uint8 (n, 96, 96) with the features at ``points`` (n, 17, 2)."""
    n = len(points)
    scale, skin, hair = mood["scale"], looks["skin"], looks["hair"]
    across = np.stack([np.cos(mood["roll"]), np.sin(mood["roll"])], -1) * scale[:, None]
    down = np.stack([-across[:, 1], across[:, 0]], -1)
    at = {name: points[:, i] for name, i in INDEX.items()}
    head = points[:, -2]

    canvas = np.empty((n, FRAME, FRAME), np.float32)
    canvas[:] = rng.uniform(0.05, 0.95, (n, 1, 1))
    for _ in range(2):  # objects in the background
        paint(
            canvas,
            rng.uniform(0, FRAME, (n, 2)),
            rng.normal(0, 20, (n, 2)),
            rng.uniform(8, 30, n),
            FRAME,
            ellipse,
            rng.random(n),
            0.6,
        )
    paint(canvas, head + down * 50, across * 20, 26 * scale, FRAME, box, skin * 0.8)
    paint(
        canvas,
        head - down * 5,
        across * (looks["head_width"] + 5)[:, None],
        (looks["head_height"] + 9) * scale,
        FRAME,
        ellipse,
        hair,
    )
    paint(canvas, head, across * looks["head_width"][:, None], looks["head_height"] * scale, FRAME, ellipse, skin)
    fringe = points[:, -1] - down * 14
    paint(canvas, fringe, across * (looks["head_width"] * 0.82)[:, None], 14 * scale, FRAME, ellipse, hair, 0.9)
    mouth = (at["mouth_left_corner"] + at["mouth_right_corner"]) / 2
    paint(canvas, mouth + down * 6, across * 24, 22 * scale, 64, ellipse, hair, looks["beard"])

    bridge = (at["left_eye_inner_corner"] + at["right_eye_inner_corner"]) / 2
    nose = at["nose_tip"]
    paint(canvas, (bridge + nose) / 2, (nose - bridge) / 2, 2.2 * scale, 40, ellipse, skin * 1.12, 0.5)
    paint(canvas, nose + down * 2.5, across * looks["nose_width"][:, None], 2.5 * scale, 32, ellipse, skin * 0.55, 0.8)
    paint(canvas, nose, across * 3.2, 3 * scale, 16, ellipse, skin * 1.25, 0.7)

    half = (at["mouth_left_corner"] - at["mouth_right_corner"]) / 2
    half_width = np.hypot(*half.T)
    upper = np.einsum("nk,nk->n", mouth - at["mouth_center_top_lip"], down) / scale
    lower = np.einsum("nk,nk->n", at["mouth_center_bottom_lip"] - mouth, down) / scale
    paint(canvas, mouth, half, np.ones(n), 56, lips(upper, lower, half_width), skin * looks["lip_tone"])
    middle = (lower - upper - mood["gape"] / 2) / 2
    paint(canvas, mouth, half * 0.95, np.ones(n), 56, stroke(middle, 0.7 + mood["gape"] * 0.6), skin * 0.2, 0.9)

    for side, sign in (("left", 1), ("right", -1)):
        inner, outer = at[f"{side}_eye_inner_corner"], at[f"{side}_eye_outer_corner"]
        centre, lids = at[f"{side}_eye_center"], looks["eye_open"] * scale
        along = (outer - inner) / 2 * sign
        paint(canvas, centre, along * 1.25, lids * 1.7, 28, ellipse, skin * 0.72, 0.6)
        paint(canvas, centre, along, lids, 24, ellipse, np.full(n, 0.9))
        paint(canvas, centre, across * 2.7, np.minimum(2.7 * scale, lids), 12, ellipse, np.full(n, 0.08))
        inner, outer = at[f"{side}_eyebrow_inner_end"], at[f"{side}_eyebrow_outer_end"]
        paint(
            canvas,
            (inner + outer) / 2,
            (outer - inner) / 2 * sign,
            np.ones(n),
            40,
            stroke(-looks["brow_arch"], looks["brow_thick"]),
            np.minimum(hair, skin * 0.6),
            0.9,
        )
        paint(canvas, centre, across * 10, 7.5 * scale, 32, ring, np.full(n, 0.1), looks["glasses"])

    return photograph(rng, canvas)

"""Images of faces with fifteen keypoints, from a Kaggle file, an .npz file or the generator of synthetic faces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from ablate.registry.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")

FRAME = 96
"""Image size in pixels; keypoints are in these pixels, whatever size the network gets."""

Point = Literal[
    "left_eye_center",
    "right_eye_center",
    "left_eye_inner_corner",
    "left_eye_outer_corner",
    "right_eye_inner_corner",
    "right_eye_outer_corner",
    "left_eyebrow_inner_end",
    "left_eyebrow_outer_end",
    "right_eyebrow_inner_end",
    "right_eyebrow_outer_end",
    "nose_tip",
    "mouth_left_corner",
    "mouth_right_corner",
    "mouth_center_top_lip",
    "mouth_center_bottom_lip",
]
"""The name of a keypoint."""

POINTS: tuple[str, ...] = get_args(Point)
"""The keypoints in the order of the competition's columns. Left is the subject's left: the larger x."""

PAIRS = (
    ("left_eye_center", "right_eye_center"),
    ("left_eye_inner_corner", "right_eye_inner_corner"),
    ("left_eye_outer_corner", "right_eye_outer_corner"),
    ("left_eyebrow_inner_end", "right_eyebrow_inner_end"),
    ("left_eyebrow_outer_end", "right_eyebrow_outer_end"),
    ("mouth_left_corner", "mouth_right_corner"),
)
"""The pairs of keypoints that swap when an image is flipped."""


@dataclass(frozen=True)
class Faces:
    """``images`` uint8 (n, 96, 96); ``keypoints`` float32 (n, 15, 2), (x, y) in pixels, NaN if missing; ``person``
    int64 (n,) or None.
    """

    images: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    person: NDArray[np.int64] | None = None

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays that `from_arrays` reads."""
        known: dict[str, NDArray[np.generic]] = {"images": self.images, "keypoints": self.keypoints}
        return known if self.person is None else {**known, "person": self.person}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Faces:
        """From named arrays, as in an .npz file; ``columns``, if given, has the names of the keypoints in another
        order.

        Raises ValueError if an array is missing or invalid.
        """
        for name in ("images", "keypoints"):
            if name not in arrays:
                raise ValueError(f"has no array '{name}'. It must have images (n, 96, 96) and keypoints (n, 15, 2).")
        images, keypoints = np.asarray(arrays["images"]), np.asarray(arrays["keypoints"])
        n = len(images)
        if images.dtype != np.uint8 or images.shape != (n, FRAME, FRAME):
            raise ValueError(f"has images {images.dtype} {images.shape}. They must be uint8 (n, 96, 96).")
        if keypoints.shape != (n, len(POINTS), 2) or keypoints.dtype.kind != "f":
            raise ValueError(f"has keypoints {keypoints.dtype} {keypoints.shape}. They must be float ({n}, 15, 2).")
        if "columns" in arrays:
            columns = [str(name) for name in arrays["columns"]]
            if sorted(columns) != sorted(POINTS):
                odd = next((name for name in columns if name not in POINTS), "a duplicate")
                raise ValueError(f"has columns with {odd}. They must be the fifteen keypoints of the competition.")
            keypoints = keypoints[:, [columns.index(name) for name in POINTS]]
        person = arrays.get("person")
        if person is not None and (np.shape(person) != (n,) or np.asarray(person).dtype.kind not in "iu"):
            raise ValueError(f"has person {np.asarray(person).dtype} {np.shape(person)}. It must be integers ({n},).")
        return cls(
            images, keypoints.astype(np.float32), None if person is None else np.asarray(person).astype(np.int64)
        )


def resample(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Images (n, H, H) resized to (n, size, size): each new pixel is the mean of the area that it covers, rounded."""
    side = images.shape[-1]
    if size == side:
        return images
    edges = np.linspace(0, side, size + 1)
    pixels = np.arange(side)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = (overlap.clip(0) * size / side).astype(np.float32)
    small = np.empty((len(images), size, size), np.uint8)
    for start in range(0, len(images), 512):
        block = images[start : start + 512].astype(np.float32)
        small[start : start + 512] = np.rint(weights @ block @ weights.T).clip(0, 255)
    return small

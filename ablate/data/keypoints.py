"""Targets that a recipe or custom data declare as keypoints."""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from ablate.data.dataset import Keypoints, Spec
from ablate.printable import shortened
from ablate.registry.fields import Range

if TYPE_CHECKING:
    from torch import Tensor

Unit = Literal["pixels", "edge", "fraction", "symmetric"]


class Points(BaseModel):
    """The keypoints among the targets, in the order x, y of the first point, x, y of the second …

    A number or a list of names stands for ``points``. Coordinates are in ``unit``, x to the right and y down; they are
    not changed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    points: Annotated[int, Range(ge=0)] | tuple[str, ...] = Field(
        description="number or names of the points; 0: no target is a coordinate in the image"
    )
    unit: Unit = Field(
        default="pixels",
        description=(
            "pixels: array indices, the center of the first pixel is 0; edge: pixels from the left and upper edge; "
            "fraction: 0 to 1 from edge to edge; symmetric: -1 to 1 from edge to edge"
        ),
    )
    swap: tuple[tuple[int | str, int | str], ...] | None = Field(
        default=None,
        description=(
            "pairs of points, by name or number from 0, that swap when an image is flipped; null: those whose names "
            "differ only in left and right"
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, int | list | tuple) and not isinstance(value, bool):
            return {"points": value}
        return value

    @model_validator(mode="after")
    def _known(self) -> Points:
        names = self.names
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise ValueError(f"must list each keypoint once ('{twice}' is duplicated).")
        seen: list[int] = []
        for point in (point for pair in self.swap or () for point in pair):
            if self._index(point) is None:
                known = ", ".join(names[:20]) or "none"
                raise ValueError(f"swap has '{point}', which is not a keypoint. Keypoints: {known}.")
            seen.append(self._index(point) or 0)
        if len(set(seen)) < len(seen):
            raise ValueError("swap must contain each keypoint at most once.")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the points, or their numbers."""
        return self.points if isinstance(self.points, tuple) else tuple(str(i) for i in range(self.points))

    @property
    def target_names(self) -> tuple[str, ...]:
        """The names of the coordinates, such as nose_x and nose_y."""
        return tuple(f"{name}_{axis}" for name in self.names for axis in "xy")

    def _index(self, point: int | str) -> int | None:
        if isinstance(point, int):
            return point if 0 <= point < len(self.names) else None
        return self.names.index(point) if point in self.names else None

    def facts(self, input_shape: tuple[int, ...], values: int, where: str) -> Keypoints | None:
        """The keypoints of images of this shape with ``values`` numbers per sample; None if there are none.

        Raises ValueError (one line) if the samples are not images, or there are more or fewer coordinates.
        """
        if not self.names:
            return None
        if len(input_shape) != 3:
            raise ValueError(f"{where} requires images (C, H, W), but samples have shape {input_shape}. Remove it.")
        if values != 2 * len(self.names):
            raise ValueError(
                f"{where} has {len(self.names)} points, so each sample must have {2 * len(self.names)} targets (x and "
                f"y of each point), but has {values}. Correct the number of points."
            )
        width, height = input_shape[2], input_shape[1]
        sides, middle = (float(width), float(height)), (width / 2, height / 2)
        centre, scale, first = {
            "pixels": ((0.0, 0.0), (1.0, 1.0), -0.5),
            "edge": ((0.0, 0.0), (1.0, 1.0), 0.0),
            "fraction": ((0.0, 0.0), sides, 0.0),
            "symmetric": (middle, middle, 0.0),
        }[self.unit]
        return Keypoints(self._pairs(), self.names, centre, scale, (width, height), first)

    def _pairs(self) -> tuple[tuple[int, int], ...] | None:
        if self.swap is not None:
            return tuple((self._index(a) or 0, self._index(b) or 0) for a, b in self.swap)
        other = [OTHER_SIDE.sub(lambda found: SIDES[found[0].lower()], name.lower()) for name in self.names]
        lower = [name.lower() for name in self.names]
        if len(self.names) > 1 and (isinstance(self.points, int) or other == lower):
            return None
        return tuple((i, lower.index(name)) for i, name in enumerate(other) if name in lower[i + 1 :])

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        short = [{"type": "integer", "minimum": 0}, {"type": "array", "items": {"type": "string"}}]
        return {"anyOf": [*short, handler(schema)]}


SIDES = {"left": "right", "right": "left"}
OTHER_SIDE = re.compile("left|right", re.IGNORECASE)


def declared(value: Any, where: str) -> Points | None:
    """What custom data return as their keypoints, as in a recipe. Raises ValueError (one line)."""
    if value is None or isinstance(value, Points):
        return value
    try:
        return Points.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        rule = first["msg"].removeprefix("Value error, ").rstrip(".")
        place = ".".join(str(part) for part in first["loc"] if part not in ("int", "tuple[str, ...]"))
        raise ValueError(
            f"{where}: {place or 'value'} (={shortened(repr(first['input']))}) is not valid: {rule}."
        ) from None


def as_coordinates(targets: Tensor, first: int = 1) -> Tensor:
    """Targets of any type, (n, P, 2) or (n, 2·P), as floats (n, 2·P); ``first`` is the number of axes of samples."""
    return (targets if targets.is_floating_point() else targets.float()).flatten(first)


def stay_behind(spec: Spec) -> bool:
    """Whether targets may be positions that do not move along with the pixels of images: they are neither declared
    keypoints, one class per image, nor masks or images of the same size.
    """
    if spec.keypoints is not None or spec.no_positions:
        return False
    if spec.task == "regression":
        return spec.outputs != prod(spec.input_shape)
    size = spec.input_shape[1:]
    return bool(spec.places) and spec.places[-len(size) :] != size

"""The base of everything that a recipe can name: typed, frozen, range-checked settings."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Named(BaseModel):
    """Settings of one thing that a recipe can name; the subclass adds the method(s) of its kind.

    Fields are the keys that a recipe may write below the name. Unknown keys, NaN and infinity are errors.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        defer_build=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        validate_default=True,
    )

    shorthand: ClassVar[str | None] = None
    """The field that a bare value stands for: with ``shorthand = "rate"``, ``{weight_decay: 0.1}`` is ``{weight_decay: {rate: 0.1}}``."""

    def dump(self) -> dict[str, Any]:
        """The settings as plain JSON values, defaults included."""
        return self.model_dump(mode="json")

"""The base class of all entries: typed, frozen, range-checked settings."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Named(BaseModel):
    """Settings of an entry; subclasses add the methods of their kind.

    Fields are the keys allowed below the name in a recipe. Unknown keys, NaN and infinity are errors.
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
    """The field that a bare value sets: for ``rate``, ``{weight_decay: 0.1}`` is ``{weight_decay: {rate: 0.1}}``."""

    def dump(self) -> dict[str, Any]:
        """The settings as plain JSON values, defaults included."""
        return self.model_dump(mode="json")

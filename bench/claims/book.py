"""The claims and what decides them, as written down in recipes/claims/book.yml before anything was run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "recipes" / "claims"
BOOK = FOLDER / "book.yml"

Word = Literal["helps", "hurts", "no difference", "unstable"]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Part(BaseModel):
    """One question of a claim: which verdicts of a row on its parent agree with it.

    ``metric``: another number than the recipe compares, ``better`` its direction where it has none of its own; ``over``: divided by this one. ``by``: the
    table's verdict, or the sign of the 95 % interval, for rows that are validated on other samples and therefore get no verdict.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: str
    says: Annotated[tuple[Word, ...], BeforeValidator(_listed), Field(min_length=1)]
    metric: str | None = None
    over: str | None = None
    better: Literal["lower", "higher"] | None = None
    by: Literal["verdict", "interval"] = "verdict"
    why: str = ""

    @property
    def measure(self) -> str | None:
        """The number that is compared, None for the recipe's own."""
        return f"{self.metric} over {self.over}" if self.over else self.metric


class Claim(BaseModel):
    """A claim of the field notes, its recipe's name, and its parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    section: str
    claim: str
    parts: Annotated[tuple[Part, ...], Field(min_length=1)]

    @property
    def recipe(self) -> Path:
        """The recipe that tests it."""
        return FOLDER / f"{self.name}.yaml"


def read_book(path: Path = BOOK) -> list[Claim]:
    """All claims, in the book's order. Raises ValueError (pydantic's) where a claim is not written as it should be."""
    tree = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return [
        Claim(name=name, section=section, **entry) for section, claims in tree.items() for name, entry in claims.items()
    ]

"""The claims and what decides them, as written down in recipes/claims/book.yml before anything was run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "recipes" / "claims"
BOOK = FOLDER / "book.yml"

Word = Literal["helps", "hurts", "no difference", "unstable", "no effect"]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Part(BaseModel):
    """One question of a claim: which verdicts of a row on its parent agree with it.

    ``metric``: another number than the recipe compares, ``better`` its direction where it has none of its own;
    ``over``: divided by this one, with ``equal`` the distance of the two, abs(ln(metric / over)), lower being better.
    ``smallest_effect``: of that number. ``by``: the table's verdict, or the sign of the 95 % interval, for rows that
    are validated on other samples and therefore get no verdict. A row that equals its parent in every seed has the
    verdict ``no effect``: its change never acted, which leaves the part open unless it asks for just that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: str
    says: Annotated[tuple[Word, ...], BeforeValidator(_listed), Field(min_length=1)]
    metric: str | None = None
    over: str | None = None
    equal: bool = False
    better: Literal["lower", "higher"] | None = None
    smallest_effect: Annotated[float, Field(gt=0)] | None = None
    by: Literal["verdict", "interval"] = "verdict"
    why: str = ""

    @property
    def measure(self) -> str | None:
        """The number that is compared, None for the recipe's own."""
        if self.over is None:
            return self.metric
        return f"distance of {self.metric} and {self.over}" if self.equal else f"{self.metric} over {self.over}"


class Grid(BaseModel):
    """Rates to choose from for some rows (`bench.claims.rates`); ``setting`` takes each in place of its braces."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
    values: Annotated[tuple[float, ...], Field(min_length=2)]
    setting: str = "optimizer.lr={}"


class Claim(BaseModel):
    """A claim of the field notes, its recipe's name, and its parts.

    ``rates``: which rows' rates were chosen, and from what. ``show``: columns of the table (such as ``parameters`` or a
    watched number) that the page shows beside; no answer depends on them. ``beware``: what the test cannot tell, in a
    sentence. ``gpu``: settings of all rows (as ``--set`` takes them) at which a GPU can ask a claim whose scale here
    may be too small to tell.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    section: str
    claim: str
    parts: Annotated[tuple[Part, ...], Field(min_length=1)]
    rates: tuple[Grid, ...] = ()
    show: tuple[str, ...] = ()
    beware: str = ""
    gpu: tuple[str, ...] = ()

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

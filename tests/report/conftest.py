"""Tables made by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ablate.evidence.gather import Row, Table
from ablate.evidence.seeds import Tally
from ablate.evidence.table import Family
from ablate.notes.note import Note
from ablate.recipe.variant import Compare

HOSTILE = [
    "a|b",
    "<script>alert(1)</script>",
    '=cmd|"/C calc"!A0',
    "50%_&#$^~\\{}",
    "two\nlines",
    "größe Δλ 漢字",
    "\x1b[31mred\x07",
    "**bold** `code` [link](http://x) ![i](y) ~~s~~ _em_ &amp;",
    "[opt] --- 'q' \"d\"",
    "* star",
    "-1+1",
    "a, \"b\"; 'c'",
    "",
]


@pytest.fixture
def keypoints() -> Callable[..., Table]:
    """A study of three finished rows, and ``extra`` ones below."""

    def make(*extra: Row, seeds: int = 5, compare: Compare = Compare(), metrics: tuple[str, ...] = ()) -> Table:  # noqa: B008
        tally = Tally(seeds, seeds)
        sd = 0.0000312 if seeds > 1 else None
        rows = (
            Row("net1", None, "single hidden", (), "finished", seeds, 400, 380, 0.0022, sd, 0.0021, 0.003255, sd, tally=tally),
            Row(
                "net2", "net1", "convolutions", ("+ convolutions",), "finished", seeds, 1000, 900, 0.00101, sd, 0.0009, 0.001523, sd,
                -0.001732, -0.00181 if sd else None, -0.00165 if sd else None, 0.0003 if sd else None, "helps" if sd else None,
                -0.001732, 100.44, 100.44, 1234567, tally=tally,
            ),
            Row(
                "net3", "net2", "augmentation", ("+ flip",), "finished", seeds, 2999.6, 2000, 0.00123, sd, 0.0011, 0.0016, sd,
                0.000077, -0.0001 if sd else None, 0.0003 if sd else None, 0.4 if sd else None, "unclear" if sd else None,
                -0.001655, 9.876, None, 1234567, tally=tally,
            ),
        )  # fmt: skip
        return Table(
            "facial-keypoints", compare, rows + extra, metrics, "Fifteen points on a face.", family=Family(2, 0, True)
        )

    return make


@pytest.fixture
def hostile() -> Table:
    """A row for each name that wants to be something else, as name, parent, description, change and note."""
    rows = tuple(
        Row(
            name,
            name,
            name,
            (name,),
            "failed",
            1,
            5,
            valid_loss=0.5,
            notes=(Note("text", values={"text": name}),),
            tally=Tally(2, 1, 1, name),
        )
        for name in HOSTILE
    )
    return Table("<b>50%_</b> & \\co|\n", Compare(), rows, (), "")

"""Tables made by hand, and studies in a store made by rule."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.evidence.gather import Row, Table, gather
from ablate.evidence.seeds import Tally
from ablate.evidence.table import Family
from ablate.notes.note import Note
from ablate.recipe.recipe import Recipe
from ablate.recipe.settings import Choice, Settings
from ablate.recipe.variant import Change, Compare, Variant
from ablate.store.records import RunRecord, StudyRecord, VariantRecord
from ablate.store.store import Store

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


class Lab:
    """A study in a store, made by rule: each row is 10 % better than its parent, and seeds scatter by 1 %."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.rows: list[VariantRecord] = []
        self.compare = Compare()
        self.name = "faces"

    def row(self, name: str, seeds: int = 3, epochs: int = 6, parent: str | None = None, **options: Any) -> None:
        statuses = options.get("statuses", {})
        runs = []
        for seed in range(seeds):
            status = statuses.get(seed, "finished")
            print_ = hashlib.blake2b(f"{name}{seed}".encode(), digest_size=16).hexdigest()
            level = 0.9 ** len(self.rows) * (1 + 0.01 * ((seed * 7 + len(self.rows) * 3) % 5))
            lasts = options.get("lasts", {}).get(seed, epochs)
            lines = [self.line(epoch, level, epochs) for epoch in range(1, lasts + 1)]
            text = "".join(json.dumps(line) + "\n" for line in lines)
            self.store.write_text(self.store.run_folder(print_) / "metrics.jsonl", text)
            values = {key: value for key, value in lines[-1].items() if key not in ("epoch", "time", "seconds")}
            results = {at: values for at in ("selected", "last", "best")} if status == "finished" else {}
            runs.append(
                RunRecord(print_, seed, options.get("fold"), status, epoch=lasts, epochs=epochs, results=results)
            )
        kinds = {kind: Choice(kind, None, f"m:{kind}", {}) for kind in Settings.CHOICES}
        changes = (Change(name, "add", "flip"),) if parent else ()
        about = options.get("description", f"what {name} is")
        variant = Variant(name, parent, about, changes, Settings(**kinds, epochs=epochs), options.get("published", {}))
        self.rows.append(VariantRecord(variant, tuple(runs)))

    @staticmethod
    def line(epoch: int, level: float, epochs: int) -> dict[str, Any]:
        loss = level * (1 + 9 * np.exp(-5 * epoch / epochs))
        return {
            "epoch": epoch,
            "time": 1.0,
            "seconds": 1.0,
            "train_loss": loss / 2,
            "valid_loss": loss,
            "accuracy": 1 - loss / 11,
        }

    @property
    def study(self) -> StudyRecord:
        variants = tuple(row.variant for row in self.rows)
        seeds = tuple(range(max(len(row.runs) for row in self.rows)))
        recipe = Recipe(self.name, "", variants, seeds, self.compare, None, Path("."), "")
        return StudyRecord(recipe, tuple(self.rows))

    @property
    def table(self):
        return gather(self.study)

    def ladder(self, count: int, seeds: int, **options: Any) -> Lab:
        for i in range(count):
            self.row(f"net{i + 1}", seeds, parent=f"net{i}" if i else None, **options)
        return self


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)

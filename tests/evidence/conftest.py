"""Studies made by hand: what the store would have told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ablate.recipe.recipe import Recipe
from ablate.recipe.settings import Choice, Settings
from ablate.recipe.variant import Change, Compare, Variant
from ablate.store.records import RunRecord, StudyRecord, VariantRecord

Losses = Sequence[float | None]


def settings(epochs: int = 50, metrics: Sequence[str] = ()) -> Settings:
    """Settings that need no entry of the registry."""
    kinds = {kind: Choice(kind, None, "m:x", {}) for kind in ("data", "model", "init", "loss", "optimizer")}
    return Settings(**kinds, epochs=epochs, metrics=tuple(Choice("metric", None, f"m:{name}", {}) for name in metrics))


def run(seed: int, valid_loss: float | None = 0.5, status: str = "finished", **facts: Any) -> RunRecord:
    """One run; ``results`` of a finished one default to a train loss of half the valid loss at every epoch that can be
    asked for.
    """
    if status == "finished" and valid_loss is not None:
        values = {"train_loss": valid_loss / 2, "train_loss_clean": valid_loss / 4, "valid_loss": valid_loss}
        facts.setdefault("results", {at: values for at in ("selected", "last", "best")})
        facts = {"epoch": 50, "best_epoch": 40, "seconds": 2.0, "device_seconds": 3.0, "parameters": 7} | facts
    return RunRecord(fingerprint=f"{seed:032x}", seed=seed, status=status, **{"epochs": 50} | facts)  # type: ignore[arg-type]


@pytest.fixture
def make_run() -> Callable[..., RunRecord]:
    return run


@pytest.fixture
def make_study() -> Callable[..., StudyRecord]:
    """``make_study({"net1": (None, runs), "net2": ("net1", runs)}, compare=…, metrics=…)``; runs may be given as plain
    valid losses.
    """

    def make(
        rows: Mapping[str, tuple[str | None, Sequence[RunRecord] | Losses]],
        compare: Compare = Compare(),  # noqa: B008
        metrics: Sequence[str] = (),
        published: Mapping[str, Mapping[str, float]] | None = None,
    ) -> StudyRecord:
        records = []
        for name, (parent, runs) in rows.items():
            changes = (Change(name, "add", "flip"), Change(name, "set", "epochs", 50)) if parent else ()
            variant = Variant(
                name, parent, f"{name}, described", changes, settings(50, metrics), (published or {}).get(name, {})
            )
            given = [r if isinstance(r, RunRecord) else run(seed, r) for seed, r in enumerate(runs)]
            records.append(VariantRecord(variant, tuple(given)))
        variants = tuple(record.variant for record in records)
        recipe = Recipe("faces", "points on a face", variants, (0,), compare, None, Path("."), "")
        return StudyRecord(recipe, tuple(records))

    return make

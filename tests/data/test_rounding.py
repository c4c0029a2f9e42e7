"""Numbers whose differences are lost in float32, from every source of data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.data.dataset import Part, Parts, Spec
from ablate.data.load import load_parts
from ablate.data.new_inputs import read_inputs
from ablate.data.rounding import check_inputs, check_targets, lost, narrowed
from ablate.data.split import split
from ablate.data.table import Table
from ablate.recipe import Recipe
from ablate.recipe.fingerprint import facts
from ablate.recipe.settings import Choice

TIMES = 1.7e9 + np.arange(60.0)
"""A minute, in seconds since 1970: one number in float32."""

RNG = np.random.default_rng(3)
COLUMNS = {
    "a minute": (TIMES, True),
    "a minute in nanoseconds": (TIMES.astype(np.int64) * 10**9 + 7, True),
    "a minute with missing values as 0": (np.where(np.arange(60) % 9, TIMES, 0), True),
    "numbers of accounts": (2**40 + np.arange(60), True),
    "tiny differences": (1 + 1e-10 * RNG.normal(size=60), True),
    "three years": (1.6e9 + RNG.uniform(0, 1e8, 60), False),
    "a constant": (np.full(60, 1.7e9), False),
    "a constant with rounding errors": (0.3 + RNG.integers(-2, 3, 60) * 2.0**-54, False),
    "a few equal numbers": (RNG.integers(0, 4, 60) / 3, False),
    "many numbers": (RNG.uniform(size=1_000_000), False),
    "large numbers": (RNG.uniform(0, 1e30, 60), False),
    "small numbers": (RNG.uniform(0, 1e-30, 60), False),
    "small integers": (np.arange(60), False),
    "bytes": (np.arange(60, dtype=np.uint8), False),
    "missing numbers": (np.where(np.arange(60) % 2, np.nan, np.arange(60.0)), False),
    "nothing": (np.zeros(0), False),
}


@pytest.mark.parametrize(("values", "wide"), COLUMNS.values(), ids=COLUMNS)
def test_numbers_are_float32_unless_their_differences_are_lost(values: Any, wide: bool):
    found = narrowed(values[:, None])
    assert found.dtype == (np.float64 if wide else np.float32)
    np.testing.assert_array_equal(found[:, 0], values.astype(found.dtype))


def test_the_column_is_known():
    table = np.stack([np.arange(60.0), TIMES, np.arange(60.0)], axis=1)
    assert lost(table).tolist() == lost(table.reshape(60, 3, 1)).tolist() == [1]


def parts(inputs: torch.Tensor, targets: torch.Tensor) -> Parts:
    train, valid, _ = split(len(inputs), valid=0.2, test=0, seed=1)
    whole = Part(inputs, targets)
    return Parts(whole.take(train), whole.take(valid), Spec((2,), 1, "regression", input_names=("x", "time")))


def test_lost_differences_are_refused_where_they_would_be_used():
    times = torch.from_numpy(TIMES)
    data = parts(torch.stack([times - 1.7e9, times], 1), times[:, None])
    with pytest.raises(ValueError, match=r"^data\.inputs \(=time\) has different values from 1700000000 to 17000000"):
        check_inputs(data, torch.float32)
    with pytest.raises(ValueError, match=r"^data\.target \(=column 1\) has different values"):
        check_targets(data, torch.float32)
    check_inputs(data, torch.float64)
    check_inputs(parts(times[:, None] - 1.7e9, times[:, None]), torch.float32)
    check_inputs(replace(data, train=Part(dataset=[]), valid=Part(dataset=[])), torch.float32)


def save_csv(folder: Path, inputs: np.ndarray, targets: np.ndarray) -> str:
    rows = zip(*inputs.T.tolist(), targets.tolist(), strict=True)
    (folder / "data.csv").write_text("x,time,y\n" + "".join(f"{x!r},{time!r},{y!r}\n" for x, time, y in rows))
    return "{name: csv, path: data.csv, target: y}"


def save_npz(folder: Path, inputs: np.ndarray, targets: np.ndarray) -> str:
    np.savez(folder / "data.npz", x=inputs, y=targets)
    return "{name: npz, path: data.npz}"


def save_module(folder: Path, inputs: np.ndarray, targets: np.ndarray) -> str:
    np.savez(folder / "own.npz", x=inputs, y=targets)
    module = f"own_{folder.name}"
    (folder / f"{module}.py").write_text(
        "from pathlib import Path\nimport numpy as np\ndef load():\n"
        "    a = np.load(Path(__file__).parent / 'own.npz')\n"
        "    return (a['x'][:48], a['y'][:48]), (a['x'][48:], a['y'][48:])\n"
    )
    return f"{{target: '{module}:load'}}"


def save_dataset(folder: Path, inputs: np.ndarray, targets: np.ndarray) -> str:
    save_module(folder, inputs, targets)
    module = f"lists_{folder.name}"
    (folder / f"{module}.py").write_text(
        f"from own_{folder.name} import load as arrays\n"
        "class Lists(list): pass\n"
        "def load():\n"
        "    return tuple(Lists((x.tolist(), float(y)) for x, y in zip(*split)) for split in arrays())\n"
    )
    return f"{{target: '{module}:load'}}"


Save = Callable[[Path, np.ndarray, np.ndarray], str]


@pytest.mark.parametrize("save", [save_csv, save_npz, save_module, save_dataset])
class TestOfEverySource:
    def recipe(self, folder: Path, data: str, tricks: str = "", precision: str = "float32") -> Recipe:
        (folder / "r.yaml").write_text(
            f"data: {data}\nmetrics: []\nseeds: 1\nbaseline:\n  name: a\n  model: {{name: mlp, hidden: [4]}}\n  loss: mse\n"
            f"  optimizer: {{name: sgd, lr: 0.01}}\n  epochs: 1\n  precision: {precision}\n  add: [{tricks}]\n"
        )
        return Recipe.load(folder / "r.yaml")

    def assembled(self, recipe: Recipe) -> Any:
        from ablate.engine.assembly import assemble
        from ablate.engine.contract import Assignment

        settings = recipe.variants[0].settings
        data = load_parts(settings.data, recipe.folder)
        return assemble(Assignment(settings=settings, seeds=(0,), folder=recipe.folder, device="cpu"), data), data

    def test_times_are_standardized_before_they_are_rounded(self, tmp_path: Path, save: Save):
        inputs = np.stack([RNG.normal(size=60), TIMES], axis=1)
        recipe = self.recipe(tmp_path, save(tmp_path, inputs, np.arange(60) / 7), "standardise")
        made, data = self.assembled(recipe)
        rows = data.train.rows.numpy()
        expected = ((inputs - inputs[rows].mean(0)) / inputs[rows].std(0))[rows]
        np.testing.assert_allclose(made.train.inputs.numpy(), expected, rtol=1e-5, atol=1e-6)
        assert made.train.inputs.dtype == torch.float32

    def test_times_are_refused_if_they_would_be_one_number(self, tmp_path: Path, save: Save):
        inputs = np.stack([RNG.normal(size=60), TIMES], axis=1)
        recipe = self.recipe(tmp_path, save(tmp_path, inputs, np.arange(60) / 7))
        with pytest.raises(ValueError, match=r"^data\.inputs \(=(time|column 2)\) has different values"):
            self.assembled(recipe)

    def test_targets_are_refused_even_if_they_are_normalized(self, tmp_path: Path, save: Save):
        """Metrics are in the original unit, where float32 predictions would be one number."""
        recipe = self.recipe(tmp_path, save(tmp_path, RNG.normal(size=(60, 2)), TIMES + 0.5), "normalise_targets")
        with pytest.raises(ValueError, match=r"^data\.target \(=(y|column 1)\) has different values"):
            self.assembled(recipe)

    def test_runs_are_outdated_if_differences_were_lost(self, tmp_path: Path, save: Save):
        inputs = np.stack([RNG.normal(size=60), TIMES], axis=1)
        known = facts_of(self.recipe(tmp_path, save(tmp_path, inputs, np.arange(60) / 7)))
        assert ("reading" in known) == (save in (save_csv, save_npz))
        assert "reading" not in facts_of(self.recipe(tmp_path, save(tmp_path, inputs - [0, 1.7e9], np.arange(60) / 7)))


def test_reconstructed_inputs_are_not_rounded(tmp_path: Path):
    save_csv(tmp_path, np.stack([RNG.normal(size=60), TIMES], axis=1), np.arange(60) / 7)
    data = load_parts(
        Choice("data", "csv", None, Table(path=tmp_path / "data.csv", target="y", reconstruct=True)), None
    )
    assert torch.equal(data.train.targets, data.train.inputs)
    with pytest.raises(ValueError, match=r"^data\.target \(=column 2\) has different values"):
        check_targets(data, torch.float32)


def test_new_inputs_are_not_rounded_before_they_are_standardized(tmp_path: Path):
    save_csv(tmp_path, inputs := np.stack([RNG.normal(size=60), TIMES], axis=1), np.arange(60) / 7)
    data = Choice("data", "csv", None, Table(path=tmp_path / "data.csv", target="y"))
    np.testing.assert_array_equal(read_inputs(data, tmp_path / "data.csv")[0].inputs, inputs)
    np.savez(tmp_path / "new.npz", x=inputs[:1])
    np.testing.assert_array_equal(read_inputs(data, tmp_path / "new.npz")[0].inputs, inputs[:1])


def facts_of(recipe: Recipe) -> dict[str, Any]:
    return facts(recipe.variants[0].settings, folder=recipe.folder)

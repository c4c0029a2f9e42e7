"""Integer targets that are more likely numbers than classes, and types of numbers, from every source of data."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.data import samples
from ablate.data.dataset import Parts
from ablate.data.load import load_parts
from ablate.data.npz import Npz
from ablate.data.table import Table
from ablate.recipe.settings import Choice

N = 60
INPUTS = np.arange(N * 2, dtype=np.float32).reshape(N, 2) / 100


def from_csv(folder: Path, inputs: Any, targets: Any) -> Parts:
    rows = zip(*np.asarray(inputs).T.tolist(), np.asarray(targets).tolist(), strict=True)
    (folder / "data.csv").write_text("a,b,y\n" + "".join(f"{a},{b},{y}\n" for a, b, y in rows))
    return Table(path=folder / "data.csv", target="y", task="classification").load()


def from_npz(folder: Path, inputs: Any, targets: Any) -> Parts:
    np.savez(folder / "data.npz", x=inputs, y=targets)
    return Npz(path=folder / "data.npz").load()


def from_module(folder: Path, inputs: Any, targets: Any, lines: str = "return train, valid") -> Parts:
    np.savez(folder / "own.npz", x=inputs, y=targets)
    name = f"own_{folder.parent.name}_{folder.name}"
    (folder / f"{name}.py").write_text(
        "from pathlib import Path\nimport numpy as np\nimport torch\nclass Pairs(list): pass\ndef load():\n"
        "    a = np.load(Path(__file__).parent / 'own.npz', allow_pickle=True)\n"
        "    train, valid = (a['x'][:48], a['y'][:48]), (a['x'][48:], a['y'][48:])\n"
        f"    {lines}\n"
    )
    return load_parts(Choice("data", None, f"{name}:load", {}), folder)


def from_tensors(folder: Path, inputs: Any, targets: Any) -> Parts:
    lines = "return tuple(tuple(map(torch.from_numpy, split)) for split in (train, valid))"
    return from_module(folder, inputs, targets, lines)


def from_dataset(folder: Path, inputs: Any, targets: Any) -> Parts:
    return from_module(folder, inputs, targets, "return Pairs(zip(*train)), Pairs(zip(*valid))")


def from_python(folder: Path, inputs: Any, targets: Any) -> Parts:
    lines = "return tuple(Pairs(zip(x.tolist(), y.tolist())) for x, y in (train, valid))"
    return from_module(folder, inputs, targets, lines)


def from_stream(folder: Path, inputs: Any, targets: Any) -> Parts:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "free_bytes", lambda device: 0)
        parts = from_dataset(folder, inputs, targets)
    assert parts.train.inputs is None
    return parts


Source = Callable[[Path, Any, Any], Parts]
NUMBERED = [from_npz, from_module, from_tensors, from_dataset, from_python, from_stream]
RNG = np.random.default_rng(4)
PRICES = np.sort(RNG.integers(3, 2_000_000_000, N))
PRICES[[0, -1]] = 3, 2_000_000_000


@pytest.mark.parametrize("source", [from_csv, *NUMBERED])
@pytest.mark.parametrize(
    "targets",
    [PRICES, np.arange(N), RNG.permutation(N)],
    ids=["prices", "rows", "mixed"],
)
def test_numbers_are_not_classes(tmp_path: Path, source: Source, targets: Any):
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"^data\.target[^\n]* classes[^\n]* regression, use [^\n]*$") as error:
        source(tmp_path, INPUTS, targets)
    assert tracemalloc.get_traced_memory()[1] < 2**27
    tracemalloc.stop()
    if targets is PRICES and source is not from_csv:
        assert "integers from 3 to 2000000000" in str(error.value)
    assert f"for {N} samples" in str(error.value)


@pytest.mark.parametrize("source", NUMBERED)
@pytest.mark.parametrize("largest", [1_000, 2**40, 2**63 - 1, 2**63, 2**64 - 1])
def test_one_large_label_is_told(tmp_path: Path, source: Source, largest: int):
    targets = np.arange(N, dtype=np.uint64) % 3
    targets[50] = largest
    with pytest.raises(ValueError, match=r"^data\.target[^\n]*float") as error:
        source(tmp_path, INPUTS, targets)
    assert str(largest) in str(error.value)


@pytest.mark.parametrize("source", [from_npz, from_module, from_dataset, from_stream])
def test_one_large_value_of_a_mask_is_told(tmp_path: Path, source: Source):
    masks = np.arange(N * 4).reshape(N, 2, 2) % 5
    assert source(tmp_path, INPUTS, masks).spec.outputs == 5
    (other := tmp_path / "other").mkdir()
    masks[7, 1, 1] = 2**31
    with pytest.raises(ValueError, match=r"integers from 0 to 2147483648, which would be 2147483649 classes"):
        source(other, INPUTS, masks)


@pytest.mark.parametrize("source", NUMBERED)
@pytest.mark.parametrize(
    "targets",
    [np.arange(N) % 2, np.arange(N) % 30, np.arange(N) % 3 * 350, 17 + np.arange(N) % 3],
    ids=["two", "thirty", "three of many", "from 17"],
)
def test_classes_are_classes(tmp_path: Path, source: Source, targets: Any):
    spec = source(tmp_path, INPUTS, targets).spec
    assert (spec.task, spec.outputs) == ("classification", targets.max() + 1)
    assert spec.classes == tuple(map(str, range(targets.max() + 1)))


def test_few_samples_may_be_classes_of_their_own(tmp_path: Path):
    assert from_npz(tmp_path, INPUTS[:20], np.arange(20)).spec.outputs == 20


def test_a_function_may_say_how_many_there_are(tmp_path: Path):
    targets = PRICES % 50_000
    lines = "return {'train': train, 'valid': valid, 'outputs': 50_000}"
    assert from_module(tmp_path, INPUTS, targets, lines).spec.outputs == 50_000


def test_names_of_samples_are_not_classes(tmp_path: Path):
    names = [f"sample-{i}" for i in range(N)]
    with pytest.raises(ValueError, match=r"^data\.target \(=y\) has 60 classes for 60 samples"):
        from_csv(tmp_path, INPUTS, names)
    assert from_csv(tmp_path, INPUTS, [f"person-{i // 2}" for i in range(N)]).spec.outputs == 30


INTEGERS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float16", "float32", "float64", "longdouble"]
OTHER = ["complex64", "object", "U3", "datetime64[s]"]


def every(source: Source, folder: Path, arrays: Any, half: int) -> np.ndarray:
    """The inputs or targets of all samples that a source reads, in order."""
    parts = source(folder, *arrays)
    order = torch.cat([parts.train.rows, parts.valid.rows + (0 if source is from_npz else 48)])
    return torch.cat([part.tensors[half] for part in (parts.train, parts.valid)])[order.argsort()].double().numpy()


@pytest.mark.parametrize("source", [from_npz, from_module, from_dataset])
@pytest.mark.parametrize("kind", INTEGERS + FLOATS)
def test_every_type_of_number_is_read(tmp_path: Path, source: Source, kind: str):
    targets = (np.arange(N) % 2).astype(kind)
    inputs = (np.arange(N * 2).reshape(N, 2) % 100).astype(kind)
    assert source(tmp_path, inputs, targets).spec.task == ("regression" if kind in FLOATS else "classification")
    np.testing.assert_array_equal(every(source, tmp_path, (inputs, targets), 0), inputs.astype(np.float64))
    np.testing.assert_array_equal(every(source, tmp_path, (inputs, targets), 1).ravel(), targets.astype(np.float64))


@pytest.mark.parametrize("source", [from_npz, from_module])
@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("kind", OTHER)
def test_other_types_are_told(tmp_path: Path, source: Source, half: int, kind: str):
    arrays = [INPUTS, np.arange(N) % 2]
    arrays[half] = np.array(arrays[half].astype(np.int64), kind)
    with pytest.raises(ValueError, match=r"^data[^\n]*$"):
        source(tmp_path, *arrays)

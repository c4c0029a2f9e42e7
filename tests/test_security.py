"""Files from a stranger run no code and fill no memory. (SECURITY.md lists the promises and their tests.)"""

from __future__ import annotations

import os
import pickle
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from ablate.data.npz import read_arrays
from ablate.data.pictures import Look
from ablate.recipe.problems import RecipeError
from ablate.recipe.yaml_text import read_yaml
from ablate.store import checkpoints
from ablate.store.store import Store
from ablate.tricks.from_weights import read_weights

ROOT = Path(__file__).parents[1]


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, fired: Path) -> None:
        self.fired = fired

    def __reduce__(self):
        return os.mkdir, (str(self.fired),)


@pytest.fixture
def fired(tmp_path: Path) -> Path:
    """What is there if code of a file ran."""
    path = tmp_path / "fired"
    pickle.loads(pickle.dumps(Bomb(path)))
    path.rmdir()  # it is a bomb indeed
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_run_no_code(tmp_path, fired, zipped):
    path = tmp_path / "net.pt"
    torch.save({"weight": Bomb(fired)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"^weights \(=.*net.pt\) cannot be read: ") as error:
        read_weights(path)
    assert len(str(error.value).splitlines()) == 1
    assert not fired.exists()


def test_checkpoints_run_no_code(tmp_path, fired):
    store = Store(tmp_path / "runs")
    payload = pickle.dumps(Bomb(fired), protocol=2)
    folder = store.run_folder("0" * 32)
    folder.mkdir(parents=True)
    (folder / checkpoints.NAMES[0]).write_bytes(checkpoints._digest(payload) + payload)
    found, damaged = checkpoints.load(store, "0" * 32)
    assert found is None
    assert len(damaged) == 1
    assert not fired.exists()


def test_arrays_run_no_code(tmp_path, fired):
    np.savez(tmp_path / "data.npz", x=np.array([Bomb(fired)] * 4, dtype=object), y=np.arange(4) % 2)
    with pytest.raises(ValueError, match=r"data.npz"):
        read_arrays(tmp_path / "data.npz", "data.path")
    assert not fired.exists()


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir", "!!python/name:os.mkdir", "!mine"])
def test_recipes_have_no_tags(fired, tag):
    with pytest.raises(RecipeError, match="tag"):
        read_yaml(f"study: {tag} [{fired}]\n", "r.yaml")
    assert not fired.exists()


def test_an_image_that_would_fill_the_memory_is_refused(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    with pytest.raises(ValueError, match=r"huge.png"):
        Look(8, False, "crop").picture(tmp_path / "huge.png")


def test_every_promise_names_tests_that_exist():
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 5
    for file, test in named:
        assert f"def {test}" in (ROOT / file).read_text(encoding="utf-8"), (file, test)

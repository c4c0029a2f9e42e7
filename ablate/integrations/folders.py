"""Checkpoints that other libraries write into folders, as states for `Run.checkpoint`, which are saved as a whole."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch


def packed(folder: Path) -> dict[str, torch.Tensor]:
    """The files in a folder: relative path → bytes as a tensor."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): torch.from_numpy(np.fromfile(path, np.uint8)) for path in files}


def unpack(files: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Write the files of `packed` into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data.cpu().numpy().tofile(path)

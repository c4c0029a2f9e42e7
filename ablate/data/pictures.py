"""Picture files of a folder, one folder below it for each class: found, opened, made of one size."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from ablate.data.data import shown
from ablate.registry.lazy import LazyModule, torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
else:
    np = LazyModule("numpy")

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""What counts as a picture; other files in a class's folder are left out."""

Fit = Literal["crop", "stretch", "pad"]


@dataclass(frozen=True)
class Look:
    """How a picture is made one that the network can see: uint8 (C, side, side), C = 1 where ``grey``, else 3."""

    side: int
    grey: bool
    fit: Fit

    @property
    def bytes(self) -> int:
        """Of one picture."""
        return self.side**2 * (1 if self.grey else 3)

    def picture(self, path: Path) -> NDArray[np.uint8]:
        """Raises ValueError with one line for a file that is no picture."""
        from PIL import Image, ImageOps

        try:
            with Image.open(path) as image:
                upright = with_bytes(ImageOps.exif_transpose(image)).convert("L" if self.grey else "RGB")
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise ValueError(unreadable(path, error)) from None
        size = (self.side, self.side)
        if self.fit == "stretch":
            upright = upright.resize(size, Image.Resampling.BILINEAR)
        else:
            fit = ImageOps.fit if self.fit == "crop" else ImageOps.pad
            upright = fit(upright, size, Image.Resampling.BILINEAR)
        pixels = np.asarray(upright, np.uint8).reshape(self.side, self.side, -1)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def with_bytes(image: Image.Image) -> Image.Image:
    """A picture of 16 bits as one of 8: PIL would cut it at 255."""
    if not image.mode.startswith("I"):
        return image
    from PIL import Image

    return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))


def unreadable(path: Path, error: Exception) -> str:
    """One line for a file that PIL does not read."""
    said = "it is no picture that Pillow knows" if type(error).__name__ == "UnidentifiedImageError" else str(error)
    return f"data.path (={shown(path)}) cannot be read as a picture: {said.rstrip('.')}. Mend it, or take it away."


@dataclass(frozen=True)
class Pictures:
    """The files, sorted by class and name; ``labels`` (n,) their classes, ``folders`` (n,) numbers of the folders below the class that they are in."""

    root: Path
    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    folders: NDArray[np.int64]
    left_out: int

    @classmethod
    def below(cls, root: Path) -> Self:
        """Every class's folder with all folders in it; hidden files and folders are passed over.

        Raises ValueError with one line where there are no two classes, or a class has no picture.
        """
        if not root.exists():
            raise ValueError(
                f"data.path (={shown(root)}) does not exist. Name a folder that has a folder of pictures for each class."
            )
        classes = class_folders(root)
        if len(classes) < 2:
            raise ValueError(
                f"data.path (={shown(root)}) must be a folder that has a folder of pictures for each of two classes or more; it has {len(classes)}."
            )
        names, labels, left_out = [], [], 0
        for number, name in enumerate(classes):
            files = _files(root / name)
            found = [file.relative_to(root).as_posix() for file in files if file.suffix.lower() in SUFFIXES]
            if not found:
                raise ValueError(
                    f"data.path (={shown(root / name)}) has no pictures ({', '.join(sorted(SUFFIXES))}). Fill the class, or take its folder away."
                )
            left_out += len(files) - len(found)
            names += found
            labels += [number] * len(found)
        # the same name in two classes is one folder: a person may be in both
        inner = ["/".join(name.split("/")[1:-1]) for name in names]
        folders = np.unique(inner, return_inverse=True)[1].reshape(-1)
        return cls(root, classes, tuple(names), np.array(labels, np.int64), folders.astype(np.int64), left_out)

    def take(self, index: NDArray[np.int64]) -> Self:
        """Those at ``index``, in its order."""
        names = tuple(self.names[i] for i in index)
        return replace(self, names=names, labels=self.labels[index], folders=self.folders[index])

    def check(self) -> None:
        """Open every file as far as its head. Raises ValueError that names the first that is no picture, and how many more there are."""
        from PIL import Image

        bad: list[str] = []
        for name in self.names:
            try:
                Image.open(self.root / name).close()
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                bad.append(unreadable(self.root / name, error))
        if bad:
            more = f" {len(bad) - 1} more cannot be read either." if len(bad) > 1 else ""
            raise ValueError(bad[0] + more)

    def facts(self) -> str:
        """Names, sizes and times of change: what decides whether pictures that were read before are still these."""
        status = [(name, (self.root / name).stat()) for name in self.names]
        return "\n".join(f"{name} {one.st_size} {one.st_mtime_ns}" for name, one in status)

    def read(self, look: Look) -> NDArray[np.uint8]:
        """All pictures, (n, C, side, side). Raises ValueError for a file that is no picture."""
        pixels = np.empty((len(self.names), 1 if look.grey else 3, look.side, look.side), np.uint8)
        for i, name in enumerate(self.names):
            pixels[i] = look.picture(self.root / name)
        return pixels


class PictureFiles:
    """Some of the pictures as a map-style dataset that reads a file when it is asked for it: (uint8 (C, side, side), int64 class)."""

    def __init__(self, pictures: Pictures, look: Look, places: torch.Tensor) -> None:
        self.pictures, self.look, self.places = pictures, look, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        place = int(self.places[index])
        pixels = self.look.picture(self.pictures.root / self.pictures.names[place])
        return torch.from_numpy(pixels), torch.tensor(self.pictures.labels[place])


def class_folders(root: Path) -> tuple[str, ...]:
    """Names of the folders right below, sorted, without hidden ones."""
    if not root.is_dir():
        return ()
    return tuple(sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")))


def _files(folder: Path) -> list[Path]:
    """All files below a folder, sorted, without hidden ones."""
    found = []
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(here, name) for name in names if not name.startswith(".")]
    return sorted(found)

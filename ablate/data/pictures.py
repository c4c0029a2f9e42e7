"""Image files in one folder per class: find, open and resize them."""

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
"""File extensions of images; other files in a class folder are ignored."""

Fit = Literal["crop", "stretch", "pad"]


@dataclass(frozen=True)
class Look:
    """How an image becomes an input of the network: uint8 (C, side, side), with C = 1 if ``grey``, else 3."""

    side: int
    grey: bool
    fit: Fit

    @property
    def bytes(self) -> int:
        """The pixels of one image."""
        return self.side**2 * (1 if self.grey else 3)

    def picture(self, path: Path) -> NDArray[np.uint8]:
        """Raises ValueError (one line) if the file is not an image."""
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
    """A 16-bit image as 8-bit: PIL would clip it at 255."""
    if not image.mode.startswith("I"):
        return image
    from PIL import Image

    return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))


def unreadable(path: Path, error: Exception) -> str:
    """One line about a file that PIL cannot read."""
    said = "Pillow does not recognize it" if type(error).__name__ == "UnidentifiedImageError" else str(error)
    return f"data.path (={shown(path)}) is not a valid image file: {said.rstrip('.')}. Repair or remove it."


@dataclass(frozen=True)
class Pictures:
    """The files, sorted by class and name; ``labels`` (n,) are their classes, ``folders`` (n,) the indices of their
    subfolders.
    """

    root: Path
    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    folders: NDArray[np.int64]
    left_out: int

    @classmethod
    def below(cls, root: Path) -> Self:
        """The files of all class folders and their subfolders; hidden files and folders are ignored.

        Raises ValueError (one line) if there are fewer than two classes, or a class has no images.
        """
        if not root.exists():
            raise ValueError(
                f"data.path (={shown(root)}) does not exist. Use a folder with one subfolder of images per class."
            )
        classes = class_folders(root)
        if len(classes) < 2:
            raise ValueError(
                f"data.path (={shown(root)}) must contain at least two class folders, but has {len(classes)}."
            )
        names, labels, left_out = [], [], 0
        for number, name in enumerate(classes):
            files = _files(root / name)
            found = [file.relative_to(root).as_posix() for file in files if file.suffix.lower() in SUFFIXES]
            if not found:
                raise ValueError(
                    f"data.path (={shown(root / name)}) contains no images ({', '.join(sorted(SUFFIXES))}). Add "
                    "images, or remove the folder."
                )
            left_out += len(files) - len(found)
            names += found
            labels += [number] * len(found)
        # equal names in two classes are one folder: a person may be in both
        inner = ["/".join(name.split("/")[1:-1]) for name in names]
        folders = np.unique(inner, return_inverse=True)[1].reshape(-1)
        return cls(root, classes, tuple(names), np.array(labels, np.int64), folders.astype(np.int64), left_out)

    def take(self, index: NDArray[np.int64]) -> Self:
        """The files at ``index``, in its order."""
        names = tuple(self.names[i] for i in index)
        return replace(self, names=names, labels=self.labels[index], folders=self.folders[index])

    def check(self) -> None:
        """Read the header of every file.

        Raises ValueError with the first file that is not an image, and the number of others.
        """
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
        """Names, sizes and modification times, which decide whether cached images are still valid."""
        status = [(name, (self.root / name).stat()) for name in self.names]
        return "\n".join(f"{name} {one.st_size} {one.st_mtime_ns}" for name, one in status)

    def read(self, look: Look) -> NDArray[np.uint8]:
        """All images, (n, C, side, side). Raises ValueError if a file is not an image."""
        pixels = np.empty((len(self.names), 1 if look.grey else 3, look.side, look.side), np.uint8)
        for i, name in enumerate(self.names):
            pixels[i] = look.picture(self.root / name)
        return pixels


class PictureFiles:
    """Some of the images as a map-style dataset that reads a file on access: (uint8 (C, side, side), int64 class)."""

    def __init__(self, pictures: Pictures, look: Look, places: torch.Tensor) -> None:
        self.pictures, self.look, self.places = pictures, look, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        place = int(self.places[index])
        pixels = self.look.picture(self.pictures.root / self.pictures.names[place])
        return torch.from_numpy(pixels), torch.tensor(self.pictures.labels[place])


def class_folders(root: Path) -> tuple[str, ...]:
    """Names of the direct subfolders, sorted, without hidden ones."""
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

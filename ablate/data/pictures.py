"""Image files in one folder per class: find, open and resize them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

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


Depth = Literal["bytes", "words", "numbers"]
"""How values are stored in an image file: in 8 bits, in 16 bits without sign, or in any other way."""


@dataclass(frozen=True)
class Look:
    """How an image becomes an input of the network: (C, side, side), with C = 1 if ``grey``, else 3.

    uint8; if ``wide``, float32: 8-bit values are divided by 255, 16-bit ones by 65535, and others are kept.
    """

    side: int
    grey: bool
    fit: Fit
    wide: bool = False

    @property
    def bytes(self) -> int:
        """The pixels of one image."""
        return self.side**2 * (1 if self.grey else 3) * (4 if self.wide else 1)

    @property
    def dtype(self) -> type[np.generic]:
        """The type of the pixels."""
        return np.float32 if self.wide else np.uint8

    def picture(self, path: Path) -> NDArray[Any]:
        """Raises ValueError (one line) if the file is not an image, or has values that cannot be read exactly."""
        from PIL import Image, ImageOps

        try:
            with Image.open(path) as image:
                depth = depth_of(image)
                if depth == "bytes":
                    planes = [ImageOps.exif_transpose(image).convert("L" if self.grey else "RGB")]
                else:
                    planes = self._coloured(wide_planes(path, image))
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise ValueError(unreadable(path, error)) from None
        squares = [np.asarray(self._square(plane)).reshape(self.side, self.side, -1) for plane in planes]
        pixels = np.concatenate(squares, axis=-1).transpose(2, 0, 1)
        if depth != "numbers" and self.wide:
            pixels = pixels.astype(np.float32) / np.float32(255 if depth == "bytes" else 65535)
        if not np.isfinite(pixels).all():
            raise ValueError(f"data.path (={shown(path)}) contains NaN or infinity. Repair or remove the file.")
        return np.ascontiguousarray(pixels, self.dtype)

    def _square(self, image: Image.Image) -> Image.Image:
        from PIL import Image, ImageOps

        size = (self.side, self.side)
        if self.fit == "stretch":
            return image.resize(size, Image.Resampling.BILINEAR)
        return (ImageOps.fit if self.fit == "crop" else ImageOps.pad)(image, size, Image.Resampling.BILINEAR)

    def _coloured(self, planes: list[NDArray[np.float32]]) -> list[Image.Image]:
        """Planes (H, W) of gray or of red, green and blue as those of the network, with PIL's weights for gray."""
        from PIL import Image

        if self.grey and len(planes) == 3:
            planes = [planes[0] * np.float32(0.299) + planes[1] * np.float32(0.587) + planes[2] * np.float32(0.114)]
        channels = 1 if self.grey else 3
        return [Image.fromarray(plane) for plane in (planes * channels)[:channels]]


def depth_of(image: Image.Image) -> Depth:
    """How a file stores its values, from its header."""
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        return "numbers"
    return "words" if image.mode.startswith("I") or ";16" in raw_mode(image) or many_levels(image) else "bytes"


def raw_mode(image: Image.Image) -> str:
    """PIL's name of the values in a file: ``RGB;16B`` if a color has two bytes, of which PIL reads the high one."""
    arguments = image.tile[0][3] if getattr(image, "tile", None) else ""  # type: ignore[attr-defined]
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def many_levels(image: Image.Image) -> bool:
    """Whether a PPM has more than 256 levels per color, which PIL reduces."""
    arguments = image.tile[0][3] if image.format == "PPM" and image.mode == "RGB" else ()  # type: ignore[attr-defined]
    return isinstance(arguments, tuple) and any(isinstance(value, int) and value > 255 for value in arguments)


def wide_planes(path: Path, image: Image.Image) -> list[NDArray[np.float32]]:
    """The planes (H, W) of gray, or of red, green and blue, with the values in a file of more than 8 bits."""
    from PIL import Image, ImageOps

    if image.mode.startswith(("I", "F")):
        return [np.asarray(ImageOps.exif_transpose(image), np.float32)]
    name, _, order = raw_mode(image).partition(";16")
    if name not in ("RGB", "RGBA", "LA") or order not in OTHER_BYTE or (name == "LA" and order != "B"):
        raise ValueError(f"Pillow reads only 8 of its 16 bits ({raw_mode(image)}). Save it as PNG or grayscale TIFF")
    with Image.open(path) as again:
        # PIL keeps one byte of each value: read as if in the other byte order, it keeps the other one
        swapped = "RGBA" if name == "LA" else f"{name};16{OTHER_BYTE[order]}"
        again.tile = [with_raw_mode(tile, swapped) for tile in again.tile]
        low = np.asarray(ImageOps.exif_transpose(again), np.float32)
    if name == "LA":
        return [low[..., 0] * 256 + low[..., 1]]
    high = np.asarray(ImageOps.exif_transpose(image), np.float32)
    return list(np.ascontiguousarray((high * 256 + low)[..., :3].transpose(2, 0, 1)))


OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""The byte order of 16-bit values in PIL's names → the order in which PIL keeps the low bytes."""


def with_raw_mode(tile: Any, name: str) -> Any:
    """One of PIL's instructions for reading an image, with another name of the values."""
    codec, extents, offset, arguments = tile
    return codec, extents, offset, (name, *arguments[1:]) if isinstance(arguments, tuple) else name


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

    def wide(self) -> bool:
        """Whether any file has more than 8 bits per value. Reads the header of every file.

        Raises ValueError with the first file that is not an image, and the number of others; and for values that are
        not scaled beside values that are.
        """
        from PIL import Image

        bad: list[str] = []
        found: dict[Depth, str] = {}
        for name in self.names:
            try:
                with Image.open(self.root / name) as image:
                    found.setdefault(depth_of(image), name)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                bad.append(unreadable(self.root / name, error))
        if bad:
            more = f" {len(bad) - 1} more cannot be read either." if len(bad) > 1 else ""
            raise ValueError(bad[0] + more)
        if "numbers" in found and len(found) > 1:
            other = next(name for depth, name in found.items() if depth != "numbers")
            raise ValueError(
                f"data.path (={shown(self.root / found['numbers'])}) has floating-point or 32-bit values, but {other} "
                "has 8-bit or 16-bit values, which are divided by 255 or 65535. Convert all images to the same type."
            )
        return found.keys() != {"bytes"}

    def facts(self) -> str:
        """Names, sizes and modification times, which decide whether cached images are still valid."""
        status = [(name, (self.root / name).stat()) for name in self.names]
        return "\n".join(f"{name} {one.st_size} {one.st_mtime_ns}" for name, one in status)

    def read(self, look: Look) -> NDArray[Any]:
        """All images, (n, C, side, side). Raises ValueError if a file is not an image."""
        pixels = np.empty((len(self.names), 1 if look.grey else 3, look.side, look.side), look.dtype)
        for i, name in enumerate(self.names):
            pixels[i] = look.picture(self.root / name)
        return pixels


class PictureFiles:
    """Some of the images as a map-style dataset that reads a file on access: ((C, side, side), int64 class)."""

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

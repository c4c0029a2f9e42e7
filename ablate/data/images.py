"""Custom images: one folder per class."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from ablate.data.cache import cached
from ablate.data.data import Data, shown
from ablate.data.dataset import Part, Parts, Spec
from ablate.data.memory import free_bytes
from ablate.data.pictures import Fit, Look, PictureFiles, Pictures, class_folders
from ablate.recipe.contents import of_contents
from ablate.registry import Card, register
from ablate.registry.fields import DataPath
from ablate.registry.lazy import LazyModule, torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")

KEPT = 2**30
"""Maximum size in bytes of images kept in the cache on disk."""


@register(
    "data",
    "images",
    card=Card(
        "Your own images, one folder per class.",
        source="Pillow; the layout of torchvision's ImageFolder",
        helps="For image classification with a folder layout such as pets/cat/1.jpg, pets/dog/7.png.",
        costs=(
            "Images are read once and kept as bytes, also in a cache, if they fit in half of the free memory; "
            "otherwise they are read again in every epoch."
        ),
        interacts=(
            "Images that are read in every epoch cannot be standardized by the trick. group: folder keeps images of "
            "the same subfolder in one split. 8-bit values are divided by 255 and 16-bit values by 65535; 32-bit "
            "and floating-point values are not scaled, so use standardise."
        ),
    ),
)
class Images(Data):
    """Inputs (n, 1 or 3, size, size); targets int64 (n,), with classes in the alphabetical order of their folders.

    8-bit values are divided by 255, 16-bit ones by 65535, as the network gets them; signed, 32-bit and floating-point
    values (TIFF) stay as they are. Transparency is ignored.
    """

    group_names = ("folder",)

    path: DataPath = Field(description="folder with one subfolder per class")
    size: int = Field(default=64, ge=4, le=1024, description="side that images are resized to, in pixels")
    grey: bool = Field(default=False, description="convert to grayscale: one channel instead of red, green and blue")
    fit: Fit = Field(default="crop", description="how an image becomes square: crop the center, stretch it, or pad it")

    def load(self) -> Parts:
        """Raises ValueError if folders or files are not as expected, with the name of a file that is not an image."""
        pictures = Pictures.below(self.path)
        if self.group not in (None, "folder"):
            raise ValueError(f"data.group (={self.group}) must be 'folder', the subfolder of the class folder.")
        labels, folders = torch.from_numpy(pictures.labels), torch.from_numpy(pictures.folders)
        rows = torch.arange(len(labels))
        left_out: dict[str, object] = {"left_out": pictures.left_out} if pictures.left_out else {}
        whole = Part(rows, labels, rows=rows, groups=folders)
        parts = self.parts(whole, self._spec(pictures.classes), source=shown(self.path), **left_out)
        # with a limit, most files need not be read; positions count the remaining ones
        used = (
            torch.cat([_rows(part) for part in (parts.train, parts.valid, parts.test) if part is not None])
            .sort()
            .values
        )
        parts = _each(parts, lambda part: replace(part, inputs=torch.searchsorted(used, _rows(part))))
        pictures = pictures.take(used.numpy())
        look = Look(self.size, self.grey, self.fit, wide(pictures))
        fits = look.bytes * len(used) <= free_bytes("cpu") // 2
        return resident(parts, pictures, look) if fits else streamed(parts, pictures, look)

    def spec(self) -> Spec | None:
        classes = class_folders(self.path)
        return self._spec(classes) if len(classes) > 1 else None

    def misread(self, contents: str) -> bool:
        return of_contents(contents, "more than 8 bits", lambda: Pictures.below(self.path).wide())

    def _spec(self, classes: tuple[str, ...]) -> Spec:
        return Spec((1 if self.grey else 3, self.size, self.size), len(classes), "classification", classes)


def wide(pictures: Pictures) -> bool:
    """`Pictures.wide`, cached until a file changes."""
    found = cached(f"wide-{digest(pictures.root)}", pictures.facts(), lambda: {"wide": np.array(pictures.wide())})
    return bool(found["wide"])


def digest(value: object) -> str:
    """A short hash of a value's text, for the name of a file."""
    return hashlib.blake2b(str(value).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def resident(parts: Parts, pictures: Pictures, look: Look) -> Parts:
    """Splits of file positions as splits of images in memory; up to `KEPT` bytes are cached until a file changes."""

    def read() -> dict[str, NDArray[Any]]:
        return {"pixels": pictures.read(look)}

    of = digest(f"{pictures.root}\n{look}")
    kept = look.bytes * len(pictures.names) <= KEPT
    arrays = cached(f"images-{of}", pictures.facts(), read) if kept else read()
    pixels = torch.from_numpy(arrays["pixels"])

    def seen(part: Part) -> Part:
        return replace(part, inputs=pixels[part.inputs])

    return _each(parts, seen)


def streamed(parts: Parts, pictures: Pictures, look: Look) -> Parts:
    """Splits of file positions as splits whose images are read on access."""

    def asked(part: Part) -> Part:
        assert part.inputs is not None
        dataset = PictureFiles(pictures, look, part.inputs)
        return Part(dataset=cast("Any", dataset), rows=part.rows, groups=part.groups)

    names = [name for name in ("train", "valid", "test") if getattr(parts, name) is not None]
    return replace(_each(parts, asked), notes={**parts.notes, "streamed": names})


def _rows(part: Part) -> torch.Tensor:
    assert part.rows is not None
    return part.rows


def _each(parts: Parts, change: Callable[[Part], Part]) -> Parts:
    test = None if parts.test is None else change(parts.test)
    return replace(parts, train=change(parts.train), valid=change(parts.valid), test=test)

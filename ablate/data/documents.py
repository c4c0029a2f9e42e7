"""Sources of text: a file, a folder of files, or Python's documentation topics."""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from ablate.data.data import shown
from ablate.registry.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")

WORDS = re.compile(r"\w+|[^\w\s]")
"""A word, or a single punctuation mark."""


def python_topics() -> Path | None:
    """The file of `pydoc_data.topics`, the text of ``help()``; None if this Python installation does not have it."""
    try:
        found = importlib.util.find_spec("pydoc_data.topics")
    except ImportError:
        return None
    return Path(found.origin) if found is not None and found.origin and Path(found.origin).is_file() else None


@dataclass(frozen=True)
class Documents:
    """Texts and their names, sorted by name."""

    names: tuple[str, ...]
    texts: tuple[str, ...]

    @classmethod
    def read(cls, path: Path | None, longest: int | None = None) -> Self:
        """A text file, the .txt files of a folder, or Python's topics if ``path`` is `python_topics`; only the
        ``longest`` n texts.

        Raises ValueError (one line) if there is no text.
        """
        if path is None:
            raise ValueError(
                "data.path is required, because this Python installation has no documentation topics. Set it to "
                "a text file."
            )
        if not path.exists():
            raise ValueError(
                f"data.path (={shown(path)}) does not exist. Use the path of a text file, or remove 'path'."
            )
        if path == python_topics():
            found = _topics(path)
        elif path.is_dir():
            found = {file.stem: _text(file) for file in sorted(path.glob("*.txt"))}
            if not found:
                raise ValueError(
                    f"data.path (={shown(path)}) has no .txt files. Use a folder with .txt files, or a text file."
                )
        else:
            found = {path.stem: _text(path)}
        # of equally long texts the first by name, whatever the order of the source
        by_length = sorted(found, key=lambda name: (-len(found[name]), name))[:longest]
        names = sorted(name for name in by_length if found[name].strip())
        if not names:
            raise ValueError(f"data.path (={shown(path)}) contains no text.")
        return cls(tuple(names), tuple(found[name] for name in names))

    def tokens(self, number: int, level: Literal["char", "word"]) -> NDArray[np.str_]:
        """The characters of a text, or its lower-case words and punctuation marks, as strings (n,)."""
        text = self.texts[number]
        if level == "word":
            return np.array(WORDS.findall(text.lower()), np.str_)
        return np.array([text], np.str_).view("U1")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"data.path (={shown(path)}) must be UTF-8, but byte {error.start} is not. Save it as UTF-8."
        ) from None


def _topics(path: Path) -> dict[str, str]:
    """The dict in the topics' file, parsed from the text, so that the hash covers exactly the text that is used."""
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        value = getattr(statement, "value", None)
        if isinstance(value, ast.Dict):
            topics: dict[str, str] = ast.literal_eval(value)
            return topics
    raise ValueError(f"data.path (={shown(path)}) is not a valid topics file. Use a text file.")

"""Where text comes from: a file, a folder of files, or the documentation topics that Python itself brings."""

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
"""A word, or a single mark of punctuation."""


def python_topics() -> Path | None:
    """The file of `pydoc_data.topics`, the reference that ``help()`` shows. None where this Python comes without it."""
    try:
        found = importlib.util.find_spec("pydoc_data.topics")
    except ImportError:
        return None
    return Path(found.origin) if found is not None and found.origin and Path(found.origin).is_file() else None


@dataclass(frozen=True)
class Documents:
    """Texts, each with a name, in the order of their names."""

    names: tuple[str, ...]
    texts: tuple[str, ...]

    @classmethod
    def read(cls, path: Path | None, longest: int | None = None) -> Self:
        """A text file, the .txt files of a folder, or Python's topics where ``path`` is `python_topics`; only the ``longest`` so many.

        Raises ValueError with one line where there is no text.
        """
        if path is None:
            raise ValueError(
                "data.path (=none) means Python's documentation topics, and this Python comes without them. Name a text file."
            )
        if not path.exists():
            raise ValueError(f"data.path (={shown(path)}) does not exist. Name a text file, or drop 'path'.")
        if path == python_topics():
            found = _topics(path)
        elif path.is_dir():
            found = {file.stem: _text(file) for file in sorted(path.glob("*.txt"))}
            if not found:
                raise ValueError(
                    f"data.path (={shown(path)}) has no .txt files. Name a folder of them, or a text file."
                )
        else:
            found = {path.stem: _text(path)}
        # of texts of one length the first by name, whatever the order of the source
        by_length = sorted(found, key=lambda name: (-len(found[name]), name))[:longest]
        names = sorted(name for name in by_length if found[name].strip())
        if not names:
            raise ValueError(f"data.path (={shown(path)}) has no text in it.")
        return cls(tuple(names), tuple(found[name] for name in names))

    def tokens(self, number: int, level: Literal["char", "word"]) -> NDArray[np.str_]:
        """The characters of a text, or its words in lower case and its punctuation marks, as strings (n,)."""
        text = self.texts[number]
        if level == "word":
            return np.array(WORDS.findall(text.lower()), np.str_)
        return np.array([text], np.str_).view("U1")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"data.path (={shown(path)}) is not UTF-8: byte {error.start} cannot be read. Save it as UTF-8."
        ) from None


def _topics(path: Path) -> dict[str, str]:
    """The dict in the topics' file, read as text: what is hashed is then what is used."""
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        value = getattr(statement, "value", None)
        if isinstance(value, ast.Dict):
            topics: dict[str, str] = ast.literal_eval(value)
            return topics
    raise ValueError(f"data.path (={shown(path)}) is not the file of topics it should be. Name a text file.")

"""What the caller has rendered for MLflow's pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Artifacts:
    """What the caller has rendered. ``tables`` and ``pictures`` map file names to contents, ``note`` is markdown, ``columns`` maps each variant to the
    table's numbers; numbers that are not finite count as unknown."""

    recipe: str = ""
    tables: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def files(self) -> dict[str, bytes]:
        """The study run's artifacts: relative path → content."""
        files = {"recipe.yaml": self.recipe.encode()} if self.recipe else {}
        files |= {str(PurePosixPath("tables", name)): text.encode() for name, text in self.tables.items()}
        return files | {str(PurePosixPath("pictures", name)): picture for name, picture in self.pictures.items()}


@dataclass(frozen=True)
class Rendering:
    """Artifacts that are rendered where they are wanted only. ``key`` changes whenever what they are rendered from does."""

    key: str
    render: Callable[[], Artifacts]

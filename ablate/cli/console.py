"""Where text goes: tables and data to stdout, progress and messages to stderr; color only on a terminal."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ablate.addresses import safe_text
from ablate.printable import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@cache
def output() -> Console:
    """The console for tables and data. Names are never markup; lines in a file or a pipe have any width."""
    import sys

    terminal = sys.stdout.isatty()
    return _console(terminal=terminal, width=None if terminal else 1000)


@cache
def messages() -> Console:
    """The console for progress and messages. ``FORCE_COLOR`` colors them in a pipe, too."""
    import sys

    return _console(terminal=sys.stderr.isatty(), forced=forces_color(), stderr=True)


def forces_color() -> bool:
    """Whether the environment asks for color where there is no terminal."""
    import os

    forced = any(os.environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE"))
    return forced and not os.environ.get("NO_COLOR")


def _console(*, terminal: bool, forced: bool = False, **more: Any) -> Console:
    """A console that prints no control characters of names and values, and moves the cursor on terminals only,
    whatever the environment says.
    """
    import os
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Clean(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else visible(text), style, control)

    return Clean(
        highlight=False,
        markup=False,
        emoji=False,
        force_terminal=terminal,
        force_interactive=terminal and os.environ.get("TERM", "").lower() not in ("dumb", "unknown"),
        color_system="standard" if forced and not terminal else "auto",
        **more,
    )


def print_json(value: Any) -> None:
    """Print a value on stdout as JSON."""
    from ablate.report.formats.json import as_json

    output().file.write(as_json(value))


def say(message: str, style: str = "") -> None:
    """Print a message to stderr as it is: no markup, and one line stays one line."""
    from rich.text import Text

    messages().print(Text(message, style), soft_wrap=True)


def warn(message: str) -> None:
    """Print an error to stderr; it may quote addresses."""
    say(safe_text(message), "red")


def grid_of(*titles: str, **how: Any) -> Table:
    """An empty table without lines. A title that ends in `` >`` is of a column of numbers."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        bare = title.removesuffix(" >")
        grid.add_column(Text(bare), justify="left" if bare == title else "right", **how)
    return grid


def number(count: int, noun: str) -> str:
    """``1 seed`` or ``2 seeds``; ``2 checkpoints of a finished run``."""
    head, of, rest = noun.partition(" of ")
    return f"{count} {head}{'' if count == 1 else 's'}{of}{rest}"

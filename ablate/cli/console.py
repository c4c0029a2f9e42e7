"""Where text goes: tables and data to stdout, progress and messages to stderr; color only on a terminal."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from ablate.addresses import safe_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@cache
def output() -> Console:
    """The console for tables and data. Names are never markup; lines in a file or a pipe have any width."""
    import sys

    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 1000)


@cache
def messages() -> Console:
    """The console for progress and messages."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


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

"""All measurements of this machine, into bench/RESULTS.md (``make bench``), or only some: ``python -m bench own loop``.

A section is written as soon as it is measured. Sections that other modules measure stay as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import ladder, loop, overhead, own, publish, seeds, start, store, streaming

SECTIONS: dict[str, Callable[[], str]] = {
    module.__name__.removeprefix("bench."): module.main
    for module in (start, loop, own, streaming, ladder, seeds, store, overhead, publish)
}

PATH = Path(__file__).parent / "RESULTS.md"

BETWEEN = "\n\n## "


def placed(page: str, measured: str) -> str:
    """The page with each section that was measured in place of the one with its heading, or at the end."""
    first, *others = page.rstrip("\n").split(BETWEEN)
    sections = dict(part.split("\n", 1) for part in others)
    for part in measured.strip("\n").removeprefix("## ").split(BETWEEN):
        heading, body = part.split("\n", 1)
        sections[heading] = body
    return BETWEEN.join([first, *(f"{heading}\n{body}" for heading, body in sections.items())]) + "\n"


def run(names: Sequence[str]) -> None:
    """Measure the sections and write them."""
    for name in names or SECTIONS:
        measured = SECTIONS[name]()
        print(measured, flush=True)
        PATH.write_text(placed(PATH.read_text(encoding="utf-8"), measured), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"only these of {', '.join(SECTIONS)}")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in SECTIONS]:
        parser.error(f"name (={unknown[0]}) must be one of {', '.join(SECTIONS)}.")
    run(asked.names)

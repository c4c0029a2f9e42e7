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


def placed(page: str, section: str) -> str:
    """The page with a section in place of the one with its heading, or at the end."""
    heading, body = section.strip("\n").removeprefix("## ").split("\n", 1)
    first, *others = page.rstrip("\n").split("\n\n## ")
    sections = dict(part.split("\n", 1) for part in others)
    sections[heading] = body
    return "\n\n## ".join([first, *(f"{name}\n{text}" for name, text in sections.items())]) + "\n"


def run(names: Sequence[str]) -> None:
    """Measure the sections and write them."""
    for name in names or SECTIONS:
        section = SECTIONS[name]()
        print(section, flush=True)
        PATH.write_text(placed(PATH.read_text(encoding="utf-8"), section), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"only these of {', '.join(SECTIONS)}")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in SECTIONS]:
        parser.error(f"name (={unknown[0]}) must be one of {', '.join(SECTIONS)}.")
    run(asked.names)

"""``python -m bench.claims run [CLAIM …]``: train what is missing, claim by claim, and write docs/claims.json, .md and .svg. ``page``: write them again."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablate.api import RunOptions
from ablate.registry import suggestion
from bench.claims.book import ROOT, Claim, read_book
from bench.claims.page import answered, page, top
from bench.claims.picture import picture
from bench.claims.results import read_claim, recipe_of, train_claim

DOCS = ROOT / "docs"
README = ROOT / "README.md"
MARKS = ("<!-- claims -->\n\n", "\n\n<!-- end of claims -->")


def main(words: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 for a claim that is not in the book."""
    parser = argparse.ArgumentParser(prog="python -m bench.claims", description=__doc__)
    parser.add_argument(
        "command",
        choices=("run", "read", "page", "again"),
        help="train, read the store, write the page, ask on other seeds",
    )
    parser.add_argument("claims", nargs="*", help="names of claims; without any, all of them")
    parser.add_argument(
        "--jobs", type=int, default=None, help="processes at once; as many as the cores allow without it"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument(
        "--first", type=int, default=60, help="of 'again': its first seed; it takes as many as the recipe"
    )
    given = parser.parse_args(words)
    book = read_book()
    names = [claim.name for claim in book]
    for name in given.claims:
        if name not in names:
            near = suggestion(name, names)
            print(f"claim (={name}) is not in the book." + (f" Did you mean '{near}'?" if near else ""))
            return 2
    chosen = [claim for claim in book if claim.name in (given.claims or names)]
    options = RunOptions(jobs=given.jobs, device=given.device)
    if given.command == "again":
        again(chosen, given.runs, options, given.first)
        return 0
    for claim in chosen if given.command != "page" else []:
        start = time.monotonic()
        found = train_claim(claim, given.runs, options) if given.command == "run" else read_claim(claim, given.runs)
        finished = all(part["status"] not in ("queued", "running", "interrupted", "stale") for part in found["parts"])
        if finished:
            write({**results(), claim.name: found}, book)
        said = answered(claim, {claim.name: found}) if finished else "not finished"
        print(f"{claim.name}: {said} ({time.monotonic() - start:.0f} s)", flush=True)
    write(results(), book)
    return 0


def again(chosen: Sequence[Claim], root: Path, options: RunOptions, first: int) -> None:
    """Ask claims again on other seeds and print both answers; writes nothing."""
    before = results()
    for claim in chosen:
        seeds = range(first, first + len(recipe_of(claim).seeds))
        found = train_claim(claim, root, options, seeds)
        print(f"{claim.name}: {answered(claim, before)}; on other seeds {answered(claim, {claim.name: found})}")
        for one, other in zip(before.get(claim.name, {}).get("parts", []), found["parts"], strict=False):
            print(f"  {one['row']}, {one['metric']}: {one['verdict']}; on other seeds {other['verdict']}")


def results() -> dict[str, Any]:
    """What was found so far."""
    path = DOCS / "claims.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def write(found: dict[str, Any], book: Sequence[Claim], folder: Path = DOCS) -> None:
    """The three files, claims in the book's order."""
    kept = {claim.name: found[claim.name] for claim in book if claim.name in found}
    (folder / "claims.json").write_text(
        json.dumps(kept, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    (folder / "claims.md").write_text(page(book, kept), encoding="utf-8")
    (folder / "claims.svg").write_bytes(picture(book, kept))
    if folder == DOCS:
        README.write_text(with_top(README.read_text(encoding="utf-8"), top(book, kept)), encoding="utf-8")


def with_top(readme: str, text: str) -> str:
    """The README with its part on claims replaced."""
    before, _, rest = readme.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return before + MARKS[0] + text + MARKS[1] + after


if __name__ == "__main__":
    raise SystemExit(main())

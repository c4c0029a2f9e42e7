"""``python -m bench.claims run [CLAIM …]``: train what is missing, claim by claim, and write docs/claims.json, .md and
.svg. ``page``: write them again.

``again --draw N``: ask three claims drawn by lot on other seeds. ``rates``: try the rates that the book lets a claim
choose from. ``larger``: ask claims at the scale that the book has for a GPU, and print what they say.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablate.api import RunOptions
from ablate.registry import suggestion
from bench.claims.again import ask, ask_drawn, difference, read_draws, with_draw
from bench.claims.book import ROOT, Claim, read_book
from bench.claims.page import answered, page
from bench.claims.picture import picture
from bench.claims.rates import sentence, tried
from bench.claims.results import read_claim, train_claim

DOCS = ROOT / "docs"


def main(words: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 for a claim that is not in the book."""
    parser = argparse.ArgumentParser(prog="python -m bench.claims", description=__doc__)
    parser.add_argument(
        "command",
        choices=("run", "read", "page", "again", "rates", "larger"),
        help="train, read the store, write the page, ask on other seeds, try rates, ask at a larger scale",
    )
    parser.add_argument("claims", nargs="*", help="names of claims; without any, all of them")
    parser.add_argument(
        "--jobs", type=int, default=None, help="processes at once; as many as the cores allow without it"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument(
        "--first",
        type=int,
        help="of 'again': its first seed, 1000 more for each lot before; it takes as many as the recipe",
    )
    parser.add_argument(
        "--draw", type=int, help="of 'again': ask three claims drawn by this lot, and put it on the page"
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
        return again(chosen, given, options, book)
    if given.command == "larger":
        larger(chosen, given.runs, options)
        return 0
    for claim in chosen if given.command == "rates" else []:
        print(claim.name)
        for name, values, best in tried(claim, given.runs, options):
            print(sentence(name, values, best), flush=True)
    for claim in chosen if given.command in ("run", "read") else []:
        start = time.monotonic()
        found = train_claim(claim, given.runs, options) if given.command == "run" else read_claim(claim, given.runs)
        finished = all(part["status"] not in ("queued", "running", "interrupted", "stale") for part in found["parts"])
        if finished:
            write({**results(), claim.name: found}, book)
        said = answered(claim, {claim.name: found}) if finished else "not finished"
        print(f"{claim.name}: {said} ({time.monotonic() - start:.0f} s)", flush=True)
    if given.command != "rates":
        write(results(), book)
    return 0


def again(chosen: Sequence[Claim], given: argparse.Namespace, options: RunOptions, book: Sequence[Claim]) -> int:
    """Ask claims again on other seeds and print what came out otherwise; a lot (``--draw``) is written down, whatever
    it says.
    """
    first = given.first or 1000 * (1 + len(draws()))
    try:
        if given.draw is None:
            asked = [ask(claim, given.runs, options, first, results()) for claim in chosen]
        else:
            with_draw(draws(), {"draw": given.draw, "claims": []})  # before an hour is spent on it
            draw = ask_drawn(book, given.draw, options, first, results())
            asked = draw["claims"]
            (DOCS / "claims-again.json").write_text(dumped(with_draw(draws(), draw)), encoding="utf-8")
            write(results(), book)
    except ValueError as error:
        print(error)
        return 2
    for one in asked:
        print(f"{one['claim']}: {one['before']['answer']}; on other seeds {one['after']['answer']}")
        for before, after in zip(one["before"]["parts"], one["after"]["parts"], strict=True):
            if before["agreement"] != after["agreement"]:
                print(f"  {difference(before, after)}")
    return 0


def larger(chosen: Sequence[Claim], root: Path, options: RunOptions) -> None:
    """Ask claims at the scale that the book has for a GPU, and print table and answer; the page is of the scale that it
    names, and stays as it is.
    """
    for claim in chosen:
        if claim.gpu:
            found = train_claim(claim, root, options, sets=claim.gpu)
            print(found["tables"][""])
            print(f"{claim.name} ({', '.join(claim.gpu)}): {answered(claim, {claim.name: found})}", flush=True)


def draws() -> list[Any]:
    """The lots that were drawn so far."""
    return list(read_draws(DOCS / "claims-again.json"))


def results() -> dict[str, Any]:
    """What was found so far."""
    path = DOCS / "claims.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def write(found: dict[str, Any], book: Sequence[Claim], folder: Path = DOCS) -> None:
    """The three files, claims in the book's order."""
    kept = {claim.name: found[claim.name] for claim in book if claim.name in found}
    (folder / "claims.json").write_text(dumped(kept), encoding="utf-8")
    (folder / "claims.md").write_text(page(book, kept, draws()), encoding="utf-8")
    (folder / "claims.svg").write_bytes(picture(book, kept))


def dumped(value: Any) -> str:
    """JSON that a diff can be read of."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())

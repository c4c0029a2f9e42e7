"""Claims asked again: three drawn by lot, each trained from nothing on seeds that its recipe has not, and whether they
say what the page says.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablate.api import RunOptions
from bench.claims.answers import MARK, agreement, answer, verdict
from bench.claims.book import Claim
from bench.claims.results import recipe_key, recipe_of, train_claim

COUNT = 3
"""Claims in a draw."""

Draw = Mapping[str, Any]
"""One entry of docs/claims-again.json: ``draw`` (the seed of the lot), and ``claims`` with what the page said and what
other seeds say.
"""

HEAD = """\
## Repeated with other seeds

`python -m bench.claims again --draw 20261121` draws three claims at random (`random.Random(draw).sample` of the sorted names),
trains them from scratch in an empty folder on the same number of new seeds, and applies the same rules. All draws are listed in
order, with the answers that this page gave at that time.
"""


def drawn(book: Sequence[Claim], draw: int) -> list[Claim]:
    """The claims that a lot picks, whatever their order in the book."""
    return random.Random(draw).sample(sorted(book, key=lambda claim: claim.name), COUNT)


def other_seeds(claim: Claim, first: int) -> list[int]:
    """As many seeds as the recipe's, from ``first`` on. Raises ValueError where the recipe has one of them."""
    own = recipe_of(claim).seeds
    seeds = list(range(first, first + len(own)))
    shared = sorted(set(own) & set(seeds))
    if shared:
        raise ValueError(f"--first (={first}) gives seeds that {claim.name} has ({shared[0]}). Start higher.")
    return seeds


def ask(claim: Claim, root: Path, options: RunOptions, first: int, results: Mapping[str, Any]) -> dict[str, Any]:
    """One claim on other seeds beside what the page says. Raises ValueError where the page says nothing yet."""
    seeds, known = other_seeds(claim, first), results.get(claim.name)
    if known is None or known["recipe"] != recipe_key(claim):
        raise ValueError(
            f"claim (={claim.name}) was not run as its recipe is now. 'python -m bench.claims run {claim.name}' does."
        )
    before, after = known["parts"], train_claim(claim, root, options, seeds)["parts"]
    return {
        "claim": claim.name,
        "recipe": recipe_key(claim),
        "seeds": seeds,
        "before": _said(claim, before),
        "after": _said(claim, after),
    }


def ask_drawn(book: Sequence[Claim], draw: int, options: RunOptions, first: int, results: Mapping[str, Any]) -> Draw:
    """A whole draw, each claim in a folder of its own that is empty before and gone afterwards."""
    asked = []
    for claim in drawn(book, draw):
        with tempfile.TemporaryDirectory(prefix="ablate-again-") as folder:
            asked.append(ask(claim, Path(folder), options, first, results))
    return {"draw": draw, "claims": asked}


def _said(claim: Claim, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    parts = [
        {
            "row": one["row"],
            "metric": one["metric"],
            "verdict": verdict(part, one),
            "agreement": agreement(part, one),
            **{key: one[key] for key in ("delta", "low", "high", "n")},
        }
        for part, one in zip(claim.parts, found, strict=True)
    ]
    return {
        "answer": answer([agreement(part, one) for part, one in zip(claim.parts, found, strict=True)]),
        "parts": parts,
    }


def same(one: Mapping[str, Any]) -> tuple[int, int]:
    """Of how many parts the two seed lists say the same of the claim, and how many there are."""
    pairs = list(zip(one["before"]["parts"], one["after"]["parts"], strict=True))
    return sum(a["agreement"] == b["agreement"] for a, b in pairs), len(pairs)


def told(draw: Draw) -> str:
    """How many answers and parts of a draw came out the same."""
    asked = draw["claims"]
    answers = sum(one["before"]["answer"] == one["after"]["answer"] for one in asked)
    parts, whole = (sum(column) for column in zip(*map(same, asked), strict=True))
    return f"{answers} of {len(asked)} answers and {parts} of {whole} parts agree"


def section(draws: Sequence[Draw], book: Sequence[Claim]) -> list[str]:
    """The page's part on all draws; nothing where none was made."""
    if not draws:
        return []
    lines = [HEAD]
    known = {claim.name: claim for claim in book}
    for draw in draws:
        lines += [f"**Draw {draw['draw']}: {told(draw)}.**\n"]
        lines += [
            "| Claim | Answer | Repeated | Seeds | Parts that agree | Differences |",
            "|:--|:--|:--|:--|--:|:--|",
        ]
        for one in draw["claims"]:
            name = one["claim"].replace("_", " ")
            alike, parts = same(one)
            pairs = zip(one["before"]["parts"], one["after"]["parts"], strict=True)
            other = [difference(a, b) for a, b in pairs if a["agreement"] != b["agreement"]]
            if one["claim"] in known and recipe_key(known[one["claim"]]) != one["recipe"]:
                other.append("the recipe has changed since")
            link = f"[{name}](#{name.replace(' ', '-')})" if one["claim"] in known else name
            span = f"{one['seeds'][0]} to {one['seeds'][-1]}"
            lines.append(
                f"| {link} | {one['before']['answer']} | {one['after']['answer']} | {span} | {alike} of {parts} | {'; '.join(other)} |"
            )
        lines.append("")
    return lines


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """A part that came out otherwise."""
    return f"{before['row']}: {MARK[before['agreement']]} ({before['verdict']}), again {MARK[after['agreement']]} ({after['verdict']})"


def read_draws(path: Path) -> list[Draw]:
    """All draws so far, in their order."""
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []


def with_draw(draws: Sequence[Draw], draw: Draw) -> list[Draw]:
    """The draws with one more; a draw that was made before is made once: the first answer counts. Raises ValueError for
    such a one.
    """
    if any(one["draw"] == draw["draw"] for one in draws):
        raise ValueError(f"--draw (={draw['draw']}) was made before. Take another number.")
    return [*draws, draw]

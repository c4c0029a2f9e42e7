"""docs/claims.md, from the book and from what the runs found: nothing on it is written by hand but this frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bench.claims.again import Draw
from bench.claims.again import section as again_section
from bench.claims.answers import EITHER, MARK, Agreement, Answer, agreement, answer, verdict
from bench.claims.book import Claim, Part
from bench.claims.results import recipe_key

Results = Mapping[str, Mapping[str, Any]]
"""docs/claims.json: claim → what `bench.claims.results.read_claim` returned."""

HEAD = """\
# The book of claims: folklore, tested

Field notes on training networks make claims. Each one here has a recipe in [recipes/claims](../recipes/claims) and was answered by its table. What would
agree with a claim was written into [book.yml](../recipes/claims/book.yml) beforehand; the answers are computed from the tables' verdicts. `make claims` trains
what is missing and writes this page; `python -m bench.claims page` writes it again from [claims.json](claims.json).
"""

RULES = """\
- **A claim consists of parts**, each a row beside its parent. All parts agree with the claim: it *holds*. Some: it *holds partly*. None, and at least one
  disagrees: it *does not hold here*. None, and all are unclear: *undecided*.
- **Here means here**: small networks on small data, a minute on two cores, at the scale that stands below each table (seconds are those of the jobs, one
  core each, on a machine that often had other work). What does not hold here may hold at another scale, and what holds here may not.
  The book has a larger scale for some claims, to be asked on a GPU: `python -m bench.claims larger drop_path --device cuda`.
- **Verdicts** are those of [the evidence](evidence.md): differences paired by seed, adjusted (Holm) over the rows of one table. Over all tables of this page
  nothing is adjusted: of so many questions one or two answers will be chance.
- **Either of two.** Where a claim has a row `no difference` or `helps`, and the interval leaves no harm above the smallest effect that counts, the row is *no
  worse* and agrees, although which of the two it is stays open (and *no better* likewise).
- **A change that never acted tests nothing.** Where a row equals its parent in every seed, its part is open, and says *no effect*; unless the claim is that
  the two are one.
- **Rates were chosen on other seeds** (100 to 103) than those that judge, each from a grid with steps of about three, where a claim sets optimizers, losses,
  batch sizes or depths against each other: `rates` in the book, which `python -m bench.claims rates` tries again. Elsewhere both sides share a rate that
  suits the plain side.
- **The last batch of an epoch** holds what is left: 898 digits in batches of 32 leave 2, a step on two samples at the full rate just before the validation.
  Claims that turned on it (optimizers, batch sizes, batch norm, initial values) were asked anew on 1792 digits, which leave none. The tables say which.
- **Many claims were asked anew.** Where an earlier round showed that a setting was unfair to one side, that a change never acted, or that its seeds could not
  tell, the recipe was changed and judged by seeds that nobody had seen; a comment beside `seeds` says so. All others were judged by their first round.
"""

MANY: dict[Answer, tuple[str, str]] = {
    "holds": ("holds", "hold"),
    "holds partly": ("holds partly", "hold partly"),
    "does not hold here": ("does not hold here", "do not hold here"),
    "undecided": ("undecided", "undecided"),
    "not run yet": ("not run yet", "not run yet"),
}
"""Answers in the order of the tally, and what is said of one claim and of several."""


def page(book: Sequence[Claim], results: Results, draws: Sequence[Draw] = ()) -> str:
    """The whole page; ``draws`` are claims that were asked again on other seeds."""
    lines = [
        HEAD,
        f"{tally(book, results)}\n",
        "![All effects](claims.svg)\n",
        *front(book, results),
        "",
        RULES,
        *again_section(draws, book),
    ]
    section = ""
    for claim in book:
        if claim.section != section:
            section = claim.section
            lines.append(f"## {section.capitalize()}\n")
        lines += about(claim, results)
    return "\n".join(lines).rstrip("\n") + "\n"


def current(claim: Claim, results: Results) -> Mapping[str, Any] | None:
    """What was found of a claim; None where its recipe was not run as it is now, or its parts are others."""
    known = results.get(claim.name)
    if known is None or known["recipe"] != recipe_key(claim):
        return None
    seen = [(one["row"], one["metric"]) for one in known["parts"]]
    asked = [(part.row, part.measure) for part in claim.parts]
    fits = len(seen) == len(asked) and all(
        row == other and measure in (None, metric) for (row, metric), (other, measure) in zip(seen, asked, strict=True)
    )
    return known if fits else None


def agreements(claim: Claim, known: Mapping[str, Any]) -> list[Agreement]:
    """What each part says of the claim."""
    return [agreement(part, found) for part, found in zip(claim.parts, known["parts"], strict=True)]


def answered(claim: Claim, results: Results) -> Answer:
    """The answer to a claim."""
    known = current(claim, results)
    return answer(agreements(claim, known) if known else [])


def front(book: Sequence[Claim], results: Results) -> list[str]:
    """The table of all claims by topic: the first part's effect stands for each, and the last column names the parts that do not agree."""
    lines = [
        "| Claim | Answer | Parts | First part | Effect, 95 % interval | n | Verdict | Not as claimed, or open |",
        "|:--|:--|--:|:--|:--|--:|:--|:--|",
    ]
    topic = ""
    for claim in book:
        if claim.section != topic:
            topic = claim.section
            lines.append(
                f"| **{topic.capitalize()}**: {counted([c for c in book if c.section == topic], results)} | | | | | | | |"
            )
        known = current(claim, results)
        name = f"[{claim.claim.rstrip('.')}](#{claim.name.replace('_', '-')})"
        if known is None:
            lines.append(f"| {name} | not run yet | {len(claim.parts)} | | | | | |")
            continue
        part, found = claim.parts[0], known["parts"][0]
        agreeing = agreements(claim, known).count("agrees")
        lines.append(
            f"| {name} | **{answered(claim, results)}** | {agreeing} of {len(claim.parts)} | {beside(found)} | {effect(found)} | {found['n']} "
            f"| {verdict(part, found) or found['status']} | {against(claim, known)} |"
        )
    return lines


def against(claim: Claim, known: Mapping[str, Any]) -> str:
    """The parts that do not agree with the claim, and what their rows do instead."""
    told = []
    for part, found, said in zip(claim.parts, known["parts"], agreements(claim, known), strict=True):
        if said != "agrees":
            asked = f" ({part.metric.replace('_', ' ')})" if part.metric else ""
            told.append(f"{found['row']}{asked}: {verdict(part, found) or found['status']}")
    return "; ".join(told)


def top(book: Sequence[Claim], results: Results, count: int = 10) -> str:
    """The README's part: how many claims hold, and the first of them."""
    lines = [tally(book, results), "", "| Claim | Answer | Effect, 95 % interval | n |", "|:--|:--|:--|--:|"]
    for claim in book[:count]:
        known = current(claim, results)
        name = claim.claim.rstrip(".")
        found = known["parts"][0] if known else None
        told = f"{beside(found)}: {effect(found)} | {found['n']}" if found else " | "
        lines.append(f"| {name} | {answered(claim, results)} | {told} |")
    return "\n".join(lines)


def tally(book: Sequence[Claim], results: Results) -> str:
    """How many claims have which answer."""
    return f"**{len(book)} claims: {counted(book, results)}.**"


def counted(claims: Sequence[Claim], results: Results) -> str:
    """Answers and how many claims have them."""
    counts = Counter(answered(claim, results) for claim in claims)
    return ", ".join(
        f"{counts[word]} {one if counts[word] == 1 else many}" for word, (one, many) in MANY.items() if counts[word]
    )


def about(claim: Claim, results: Results) -> list[str]:
    """One claim: its table as printed, what was found, the answer."""
    known = current(claim, results)
    link = f"[recipes/claims/{claim.name}.yaml](../recipes/claims/{claim.name}.yaml)"
    lines = [f"### {claim.name.replace('_', ' ')}\n", f"> {claim.claim}\n"]
    if known is None:
        return [*lines, f"**Not run yet.** {link} asks.\n"]
    lines += [known["tables"][""]]
    for measure, table in known["tables"].items():
        if measure:
            lines += [f"The same runs, compared by `{measure}`:\n", table]
    if known.get("shown"):
        lines += ["What else was measured:\n", known["shown"]]
    said = [f"- {sentence(part, found)}" for part, found in zip(claim.parts, known["parts"], strict=True)]
    lines += ["What was found:\n", *said, ""]
    beware = f"{claim.beware} " if claim.beware else ""
    lines += [f"**{answered(claim, results).capitalize()}{how_far(claim, known)}.** {beware}{scale(known)} {link}\n"]
    return lines


def how_far(claim: Claim, known: Mapping[str, Any]) -> str:
    """Of how many parts a claim holds, and whether the others contradict it or are open."""
    said = agreements(claim, known)
    if len(said) == 1 or len(set(said)) == 1:
        return ""
    words = {"agrees": "as claimed", "disagrees": "not", "open": "open"}
    return f" ({', '.join(f'{said.count(key)} {word}' for key, word in words.items() if key in said)})"


def sentence(part: Part, found: Mapping[str, Any]) -> str:
    """One part in words: values, difference, verdict, and whether the claim has it so."""
    word = verdict(part, found)
    values = ""
    if found["value"] is not None and found["parent_value"] is not None:
        values = f" {number(found['value'])} against {number(found['parent_value'])},"
    told = word or found["status"]
    if told == "unclear" and found["more_seeds"] and part.by == "verdict":
        told += f" (≈{found['more_seeds']} more seeds)"
    if told in EITHER:
        told += f" (by more than {number(found['smallest_effect'])})"
    if told == "no effect":
        told += " (equal in every seed: the change never acted)"
    if part.by == "interval":
        told += " (by the interval: the rows are validated on other samples)"
    expected = " or ".join(part.says)
    why = f"; {part.why}" if part.why else ""
    return (
        f"**{found['row']}** beside {found['parent']}: {found['metric'].replace('_', ' ')}{values} {effect(found)}, n = {found['n']}: "
        f"{told}. The claim has it: {expected}{why}. *{MARK[agreement(part, found)].capitalize()}.*"
    )


def beside(found: Mapping[str, Any]) -> str:
    """The two rows and the number that is compared."""
    return f"{found['row']} − {found['parent']}, {found['metric'].replace('_', ' ')}"


def effect(found: Mapping[str, Any]) -> str:
    """A difference and its interval."""
    if found["delta"] is None:
        return "no difference taken"
    if found["low"] is None or found["high"] is None:
        return f"{number(found['delta'], sign=True)}"
    return (
        f"{number(found['delta'], sign=True)} [{number(found['low'], sign=True)}, {number(found['high'], sign=True)}]"
    )


def number(value: float, *, sign: bool = False) -> str:
    """Three digits that count, with a proper minus."""
    return f"{value:{'+' if sign else ''}.3g}".replace("-", "−")


def scale(known: Mapping[str, Any]) -> str:
    """At what size it was tested."""
    facts = known["scale"]

    def span(values: Sequence[float], unit: str) -> str:
        ends = [f"{value:,.0f}" for value in dict.fromkeys(values)]
        return f"{' to '.join(ends)} {unit}" if ends else ""

    told = [
        " and ".join(facts["data"]),
        span(facts["parameters"], "parameters"),
        span(facts["epochs"], "epochs"),
        span(facts["steps"], "steps"),
        f"{facts['seeds']} seeds",
        f"{known['seconds']:.0f} s",
    ]
    return f"Tested on {', '.join(text for text in told if text)}."

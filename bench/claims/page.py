"""docs/claims.md, computed from the book and the results; only the text templates below are written by hand."""

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
# Common claims about training, tested

Training guides make many claims. Each claim on this page has a small recipe in [recipes/claims](../recipes/claims). The
verdicts that agree with a claim were written into [book.yml](../recipes/claims/book.yml) before the recipe was run; the
answers are computed from the verdicts of its table. `make claims` trains missing runs and writes this page;
`python -m bench.claims page` only writes the page again, from [claims.json](claims.json).
"""

RULES = """\
- **A claim has one or more parts**, each a comparison of a variant with its parent. If all parts agree with the claim, it
  *holds*. If some agree, it *holds partly*. If none agrees and at least one disagrees, it *does not hold here*. If all are
  unclear, it is *undecided*.
- **"Here" means small networks on small data**, one minute on two cores, at the scale given below each table. (Seconds are those
  of the jobs, one core each, on a machine that often had other work.) Another scale can give another answer. Some claims have a
  larger scale for a GPU: `python -m bench.claims larger drop_path --device cuda`.
- **Verdicts** are described in [evidence.md](evidence.md): differences are paired by seed and Holm-corrected over the variants of
  one table. There is no correction across the tables of this page, so expect one or two answers to be wrong by chance.
- **No worse, no better.** If a claim expects `no difference` or `helps`, and the confidence interval excludes a deterioration
  larger than the smallest effect of interest, the variant is *no worse* and agrees, although it is not known which of the two is true. *No
  better* is the reverse.
- **A change without effect tests nothing.** If a variant equals its parent in every seed, its part is unclear and marked *no
  effect*, unless the claim is that the two are equal.
- **Learning rates were chosen on separate seeds** (100 to 103), each from a grid with steps of about a factor of three, if a claim
  compares optimizers, losses, batch sizes or depths: see `rates` in the book; `python -m bench.claims rates` repeats the search.
  In all other claims, both variants use the same learning rate, chosen for the plain variant.
- **The last batch of an epoch** can be small: 898 digits in batches of 32 leave a batch of 2, which makes a step at the full
  learning rate just before the validation. Claims that depended on it (optimizers, batch sizes, batch norm, initialization) were
  repeated on 1792 digits, which leave no remainder. The tables report the data used.
- **Many claims were repeated with new seeds.** If an earlier round showed that a setting was unfair to one variant, that a change
  had no effect, or that there were too few seeds, the recipe was changed and run on seeds not used before; a comment next to
  `seeds` in the recipe says so. For all other claims, the first round counts.
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
    """The table of all claims by topic: the first part's effect stands for each, and the last column names the parts
    that do not agree.
    """
    lines = [
        "| Claim | Answer | Parts that agree | First part | Effect (95% CI) | n | Verdict | Parts that disagree or are unclear |",
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
            f"| {name} | **{answered(claim, results)}** | {agreeing} of {len(claim.parts)} | {pair(found)} | {effect(found)} | {found['n']} "
            f"| {verdict(part, found) or found['status']} | {against(claim, known)} |"
        )
    return lines


def against(claim: Claim, known: Mapping[str, Any]) -> str:
    """The parts that do not agree with the claim, and what their rows do instead."""
    told = []
    for part, found, said in zip(claim.parts, known["parts"], agreements(claim, known), strict=True):
        if said != "agrees":
            asked = f" ({titled(part.metric)})" if part.metric else ""
            told.append(f"{found['row']}{asked}: {verdict(part, found) or found['status']}")
    return "; ".join(told)


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
        return [*lines, f"**Not run yet.** Recipe: {link}\n"]
    lines += [known["tables"][""]]
    for measure, table in known["tables"].items():
        if measure:
            lines += [f"The same runs, compared by `{measure}`:\n", table]
    if known.get("shown"):
        lines += ["Other measurements:\n", known["shown"]]
    said = [f"- {sentence(part, found)}" for part, found in zip(claim.parts, known["parts"], strict=True)]
    lines += ["Results:\n", *said, ""]
    beware = f"{claim.beware} " if claim.beware else ""
    lines += [f"**{answered(claim, results).capitalize()}{how_far(claim, known)}.** {beware}{scale(known)} {link}\n"]
    return lines


def how_far(claim: Claim, known: Mapping[str, Any]) -> str:
    """Of how many parts a claim holds, and whether the others contradict it or are open."""
    said = agreements(claim, known)
    if len(said) == 1 or len(set(said)) == 1:
        return ""
    words = {"agrees": "as claimed", "disagrees": "not", "open": "unclear"}
    return f" ({', '.join(f'{said.count(key)} {word}' for key, word in words.items() if key in said)})"


def sentence(part: Part, found: Mapping[str, Any]) -> str:
    """One part in words: values, difference, verdict, and whether it agrees with the claim."""
    word = verdict(part, found)
    values = ""
    if found["value"] is not None and found["parent_value"] is not None:
        values = f" {number(found['value'])}, parent {number(found['parent_value'])}, difference"
    told = word or found["status"]
    if told == "unclear" and found.get("more_seeds") and part.by == "verdict":
        told += f" (≈{found['more_seeds']} more seeds)"
    if told in EITHER:
        told += f" (by more than {number(found['smallest_effect'])})"
    if told == "no effect":
        told += " (equal in every seed: the change had no effect)"
    if part.by == "interval":
        told += " (from the confidence interval, because the variants have different validation sets)"
    expected = " or ".join(part.says)
    why = f"; {part.why}" if part.why else ""
    return (
        f"**{found['row']}** (parent: {found['parent']}): {titled(found['metric'])}{values} {effect(found)}, n = {found['n']}: "
        f"{told}. Expected: {expected}{why}. *{MARK[agreement(part, found)].capitalize()}.*"
    )


def pair(found: Mapping[str, Any]) -> str:
    """The variant, its parent and the metric."""
    return f"{found['row']} − {found['parent']}, {titled(found['metric'])}"


def titled(metric: str) -> str:
    """A metric's name for readers."""
    return metric.replace("_", " ").replace("train loss clean", "train loss (evaluation mode)")


def effect(found: Mapping[str, Any]) -> str:
    """A difference and its interval."""
    if found["delta"] is None:
        return "no difference computed"
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

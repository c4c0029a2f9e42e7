"""The catalogue as a page of Markdown: every name that a recipe may use, with its card."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from ablate.registry import KINDS, Entry
from ablate.registry.described import meaning, settings_of

TITLES = {
    "trick": ("Tricks", "Switched on with `add: [name]`, off with `remove`."),
    "schedule": ("Schedules", "Stand where a setting takes a number in time: `optimizer.lr: {name: …}`."),
    "optimizer": ("Optimizers", "`optimizer: {name: …, lr: …}`."),
    "model": ("Networks", "`model: {name: …}`."),
    "init": ("Initial values", "`init: name`."),
    "loss": ("Losses", "`loss: name`."),
    "metric": ("Metrics", "`metrics: [name]`: measured on the validation part after every epoch."),
    "watch": ("What is watched", "`watch: [name]`: recorded beside the metrics; it changes nothing in a training."),
    "data": ("Data", "`data: {name: …}`."),
}
"""Kind → heading, and how a recipe names one."""

HEAD = """\
# The catalogue

Everything that a recipe can name, from the cards in the code. `ablate catalog` lists it, `ablate catalog NAME` prints one card; this page is
`ablate catalog --markdown > docs/catalogue.md`.
"""

WIDTH = 156


def as_page(found: Sequence[Entry]) -> str:
    """The page, each kind under a heading of its own; entries of plugins are left out."""
    own = [entry for entry in found if entry.provider == "ablate"]
    lines = [HEAD]
    for kind in KINDS:
        of_kind = [entry for entry in own if entry.kind == kind]
        if of_kind:
            title, way = TITLES.get(kind, (kind.capitalize(), ""))
            lines += [f"## {title}", "", way, ""]
            for entry in of_kind:
                lines += [*card(entry), ""]
    return "\n".join(lines).rstrip() + "\n"


def card(entry: Entry) -> Iterator[str]:
    """One entry: what it is, then a line for each thing to know and each setting."""
    yield f"### `{entry.name}`"
    yield ""
    yield entry.card.summary
    yield ""
    for title in ("helps", "costs", "interacts", "source"):
        if text := getattr(entry.card, title):
            yield from item(f"**{title.capitalize()}:** {escaped(text)}")
    for setting in settings_of(entry):
        text = f": {escaped(said)}" if (said := meaning(setting)) else ""
        yield from item(f"`{setting['name']}` ({shown(setting['default'])}){text}")


def item(text: str) -> list[str]:
    """A bullet, wrapped."""
    return textwrap.wrap(f"- {text}", WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def shown(default: Any) -> str:
    """A default value."""
    return default if default == "required" else f"`{default if isinstance(default, str) else json.dumps(default)}`"


def escaped(text: str) -> str:
    """Text whose signs Markdown would take for its own."""
    for sign in "\\*|<":
        text = text.replace(sign, f"\\{sign}")
    return text

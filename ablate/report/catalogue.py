"""The catalog as a page of Markdown: every name that a recipe may use, with its card."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from ablate.registry import KINDS, Entry
from ablate.registry.described import meaning, settings_of

TITLES = {
    "trick": ("Tricks", "Enable a trick with `add: [name]`; disable it with `remove: [name]`."),
    "schedule": ("Schedules", "Replace a number that may change during training: `optimizer.lr: {name: …}`."),
    "optimizer": ("Optimizers", "`optimizer: {name: …, lr: …}`."),
    "model": ("Networks", "`model: {name: …}`."),
    "init": ("Initializations", "`init: name`."),
    "loss": ("Losses", "`loss: name`."),
    "metric": ("Metrics", "`metrics: [name]`: computed on the validation set after every epoch."),
    "watch": ("Tracked metrics", "`watch: [name]`: recorded alongside the metrics, without affecting training."),
    "data": ("Data", "`data: {name: …}`."),
    "check": (
        "Checks",
        "`ablate check RECIPE` runs all of them ([check.md](check.md)). Settings are thresholds.",
    ),
}
"""Kind → heading, and how a recipe names one."""

HEAD = """\
# Catalog

All built-in components of recipes. `ablate catalog` lists them, and `ablate catalog NAME` describes one. This page is
the output of `ablate catalog --markdown`.
"""

WIDTH = 120


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
    yield from (f"### `{entry.name}`", "", entry.card.summary, "")
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

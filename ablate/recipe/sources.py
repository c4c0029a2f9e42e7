"""Rows that are built upon other rows: that join their predictions, or start from their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ablate.recipe.node import show
from ablate.recipe.problems import Position, Problems
from ablate.recipe.replay import Tree
from ablate.recipe.settings import Settings
from ablate.recipe.shape import Shape, did_you_mean
from ablate.recipe.variant import Variant

JOINED = "a joined row trains nothing itself: it evaluates the rows that it joins on the data of 'from'."


@dataclass
class Places:
    """Where each row names its sources, for messages: row → source → position."""

    named: dict[str, dict[str, Position]] = field(default_factory=dict)

    def note(self, row: str, joined: Mapping[str, Position], tree: Tree) -> None:
        """Take down what a row's ``joined``, and its tricks' ``source``, say."""
        here = self.named.setdefault(row, dict(joined))
        for item in tree.tricks.values():
            node = item.arguments.child("source")
            if node is not None and node.text is not None:
                here[node.text] = node.position


def read_joined(shape: Shape, problems: Problems) -> dict[str, Position]:
    """``joined: [eyes, nose]`` of a row: names with their places; empty where there is none."""
    found: dict[str, Position] = {}
    for node in shape.items("joined", "[eyes, nose]"):
        if not node.text:
            problems.add(node.position, f"{shape.where('joined')} (={show(node)}) must list names of rows.")
        elif node.text in found:
            problems.add(node.position, f"{shape.where('joined')} names {show(node.text)} twice. Keep one of them.")
        else:
            found[node.text] = node.position
    if "joined" in shape.entries and not found and not (shape.get("joined") and problems.all()):
        problems.add(shape.node.key_position("joined"), f"{shape.where('joined')} is empty. Name the rows to join.")
    for key in ("add", "remove", "set", "for", "zip"):
        if found and key in shape.entries:
            problems.add(shape.node.key_position(key), f"{shape.where(key)}: {JOINED}")
    return found


def as_joined(settings: Settings, members: Sequence[str]) -> Settings:
    """The settings of a row that joins others: the data, loss and metrics of the row that it is compared with, and nothing that trains."""
    return settings.replace(joined=tuple(members), tricks=(), watch=(), epochs=1, select="last")


def link_sources(variants: Sequence[Variant], rows: Sequence[str], places: Places, problems: Problems) -> list[Variant]:
    """The variants with the settings of all rows that they are built upon.

    A row that does not exist, that is itself joined, or that is in the end built upon itself, is a problem at the place where it is named.
    """
    known = {variant.name: variant for variant in variants}
    linked: dict[str, Settings | None] = {}

    def link(name: str, way: tuple[str, ...]) -> Settings | None:
        if name in linked:
            return linked[name]
        settings = known[name].settings
        sources: dict[str, Settings] = {}
        sound = True
        for source in settings.source_rows:
            place = places.named.get(name, {}).get(source, known[name].position)
            if source in (*way, name):
                start = (*way, name).index(source)
                circle = " → ".join([*(*way, name)[start:], source])
                problems.add(
                    place, f"{show(name)} is built upon itself: {circle}. Start from a row that does without it."
                )
                sound = False
            elif source not in known:
                if source not in rows:
                    hint = did_you_mean(source, rows) or " A file of weights ends in .pt or .pth."
                    problems.add(place, f"{show(name)} is built upon {show(source)}, which is not a row here.{hint}")
                sound = False
            elif known[source].settings.joined:
                text = f"{show(name)} is built upon {show(source)}, which joins others and has no weights of its own."
                problems.add(place, f"{text} Name one of {', '.join(known[source].settings.joined)}.")
                sound = False
            elif (below := link(source, (*way, name))) is None:
                sound = False
            else:
                sources[source] = below
        linked[name] = settings.replace(sources=sources) if sound else None
        return linked[name]

    found = []
    for variant in variants:
        settings = link(variant.name, ())
        found.append(replace(variant, settings=settings) if settings is not None else variant)
    return found


def needed_rows(variants: Sequence[Variant], kept: Sequence[Variant]) -> tuple[Variant, ...]:
    """The rows that the kept ones are built upon and that are not among them, in the recipe's order."""
    names: set[str] = set()

    def look(settings: Settings) -> None:
        for name, below in settings.sources.items():
            names.add(name)
            look(below)

    for variant in kept:
        look(variant.settings)
    chosen = {variant.name for variant in kept}
    return tuple(variant for variant in variants if variant.name in names - chosen)

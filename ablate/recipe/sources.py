"""Variants that require other variants: to combine their predictions, or to start from their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ablate.recipe.node import Problems, show
from ablate.recipe.problems import Position
from ablate.recipe.replay import Tree
from ablate.recipe.settings import Settings, trainer_choice
from ablate.recipe.shape import Shape, did_you_mean, unknown_variant
from ablate.recipe.variant import Variant

JOINED = "cannot be used with 'joined': such a variant is not trained, but evaluated on the data of 'from'."


@dataclass
class Places:
    """The positions at which variants refer to others, for messages: variant → source → position."""

    named: dict[str, dict[str, Position]] = field(default_factory=dict)

    def note(self, row: str, joined: Mapping[str, Position], tree: Tree) -> None:
        """Record the positions of a variant's ``joined`` and of its tricks' ``source``."""
        here = self.named.setdefault(row, dict(joined))
        for item in tree.tricks.values():
            node = item.arguments.child("source")
            if node is not None and node.text is not None:
                here[node.text] = node.position


def read_joined(shape: Shape, problems: Problems) -> dict[str, Position]:
    """``joined: [eyes, nose]`` of a variant: names with their positions; empty if there is none."""
    found: dict[str, Position] = {}
    for node in shape.items("joined", "[eyes, nose]"):
        if not node.text:
            problems.wrong(node, shape.where("joined"), "must list names of variants.")
        elif node.text in found:
            problems.add(node.position, f"{shape.where('joined')} lists {show(node.text)} twice. Remove one of them.")
        else:
            found[node.text] = node.position
    if "joined" in shape.entries and not found and not (shape.get("joined") and problems.all()):
        problems.add(shape.node.key_position("joined"), f"{shape.where('joined')} must list at least one variant.")
    for key in ("add", "remove", "set", "for", "zip"):
        if found and key in shape.entries:
            problems.add(shape.node.key_position(key), f"{shape.where(key)} {JOINED}")
    return found


def as_joined(settings: Settings, members: Sequence[str]) -> Settings:
    """The settings of a variant with ``joined``: data, loss and metrics of its parent, without training."""
    trainer = trainer_choice("joined", members=tuple(members))
    return settings.replace(trainer=trainer, tricks=(), watch=(), epochs=1, select="last")


def link_sources(variants: Sequence[Variant], rows: Sequence[str], places: Places, problems: Problems) -> list[Variant]:
    """The variants, with the settings of all variants that they require as ``sources``.

    References to unknown variants, to variants with ``joined``, and circular references are problems.
    """
    known = {variant.name: variant for variant in variants}
    linked: dict[str, Settings | None] = {}

    def link(name: str, way: tuple[str, ...]) -> Settings | None:
        if name in linked:
            return linked[name]
        settings = known[name].settings
        sources: dict[str, Settings] = {}
        for source in settings.source_rows:
            place = places.named.get(name, {}).get(source, known[name].position)
            weights = source not in settings.joined
            subject = f"{show(name)}: {'source' if weights else 'joined'} (={show(source)})"
            if source in (*way, name):
                circle = " → ".join([*(*way, name)[(*way, name).index(source) :], source])
                problems.add(place, f"{subject} must not depend on {show(name)} itself: {circle}.")
            elif source not in known:
                if source not in rows:
                    others = [row for row in rows if row != name]
                    hint = " Names of weight files must end in .pt, .pth, .ckpt or .safetensors." if weights else ""
                    hint = "" if did_you_mean(source, others) else hint
                    problems.add(place, f"{subject} {unknown_variant(others)}{hint}")
            elif members := known[source].settings.joined:
                rule = "must be a variant that is trained, but has 'joined'."
                problems.add(place, f"{subject} {rule} Available: {', '.join(members)}.")
            elif (below := link(source, (*way, name))) is not None:
                sources[source] = below
        sound = len(sources) == len(settings.source_rows)
        linked[name] = settings.replace(sources=sources) if sound else None
        return linked[name]

    return [replace(variant, settings=link(variant.name, ()) or variant.settings) for variant in variants]


def needed_rows(variants: Sequence[Variant], kept: Sequence[Variant]) -> tuple[Variant, ...]:
    """The variants that the kept ones require and that are not among them, in the recipe's order."""
    names: set[str] = set()

    def look(settings: Settings) -> None:
        for name, below in settings.sources.items():
            names.add(name)
            look(below)

    for variant in kept:
        look(variant.settings)
    names -= {variant.name for variant in kept}
    return tuple(variant for variant in variants if variant.name in names)

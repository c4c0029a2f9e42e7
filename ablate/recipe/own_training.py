"""Variants that the user's own code trains: the sections that they may have, their arguments and their metrics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from ablate.recipe.entries import Item, read_item
from ablate.recipe.node import Node, Problems, show
from ablate.recipe.problems import Position
from ablate.recipe.replay import SECTIONS, Tree
from ablate.recipe.settings import Choice, Reported
from ablate.recipe.shape import did_you_mean
from ablate.registry import entries


class OwnTraining(Protocol):
    """What the recipe asks a trainer that runs the user's own code."""

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that it uses, beside ``args`` and ``metrics``."""

    @property
    def reading(self) -> Mapping[str, Any] | None:
        """How the metrics are read from what the code writes, as plain JSON values; None if the code reports them. It
        is no part of the fingerprint: if it changes, they are read again.
        """

    def deciding(self) -> dict[str, Any]:
        """What of its own settings affects the result, as plain JSON values."""

    def code_digests(self, folder: Path) -> dict[str, Any]:
        """Hashes of the user's code in ``folder`` that it runs, by target or file. Raises ValueError."""

    def code_files(self, folder: Path) -> set[Path]:
        """The user's files in `code_digests`. Raises ValueError."""

    def ignores_epochs(self, folder: Path) -> str | None:
        """Why ``epochs`` has no effect, as the end of a sentence; None if the code in ``folder`` may use it."""


def own_training(trainer: Choice) -> OwnTraining | None:
    """The trainer, if it runs the user's own code."""
    return trainer.options if getattr(trainer.options, "settings", None) is not None else None  # type: ignore[return-value]


def trainer_item(tree: Tree, problems: Problems) -> Item | None:
    """``trainer: {target: train:main}``; the built-in loop if there is none. None, and a problem, if it is invalid.

    A trainer can be named by a setting that only it has: ``{command: …, read: …}`` is ``{name: command, command: …}``.
    """
    node = tree.sections.get("trainer")
    if node is None:
        return Item("loop", None, Node({}, Position("")), Position(""))
    known = [entry.name for entry in entries("trainer") if entry.name != "joined"]
    if node.mapping is not None and "args" in node.mapping:
        problems.add(node.key_position("args"), "trainer.args is not allowed. Write 'args' under 'baseline'.")
        return None
    if node.mapping is not None and "name" not in node.mapping:
        named = [key for key in node.mapping if key in known]
        if not named:
            hint = next((hint for key in node.mapping if (hint := did_you_mean(key, ("name", *known)))), "")
            problems.wrong(node, "trainer", f"must have 'target', 'command' or 'name'.{hint}")
            return None
        return Item(named[0], None, node, node.key_position(named[0]))
    item = read_item(node, "trainer", "trainer", problems)
    if item is not None and item.name not in known:
        target = f" Write trainer: {{target: {item.key}}}." if ":" in item.key else ""
        problems.add(item.position, f"trainer (={show(item.key)}) must be one of {', '.join(known)}.{target}")
        return None
    return item


def check_sections(tree: Tree, trainer: Choice, rules: OwnTraining, problems: Problems) -> None:
    """Report the sections and tricks that have no meaning for the user's own training."""
    for name, node in tree.sections.items():
        if name in SECTIONS and name not in ("trainer", "args", "metrics", *rules.settings):
            what = f"{name} cannot be used with trainer (={trainer.label})"
            problems.add(node.position, f"{what}, which trains with your own code. Remove it, or pass it in 'args'.")
    for item in tree.tricks.values():
        what = f"trick (={show(item.key)}) cannot be used with trainer (={trainer.label})"
        problems.add(item.position, f"{what}, which trains with your own code. Change 'args' instead.")


def read_args(node: Node | None, problems: Problems) -> dict[str, Any]:
    """The arguments of the user's own training, as plain values."""
    if node is None or node.value is None:
        return {}
    if node.mapping is None:
        problems.wrong(node, "args", "must be a mapping, such as {lr: 0.1}.")
        return {}
    plain = node.plain()
    return dict(plain) if isinstance(plain, Mapping) else {}


def read_reported(node: Node | None, problems: Problems) -> tuple[Choice, ...]:
    """Metrics that the user's own training reports: ``[accuracy, {name: bleu, better: higher}]``.

    Names of built-in metrics bring their direction. Losses may be listed, but are always shown.
    """
    if node is None or node.value is None:
        return ()
    if node.items is None:
        problems.wrong(node, "metrics", "must be a list, such as [accuracy].")
        return ()
    known = {entry.name: getattr(entry.settings, "better", None) for entry in entries("metric")}
    found: dict[str, Choice] = {}
    for i, one in enumerate(node.items):
        where = f"metrics[{i}]"
        item = read_item(one, where, "metric", problems)
        if item is None:
            continue
        if item.name is None:
            problems.add(item.position, f"{where}.target is not supported: your own code computes the metrics.")
            continue
        given = item.arguments.child("better")
        for key in item.arguments.mapping or ():
            if key != "better":
                rule = "is not a setting of a metric that your own code computes. Only 'better' is."
                problems.add(item.arguments.key_position(key), f"{where}.{key} {rule}")
        if given is not None and given.text not in ("lower", "higher"):
            problems.wrong(given, f"{where}.better", "must be lower or higher.")
            continue
        if item.name in found:
            problems.add(item.position, f"{where} (={show(item.name)}) is listed twice. Remove one of them.")
        better = given.text if given is not None else known.get(item.name)
        options = Reported.model_validate({"better": better})
        if item.name not in ("train_loss", "valid_loss"):
            found[item.name] = Choice("metric", item.name, None, options)
    return tuple(found.values())

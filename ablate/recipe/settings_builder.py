"""Builds `Settings` from a tree of nodes: each section is validated by its registry class; errors have positions."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ablate.recipe.batch_rules import odd_batch
from ablate.recipe.changes import check_length
from ablate.recipe.entries import Item, mapped_arguments, read_item
from ablate.recipe.measured import LOSSES, Monitored
from ablate.recipe.node import Node, Problems, show
from ablate.recipe.own_arguments import scheduled
from ablate.recipe.own_training import (
    OwnTraining,
    check_sections,
    own_training,
    read_args,
    read_reported,
    trainer_item,
)
from ablate.recipe.problems import Position
from ablate.recipe.replay import Tree
from ablate.recipe.settings import Choice, Settings, Training
from ablate.recipe.shape import did_you_mean
from ablate.recipe.targets import target_rule
from ablate.recipe.validation_errors import complain
from ablate.registry import Named, UnknownName, entries, inside, lookup

LISTED = {"metrics": ("metric", "accuracy"), "watch": ("watch", "gradient_norm")}
"""Lists of entries: their kind, and an example."""

USUAL_ORDER = 50
"""The hook order of a target, whose own order is known only in the job."""

EXAMPLES = {
    "data": "data: digits",
    "model": "model: mlp",
    "loss": "loss: mse",
    "optimizer": "optimizer: {name: sgd, lr: 0.01}",
}


@dataclass(frozen=True)
class Builder:
    """Builds settings for one recipe.

    ``folder`` is the recipe's; paths in ``--set`` are relative to ``flag_folder``. ``gone`` collects missing files with
    a message each; if it is None, they are problems.
    """

    folder: Path
    scale: float
    flag_folder: Path
    problems: Problems
    gone: dict[Path, str] | None = None

    @property
    def _context(self) -> dict[str, Any]:
        """What pydantic's validators need to know."""
        return {"scale": self.scale, "folder": self.folder}

    def build(self, tree: Tree, position: Position, where: str) -> Settings | None:
        """The settings of a tree, None (and problems) if it is invalid. ``position`` and ``where``: of the variant.

        Missing sections are reported for the baseline only.
        """
        place = position if where == "baseline" else None
        item = trainer_item(tree, self.problems)
        trainer = None if item is None else self._choice("trainer", item, item.arguments, "trainer")
        if trainer is None:
            return None
        if (own := own_training(trainer)) is not None:
            return self._own(own, trainer, tree)
        if (node := tree.sections.get("args")) is not None:
            way = "Add one, such as trainer: {target: train:main}, or remove 'args'."
            self.problems.add(node.position, f"args requires a trainer of your own. {way}")
        choices = {name: self._section(name, tree, place) for name in Settings.CHOICES}
        metrics = self._listed("metrics", tree.sections.get("metrics"))
        watch = self._listed("watch", tree.sections.get("watch"))
        tricks = {key: self._trick(item, tree, metrics) for key, item in tree.tricks.items()}
        training = self._training(tree, metrics)
        check_length(tree.sections, self.problems)
        collate = training.batch.collate_choice if training is not None else None
        if training is not None and (odd := odd_batch(training, choices)) is not None:
            self.problems.add(tree.sections[odd[0]].position, odd[1])
            return None
        if collate is not None and (rule := target_rule(str(collate.target), self.folder)) is not None:
            written = tree.sections["batch"].child("collate") or tree.sections["batch"]
            self.problems.add(written.position, f"batch.collate.target (={show(collate.target)}) {rule}")
            return None
        if metrics is not None and watch is not None:
            self._check_watched(tree.sections.get("watch"), metrics, watch)
        wrong = None in choices.values() or None in tricks.values()
        if wrong or training is None or metrics is None or watch is None:
            return None
        plain = {name: getattr(training, name) for name in Training.model_fields}
        present = tuple(trick for trick in tricks.values() if trick is not None)
        settings = Settings(
            trainer=trainer, **choices, metrics=metrics, watch=watch, tricks=in_hook_order(present), **plain
        )
        return self._apply_rules(settings if training.steps is None else settings.replace(epochs=0), tree)

    def _own(self, rules: OwnTraining, trainer: Choice, tree: Tree) -> Settings | None:
        """The settings of a variant that the user's own code trains."""
        count = len(self.problems)
        check_sections(tree, trainer, rules, self.problems)
        target = getattr(rules, "target", None)
        if target is not None and (rule := target_rule(target, self.folder)) is not None:
            self.problems.add(tree.sections["trainer"].position, f"trainer.target (={show(target)}) {rule}")
        metrics = read_reported(tree.sections.get("metrics"), self.problems)
        args = read_args(tree.sections.get("args"), self.problems)
        kept = {name: node for name, node in tree.sections.items() if name in rules.settings}
        training = self._training(replace(tree, sections=kept), metrics)
        if "epochs" in kept and training is not None and (rule := rules.ignores_epochs(self.folder)) is not None:
            self.problems.add(kept["epochs"].position, f"epochs (={training.epochs}) {rule}")
        if training is not None and not float(training.epochs).is_integer():
            self.problems.wrong(kept["epochs"], "epochs", "must be an integer if your own code trains.")
        if training is None or len(self.problems) > count:
            return None
        plain = {name: getattr(training, name) for name in Training.model_fields}
        absent = {kind: Choice(kind, None, None, {}) for kind in Settings.CHOICES}
        settings = Settings(trainer=trainer, args=args, metrics=metrics, **absent, **plain)
        return settings if "epochs" in kept else settings.replace(epochs=0)

    def _section(self, name: str, tree: Tree, position: Position | None) -> Choice | None:
        node = tree.sections.get(name)
        if node is None or node.value is None:
            text = f"{name} is required. Add it under 'baseline', for example: {EXAMPLES.get(name, name)}."
            if (place := position if node is None else node.position) is not None:
                self.problems.add(place, text)
            return None
        if node.mapping is None:
            self.problems.wrong(node, name, "must be a name, or a mapping with 'name' or 'target'.")
            return None
        if not {"name", "target"} & node.mapping.keys():
            near = next((key for key in node.mapping if any(entry.name == key for entry in entries(name))), None)
            hint = f" Write {{name: {near}, …}}." if near else ""
            for key in node.mapping:
                hint = hint or did_you_mean(key, ("name", "target"))
            hint = hint or f" To change one setting, set {name}.{next(iter(node.mapping), 'SETTING')}."
            self.problems.wrong(node, name, f"must have 'name' or 'target'.{hint}")
            return None
        item = read_item(node, name, name, self.problems)
        return None if item is None else self._choice(name, item, item.arguments, name)

    def _listed(self, key: str, node: Node | None) -> tuple[Choice, ...] | None:
        """The entries of ``metrics`` or ``watch``."""
        if node is None or node.value is None:
            return ()
        kind, example = LISTED[key]
        if node.items is None:
            self.problems.wrong(node, key, f"must be a list, such as [{example}].")
            return None
        choices: list[Choice | None] = []
        labels: set[str] = set()
        for i, one in enumerate(node.items):
            item = read_item(one, f"{key}[{i}]", kind, self.problems)
            if item is not None and kind == "watch" and item.target is not None:
                way = "Compute the quantity in a custom trick, or register a tracked metric."
                self.problems.add(item.position, f"{key}[{i}].target (={show(item.target)}) is not supported. {way}")
                item = None
            arguments = mapped_arguments(kind, item, f"{key}[{i}]", self.problems) if item is not None else None
            if item is None or arguments is None:
                choices.append(None)
                continue
            if item.label in labels or item.label in LOSSES:
                rule = (
                    "is always computed. Remove it." if item.label in LOSSES else "is listed twice. Remove one of them."
                )
                self.problems.add(item.position, f"{key}[{i}] (={show(item.label)}) {rule}")
            labels.add(item.label)
            choices.append(self._choice(kind, item, arguments, f"{key}[{i}]"))
        present = tuple(choice for choice in choices if choice is not None)
        return present if len(present) == len(choices) else None

    def _check_watched(self, node: Node | None, metrics: tuple[Choice, ...], watch: tuple[Choice, ...]) -> None:
        """Tracked metrics must not have the name of a metric, and can only use existing metrics."""
        known = (*LOSSES, *(choice.label for choice in metrics))
        for i, choice in enumerate(watch):
            place = (node.child(str(i)) if node is not None else None) or node
            assert place is not None
            for name in getattr(choice.options, "names", ()):
                if name in known:
                    rule = f"tracks {show(name)}, which is already a metric. Remove one of them."
                    self.problems.add(place.position, f"watch[{i}] (={show(choice.label)}) {rule}")
            metric = getattr(choice.options, "metric", None)
            if metric is not None and metric not in known:
                rule = f"must be one of {', '.join(known)}.{did_you_mean(metric, known)}"
                self.problems.add(place.position, f"watch[{i}].metric (={show(metric)}) {rule}")

    def _trick(self, item: Item, tree: Tree, metrics: tuple[Choice, ...] | None) -> Choice | None:
        choice = self._choice("trick", item, item.arguments, f"tricks.{item.label}")
        if choice is None or metrics is None:
            return choice
        return self._monitored(tree, metrics).in_trick(choice, item.arguments)

    def _monitored(self, tree: Tree, metrics: tuple[Choice, ...]) -> Monitored:
        clean = tree.sections.get("clean_train_loss")
        return Monitored(metrics, clean=clean is not None and clean.value == "every", problems=self.problems)

    def _choice(self, kind: str, item: Item, arguments: Node, path: str) -> Choice | None:
        if item.target is not None:
            rule = target_rule(item.target, self.folder)
            if rule is not None:
                self.problems.add(item.position, f"{path}.target (={show(item.target)}) {rule}")
                return None
            plain = arguments.plain()
            if kind == "optimizer":
                try:
                    plain = scheduled(plain, self._context)
                except ValidationError as error:
                    complain(error, Named, arguments, path, item.target, self.problems)
                    return None
            return Choice(kind, None, item.target, plain)
        assert item.name is not None
        try:
            entry = lookup(kind, item.name)
        except UnknownName as unknown:
            subject = "trick" if kind == "trick" else path
            self.problems.add(item.position, f"{subject} (={show(item.name)}) {unknown}")
            return None
        options = self._checked(entry.settings, arguments, path, item.name)
        return None if options is None else Choice(kind, item.name, None, options)

    def _checked(self, model: type[Named], node: Node, path: str, owner: str) -> Named | None:
        """The validated settings of an entry, with its files resolved; None, and problems, if they are invalid."""
        plain = node.plain()
        try:
            options = validate(model, plain, self._context)
            if from_flags := [keys for keys, _ in files(options) if self._from_flag(node, keys)]:
                for keys in from_flags:
                    below = reduce(getitem, keys[:-1], plain)
                    below[keys[-1]] = str(self.flag_folder / os.path.expanduser(below[keys[-1]]))
                options = validate(model, plain, self._context)
        except ValidationError as error:
            complain(error, model, node, path, owner, self.problems)
            return None
        there = True
        for keys, file in files(options):
            folder = file.is_dir() and getattr(model, "needs_file", False)
            if file.exists() and not folder:
                continue
            written = _find(node, keys)
            value = show(written if written is not None else str(file))
            subject = f"{'.'.join([path, *(str(key) for key in keys)])} (={value})"
            if self.gone is not None and not folder:
                self.gone.setdefault(
                    file, f"{subject} does not exist. Showing runs trained on its last known contents."
                )
                continue
            there = False
            hint = getattr(model, "missing_hint", "") or "Check the path, which is relative to the recipe's folder."
            rule = "must be a file, but is a folder." if folder else f"does not exist. {hint}"
            self.problems.add((written or node).position, f"{subject} {rule}")
        return options if there else None

    def _from_flag(self, node: Node, keys: tuple[str | int, ...]) -> bool:
        written = _find(node, keys)
        return written is not None and written.position.source.startswith("--set ")

    def _training(self, tree: Tree, metrics: tuple[Choice, ...] | None) -> Training | None:
        nodes = {name: node for name, node in tree.sections.items() if name in Training.model_fields}
        node = Node(nodes, Position(""), {name: below.position for name, below in nodes.items()})
        plain = node.plain()
        monitor = nodes.get("monitor")
        metric = monitor.child("metric") if monitor is not None and monitor.mapping is not None else None
        if metrics is not None and metric is not None and metric.text is not None:
            given = plain["monitor"].get("better")
            direction = self._monitored(tree, metrics).direction(metric, given, "monitor")
            if direction is None:
                return None
            plain["monitor"]["better"] = direction
        try:
            return Training.model_validate_json(json.dumps(plain), strict=True, context=self._context)
        except ValidationError as error:
            complain(error, Training, node, "", "a variant", self.problems)
            return None

    def _apply_rules(self, settings: Settings, tree: Tree) -> Settings | None:
        """Let the built-in tricks change the settings, in hook order; equal ones in the recipe's order."""
        named = [trick for trick in settings.tricks if isinstance(trick.options, Named)]
        rank = {key: i for i, key in enumerate(tree.tricks)}
        for trick in sorted(named, key=lambda trick: (hook_order(trick), rank[str(trick.name)])):
            rule = getattr(trick.options, "on_settings", None)
            if rule is None:
                continue
            try:
                settings = rule(settings)
            except (ValueError, TypeError) as error:  # NoEffect, or a target instead of a built-in entry
                text = " ".join(str(error).split())
                self.problems.add(tree.tricks[str(trick.name)].position, f"tricks.{trick.name}: {text}")
                return None
        return settings.replace(tricks=in_hook_order(settings.tricks))


def validate(model: type[Named], plain: Any, context: dict[str, Any]) -> Named:
    """Plain values as settings, with strict types, but lists for tuples. Raises ValidationError."""
    try:
        return model.model_validate_json(json.dumps(plain), strict=True, context=context)
    except ValidationError as error:
        # after a class's own "before" validator, pydantic does not accept lists for tuples as it does in JSON
        if not any(e["type"] == "tuple_type" and isinstance(e["input"], list) for e in error.errors(include_url=False)):
            raise
    return model.model_validate(_tuples(plain), strict=True, context=context)


def _tuples(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: _tuples(value) for key, value in plain.items()}
    return tuple(_tuples(value) for value in plain) if isinstance(plain, list) else plain


def hook_order(trick: Choice) -> int:
    """The order in which a trick's hooks are called among those of other tricks."""
    return int(getattr(trick.options, "order", USUAL_ORDER)) if isinstance(trick.options, Named) else USUAL_ORDER


def in_hook_order(tricks: Iterable[Choice]) -> tuple[Choice, ...]:
    """Tricks in the order of the engine's calls; equal ones sorted by name, so that a recipe's order has no effect."""
    return tuple(sorted(tricks, key=lambda trick: (hook_order(trick), trick.name or "", trick.target or "")))


def files(settings: Any) -> Iterator[tuple[tuple[str | int, ...], Path]]:
    """Every file in the settings, with the keys that lead to it."""
    return ((keys, value) for keys, value in inside(settings) if isinstance(value, Path))


def _find(node: Node, keys: tuple[str | int, ...]) -> Node | None:
    found: Node | None = node
    for key in keys:
        found = found.child(key) if found is not None else None
    return found

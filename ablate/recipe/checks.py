"""The section ``checks`` of a recipe: checks before training with other settings, and the user's own."""

from __future__ import annotations

from ablate.recipe.entries import mapped_arguments, read_item
from ablate.recipe.node import Node, show
from ablate.recipe.settings import Choice
from ablate.recipe.settings_builder import Builder


class CheckBuilder(Builder):
    """Builds the checks of one recipe."""

    def checks(self, node: Node | None) -> tuple[Choice, ...]:
        """The entries of ``checks``: built-in checks with other settings, and the user's own."""
        if node is None or node.value is None:
            return ()
        if node.items is None:
            self.problems.wrong(node, "checks", "must be a list, such as [{labels: false}].")
            return ()
        found: dict[str, Choice] = {}
        for i, one in enumerate(node.items):
            item = read_item(one, path := f"checks[{i}]", "check", self.problems)
            arguments = mapped_arguments("check", item, path, self.problems) if item is not None else None
            choice = self._choice("check", item, arguments, path) if item is not None and arguments else None
            if item is not None and item.key in found:
                self.problems.add(item.position, f"{path} (={show(item.label)}) is listed twice. Remove one of them.")
            if item is not None and choice is not None:
                found[item.key] = choice
        return tuple(found.values())

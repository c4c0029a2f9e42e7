"""How a table is shown in a paper."""

from __future__ import annotations

from dataclasses import dataclass

PARTS = ("pm", "bold", "stars", "groups")
"""The parts of ``paper``."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a table is shown.

    ``pm``: ``0.091 ± 0.008`` in the cells of losses and metrics, without a column of standard deviations. ``bold``: the
    best results of the compared metric (`Row.best`). ``stars``: marks of adjusted p-values. ``groups``: rules between
    rows with different parents. ``caption`` and ``label`` are those of LaTeX.
    """

    pm: bool = False
    bold: bool = False
    stars: bool = False
    groups: bool = False
    caption: str | None = None
    label: str | None = None

    @classmethod
    def of(cls, text: str | None, caption: str | None = None, label: str | None = None) -> Style:
        """The style of a comma-separated list of `PARTS`, or ``paper`` for all of them. Raises ValueError."""
        from ablate.recipe.shape import did_you_mean
        from ablate.report.columns import ArgumentError

        names = [part.strip() for part in (text or "").split(",") if part.strip()]
        for name in names:
            if name not in (*PARTS, "paper"):
                known = ", ".join(("paper", *PARTS))
                hint = did_you_mean(name, ("paper", *PARTS))
                raise ArgumentError(f"style (={name}) must be one or several of {known}.{hint}")
        chosen = {name: True for name in (PARTS if "paper" in names else names)}
        return cls(**chosen, caption=caption, label=label)


PLAIN = Style()

"""The end of a publication, told to the user."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from ablate.cli.console import messages, say

if TYPE_CHECKING:
    from ablate.recipe import Recipe
    from ablate.tracker.background import Background
    from ablate.tracker.publish import Rendering


def publish_rest(publisher: Background, rendering: Rendering, recipe: Recipe) -> bool:
    """Publish what is still missing after training; False where Ctrl-C ended it. What went wrong is one line on stderr."""
    later = shlex.join(["ablate", "sync", str(recipe.path), *recipe.selection, *same_places(sys.argv[1:])])

    def waiting() -> None:
        if messages().is_terminal:
            say(f"publishing to {publisher.address.shown} …")

    try:
        published = publisher.finish(rendering, waiting=waiting)
    except KeyboardInterrupt:
        say(f"interrupted while publishing to {publisher.address.shown}. Publish the rest with: {later}")
        return False
    if not published.ok:
        say(f"{published.reason} Nothing is lost; publish the rest with: {later}")
    return True


def same_places(words: list[str]) -> list[str]:
    """The options of a command line that say where runs and MLflow are."""
    kept: list[str] = []
    for option in ("--runs", "--tracking-uri"):
        for i, word in enumerate(words):
            if word.startswith(f"{option}="):
                kept.append(word)
            elif word == option and i + 1 < len(words):
                kept += [option, words[i + 1]]
    return kept

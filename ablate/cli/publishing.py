"""The end of a publication, told to the user."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.cli.console import messages, say
from ablate.cli.flags import flag_of

if TYPE_CHECKING:
    from ablate.recipe import Recipe
    from ablate.tracking.publish import Rendering
    from ablate.tracking.publisher import Background


def publish_rest(
    publisher: Background, rendering: Rendering, recipe: Recipe, runs: Path, tracking_uri: str | None
) -> bool:
    """Publish what is still missing after training; False where Ctrl-C ended it. What went wrong is one line on stderr, with the command that publishes
    later; a password in the tracking URI is left out of it."""
    shown = publisher.address.shown
    place = ["--tracking-uri", shown] if tracking_uri else []
    later = shlex.join(["ablate", "sync", str(recipe.path), *recipe.selection, *flag_of(runs), *place])

    def waiting() -> None:
        if messages().is_terminal:
            say(f"publishing to {shown} …")

    from ablate.execution.signals import ended_by_signals

    try:
        with ended_by_signals():
            published = publisher.finish(rendering, waiting=waiting)
    except KeyboardInterrupt:
        say(f"interrupted while publishing to {shown}. Publish the rest with: {later}")
        return False
    if not published.ok:
        say(f"{published.reason} Nothing is lost; publish the rest with: {later}")
    return True

"""The last publication after training, and what is printed about it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.cli.console import messages, say
from ablate.cli.options import flag_of

if TYPE_CHECKING:
    from ablate.recipe import Recipe
    from ablate.tracking.publish import Rendering
    from ablate.tracking.publisher import Publisher


def publish_rest(
    publisher: Publisher, rendering: Rendering, recipe: Recipe, *, runs: Path, tracking_uri: str | None
) -> bool:
    """Publish what is missing after training; False if Ctrl-C ended it.

    An error is one line on stderr with the command that publishes later, without the password of a tracking URI.
    """
    shown = publisher.address.shown
    place = ["--tracking-uri", shown] if tracking_uri else []
    later = shlex.join(["ablate", "sync", str(recipe.path), *recipe.selection, *flag_of(runs), *place])

    def waiting() -> None:
        if messages().is_terminal:
            say(f"Publishing to {shown} …")

    from ablate.execution.shutdown import ended_by_signals

    try:
        with ended_by_signals():
            published = publisher.finish(rendering, waiting=waiting)
    except KeyboardInterrupt:
        say(f"Publishing to {shown} was interrupted. Resume with: {later}")
        return False
    if not published.ok:
        say(f"{published.reason} All results are saved locally. Publish them later with: {later}")
    return True

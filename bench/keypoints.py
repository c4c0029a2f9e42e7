"""``python -m bench.keypoints FACES``: the keypoint studies on real faces (an .npz of images, keypoints and person),
into docs/keypoints.md.

Tables and pictures are written between the page's marks; what stands around them is read by people and written by them.
No picture shows a real face.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from ablate.api import RunOptions, run
from ablate.execution.events import Event, RunEnded
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.report.formats import render
from ablate.report.pictures import picture
from ablate.store.store import Store

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "keypoints.md"
STUDIES = {"ladder": (), "specialists": ("data.lacking=kaggle",), "leak": ()}
"""The recipes in recipes/keypoints, and what each is told of real faces beside their path."""


def main(words: Sequence[str] | None = None) -> int:
    """Train what is missing of the named studies and write their tables and pictures."""
    parser = argparse.ArgumentParser(prog="python -m bench.keypoints", description=__doc__)
    parser.add_argument("faces", type=Path, help="an .npz of images, keypoints and person")
    parser.add_argument("studies", nargs="*", help=f"of {', '.join(STUDIES)}; without any, all of them")
    parser.add_argument("--jobs", type=int, default=None, help="processes at once")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    given = parser.parse_args(words)
    for name in given.studies or STUDIES:
        if name not in STUDIES:
            print(f"study (={name}) must be one of {', '.join(STUDIES)}.")
            return 2
        table, effects = trained(name, given.faces, given.runs, RunOptions(jobs=given.jobs))
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), name, table), encoding="utf-8")
        PAGE.with_name(f"keypoints-{name}.svg").write_bytes(effects)
        print(table)
    return 0


def trained(name: str, faces: Path, runs: Path, options: RunOptions) -> tuple[str, bytes]:
    """A study's table and the picture of its effects."""
    sets = (f"data.path={faces}", *STUDIES[name])
    recipe = Recipe.load(ROOT / "recipes" / "keypoints" / f"{name}.yaml", sets=sets)
    table = run(recipe, root=runs, options=options, listen=said)
    store = Store(runs.absolute())
    return render(table, "md"), picture("effects", make_plan(recipe, store).record(), store, lambda: table, "svg")


def said(event: Event) -> None:
    """One line for each run that ends."""
    if isinstance(event, RunEnded) and event.status == "finished":
        print(f"{event.variant} seed {event.seed}", flush=True)


def with_table(page: str, name: str, table: str) -> str:
    """The page with the table between a study's marks replaced. Raises ValueError where they are missing."""
    found, n = re.subn(
        rf"(<!-- table: {name} -->\n).*?(<!-- end -->)",
        lambda m: f"{m[1]}\n{table.strip()}\n\n{m[2]}",
        page,
        flags=re.S,
    )
    if n != 1:
        raise ValueError(f"docs/keypoints.md has {n} places for the table {name}; it must have one.")
    return found


if __name__ == "__main__":
    raise SystemExit(main())

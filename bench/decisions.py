"""Whether looks decide as 40 seeds do, on real trainings: digits with 120 validation images, and faces.

Every variant is trained with 40 seeds. The verdicts of all 40 are the reference. Then the study is judged again as if it had
been trained with looks at 5, 8, 12 and 20 seeds of the same runs, and with the other options of `WAYS`.
``python -m bench.decisions [FACES]`` (an .npz of faces; drawn ones without it) writes bench/RESULTS-decisions.md. About 20
minutes on two cores; runs are kept in ``.ablate/decisions``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.api import run
from ablate.evidence.gather import compared
from ablate.evidence.seeds import Seeds
from ablate.evidence.sequential import contrasts_of, follow
from ablate.evidence.table import Table
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.recipe.looks import Looks
from ablate.store.store import Store
from bench.measure import machine

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".ablate" / "decisions"
SEEDS = 40
LOOKS = Looks.between(5, 20)

DIGITS = """
study: decisions-digits
data: {name: digits, valid: 0.0668}
seeds: 40
metrics: [accuracy]
compare: {metric: valid_loss}
baseline:
  name: base
  model: {name: mlp, hidden: [32]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.02, momentum: 0.9}
  batch_size: 64
  epochs: 8
variants:
  - {name: no momentum, from: base, set: {optimizer.momentum: 0.0}}
  - {name: nesterov, from: base, set: {optimizer.nesterov: true}}
  - {name: lr 0.04, from: base, set: {optimizer.lr: 0.04}}
  - {name: lr 0.01, from: base, set: {optimizer.lr: 0.01}}
  - {name: wide, from: base, set: {model: {name: mlp, hidden: [64]}}}
  - {name: deep, from: base, set: {model: {name: mlp, hidden: [32, 32]}}}
  - {name: dropout, from: base, add: [{dropout: {hidden: 0.2}}]}
  - {name: batch norm, from: base, add: [batch_norm]}
  - {name: smoothing, from: base, add: [{label_smoothing: {epsilon: 0.05}}]}
  - {name: decay, from: base, set: {optimizer.weight_decay: 0.001}}
  - {name: strong decay, from: base, set: {optimizer.weight_decay: 0.02}}
  - {name: shift, from: base, add: [{shift: {pixels: 1}}]}
  - {name: he, from: base, set: {init: he_normal}}
  - {name: xavier, from: base, set: {init: xavier_uniform}}
  - {name: batch 32, from: base, set: {batch_size: 32}}
  - {name: ema, from: base, add: [{ema: {decay: 0.98}}]}
  - {name: clipping, from: base, add: [{clip_norm: {limit: 1.0}}]}
  - {name: tanh, from: base, add: [{activation: {kind: tanh}}]}
  - {name: batch 63, from: base, set: {batch_size: 63}}
  - {name: batch 65, from: base, set: {batch_size: 65}}
  - {name: dropout 0.005, from: base, add: [{dropout: {hidden: 0.005}}]}
  - {name: lr 0.0202, from: base, set: {optimizer.lr: 0.0202}}
"""

FACES = """
study: decisions-faces
data: {name: facial_keypoints, size: 24, group: person, valid: 0.08}
seeds: 40
metrics: [rmse_pixels]
compare: {metric: rmse_pixels}
baseline:
  name: net1
  model: {name: mlp, hidden: [50]}
  loss: mse
  optimizer: {name: adam, lr: 0.001}
  batch_size: 64
  epochs: 6
  add: [standardise]
variants:
  - {name: wide, from: net1, set: {model: {name: mlp, hidden: [100]}}}
  - {name: flip, from: net1, add: [flip]}
  - {name: dropout, from: net1, add: [{dropout: {hidden: 0.1}}]}
  - {name: lr 0.002, from: net1, set: {optimizer.lr: 0.002}}
  - {name: lr 0.0014, from: net1, set: {optimizer.lr: 0.0014}}
  - {name: decay, from: net1, set: {optimizer.weight_decay: 0.0001}}
  - {name: batch 32, from: net1, set: {batch_size: 32}}
  - {name: longer, from: net1, set: {epochs: 9}}
  - {name: longer + flip, from: longer, add: [flip]}
  - {name: longer + dropout, from: longer, add: [{dropout: {hidden: 0.1}}]}
  - {name: ema, from: net1, add: [{ema: {decay: 0.98}}]}
  - {name: batch norm, from: net1, add: [batch_norm]}
  - {name: he, from: net1, set: {init: he_normal}}
  - {name: batch 63, from: net1, set: {batch_size: 63}}
  - {name: batch 65, from: net1, set: {batch_size: 65}}
  - {name: dropout 0.005, from: net1, add: [{dropout: {hidden: 0.005}}]}
"""


@dataclass(frozen=True)
class Decision:
    """A comparison: the verdict of all seeds, that of the looks, and the seeds that they took."""

    variant: str
    all_seeds: str
    looks: str
    seeds: int
    delta: float
    sd: float


def decisions(recipe: Recipe, table: Table, store: Store) -> list[Decision]:
    """Every comparison of a study with all seeds, as looks would have judged it."""
    known = {record.variant.name: Seeds(record) for record in make_plan(recipe, store).record().family}
    pairs = compared([seeds.variant for seeds in known.values()], recipe.compare.metric)
    standings = follow(pairs, recipe.compare, LOOKS, recipe.seeds, contrasts_of(known, recipe.compare))
    rows = {row.variant: row for row in table.rows}
    return [
        Decision(
            name,
            rows[name].verdict or "",
            one.word or "",
            LOOKS.at[one.look - 1],
            rows[name].delta_parent or 0.0,
            rows[name].sd(recipe.compare.metric) or 0.0,
        )
        for name, one in standings.items()
    ]


def told(found: Mapping[str, list[Decision]]) -> list[str]:
    """The figures, and every comparison on which the two disagree."""
    every = [one for each in found.values() for one in each]
    clear = [one for one in every if one.all_seeds in ("helps", "hurts")]
    same = [one for one in clear if one.looks == one.all_seeds]
    wrong = [one for one in every if one.looks in ("helps", "hurts") and one.looks != one.all_seeds]
    null = [one for one in every if one.all_seeds == "unclear"]
    third = [one for one in same if one.seeds <= SEEDS / 3]
    lines = [
        f"{len(every)} comparisons of {len(found)} studies. With {SEEDS} seeds, {len(clear)} have a verdict. Looks at {LOOKS} give",
        f"the same verdict for {len(same)} of them, from {mean([one.seeds for one in same]):.1f} seeds on average",
        f"({len(third)} from at most a third of {SEEDS}); another verdict than {SEEDS} seeds for {len(wrong)}.",
        f"The {len(null)} without a verdict took {mean([one.seeds for one in null]):.1f} seeds.",
        "",
        "Where they disagree:",
        "",
        f"| study, variant | {SEEDS} seeds | looks | seeds | Δ / sd |",
        "|:--|:--|:--|--:|--:|",
    ]
    lines += [
        f"| {study}, {one.variant} | {one.all_seeds} | {one.looks} | {one.seeds} | {one.delta / one.sd:+.2f} |"
        for study, each in found.items()
        for one in each
        if one.looks != one.all_seeds
    ]
    return lines


def mean(values: list[int]) -> float:
    return sum(values) / len(values) if values else 0.0


def main(faces: str | None) -> str:
    began = time.perf_counter()
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, text in (("digits", DIGITS), ("faces", FACES)):
        path = FOLDER / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        sets = [f"data.path={faces}"] if faces and name == "faces" else []
        recipe = Recipe.load(path, sets=sets)
        table = run(recipe, root=FOLDER / "runs")
        found[name] = decisions(recipe, table, Store(FOLDER / "runs"))
    lines = ["## Decisions of looks and of 40 seeds", "", f"{machine()}. {time.perf_counter() - began:.0f} s.", ""]
    text = "\n".join([*lines, *told(found), ""])
    (Path(__file__).parent / "RESULTS-decisions.md").write_text(text, encoding="utf-8")
    return text


if __name__ == "__main__":
    print(main(sys.argv[1] if len(sys.argv) > 1 else None))

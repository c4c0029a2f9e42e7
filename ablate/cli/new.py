"""``ablate new``: a commented recipe to start from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from ablate.cli.console import say
from ablate.cli.options import argument, suggested

TEMPLATE = """\
# {name}: an ablation study. Run it with: {command}
study: {study}

data: digits                       # see 'ablate catalog data'; for your own: {{target: data:load}}, with data.py here
metrics: [accuracy]
seeds: 3                           # more seeds give more reliable verdicts

baseline:                          # the settings that all variants start from
  name: plain
  model: {{name: mlp, hidden: [64]}} # for your own: {{target: model:Net}}, with model.py in this folder
  loss: cross_entropy
  optimizer: {{name: sgd, lr: 0.02, momentum: 0.9}}
  batch_size: 64
  epochs: 10

variants:                          # each builds on the previous variant, unless 'from' is given
  - {{name: shift, description: images shifted by one pixel, add: [{{shift: {{pixels: 1}}}}]}}
  - {{name: dropout, description: half of the hidden units dropped, add: [{{dropout: {{hidden: 0.5}}}}]}}
  - {{name: cosine, description: cosine learning rate schedule, set: {{optimizer.lr: {{cosine: [0.05, 0]}}}}}}
"""


def new(
    name: Annotated[str, argument("NAME", "Name of the study. The recipe is written to NAME.yaml.")],
) -> int:
    """Write a commented recipe to start from.

    Example: ablate new mine
    """
    from ablate.recipe.shape import study_rule
    from ablate.store.store import Store

    stem = Path(name).stem if name.strip() else ""
    if (rule := study_rule(stem)) is not None:
        raise ValueError(f"NAME{f' (={name})' if stem else ''} {rule}")
    path = Path(name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    if path.exists():
        raise ValueError(f"file (={path}) already exists. Choose another name or remove the file.")
    if not path.parent.is_dir():
        raise ValueError(f"file (={path}) must be in an existing folder. Create the folder '{path.parent}' first.")
    study = json.dumps(path.stem, ensure_ascii=False)
    text = TEMPLATE.format(name=path.stem, study=study, command=suggested("run", path))
    Store(Path()).disk.deliver(path, text.encode())
    say(f"Wrote {path}. To preview it, run: {suggested('plan', path)}. To train it, run: {suggested('run', path)}")
    return 0

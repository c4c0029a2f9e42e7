"""``ablate new``: a commented recipe to start from."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

TEMPLATE = """\
# {name}: what is worth what? Run it:   ablate run {file}
study: {study}

data: digits                       # 'ablate catalog data' lists data sets; your own: {{target: data:load}} in data.py beside this file
metrics: [accuracy]
seeds: 3                           # the more, the surer the verdicts

baseline:                          # what every row starts from
  name: plain
  model: {{name: mlp, hidden: [64]}} # your own: {{target: model:Net}} in model.py beside this file
  loss: cross_entropy
  optimizer: {{name: sgd, lr: 0.02, momentum: 0.9}}
  batch_size: 64
  epochs: 10

variants:                          # each on top of the row above, unless 'from' says otherwise
  - {{name: shift, description: pictures moved by a pixel, add: [{{shift: {{pixels: 1}}}}]}}
  - {{name: dropout, description: half of the hidden units dropped, add: [{{dropout: {{hidden: 0.5}}}}]}}
  - {{name: cosine, description: the rate falls to nothing, set: {{optimizer.lr: {{cosine: [0.05, 0]}}}}}}
"""


def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The study's name; writes NAME.yaml.", show_default=False)
    ],
) -> int:
    """Write a commented recipe to start from."""
    from ablate.cli.console import say
    from ablate.recipe.names import study_rule
    from ablate.store.store import Store

    if (rule := study_rule(Path(name).stem if name.strip() else "")) is not None:
        raise ValueError(f"name (={name}) {rule}")
    path = Path(name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    if path.exists():
        raise ValueError(f"file (={path}) exists already. Choose another name, or remove it first.")
    if not path.parent.is_dir():
        raise ValueError(f"file (={path}) is in a folder that does not exist. Make {path.parent} first.")
    typed = shlex.quote(str(path))
    text = TEMPLATE.format(name=path.stem, study=json.dumps(path.stem, ensure_ascii=False), file=typed)
    Store(Path()).disk.deliver(path, text.encode())
    say(f"wrote {path}. Look ahead with: ablate plan {typed}, train with: ablate run {typed}")
    return 0

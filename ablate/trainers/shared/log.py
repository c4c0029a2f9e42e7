"""``ablate.log(epoch=3, valid_loss=0.2)`` inside a training script.

Uses Python's standard library only: where `ablate` cannot be imported, copy this file beside the script.
"""

from __future__ import annotations

import json
import os
from pathlib import Path


def log(*, epoch: float | None = None, step: int | None = None, **metrics: object) -> None:
    """Record metrics (numbers, or tensors with one element) of a script that `ablate run` started.

    They are appended to ``$ABLATE_OUT/metrics.jsonl``, which is read if the recipe has no ``read``. Does nothing if
    the script was started by hand. Raises TypeError for a value that is not a number.
    """
    folder = os.environ.get("ABLATE_OUT")
    if not folder:
        return
    line: dict[str, float] = {name: _number(name, value) for name, value in metrics.items()}
    line |= {name: value for name, value in (("epoch", epoch), ("step", step)) if value is not None}
    with Path(folder, "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _number(name: str, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        kind = type(value).__name__
        raise TypeError(f"metric {name} (={str(value)[:40]}, a {kind}) must be a number.") from None

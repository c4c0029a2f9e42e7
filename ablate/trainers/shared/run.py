"""The object that a user's own training function receives."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.engine.contract import Assignment, Outcome, Report
from ablate.registry.lazy import torch
from ablate.trainers.shared.own_examples import ExamplesByPoint
from ablate.trainers.shared.points import Points

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import nn

PLAIN = (int, float, bool, str, bytes, type(None))


class Run:
    """One run of a user's own training function: its seed and device, and where results go.

    Attributes:
        seed: the seed. Python's, NumPy's and PyTorch's generators have been seeded with it.
        device: ``"cpu"`` or ``"cuda:0"``.
        fold: the number of the validation fold, None without ``folds``.
        folder: a folder for files of this run. It is kept when the run resumes from a checkpoint, otherwise emptied.
    """

    def __init__(self, assignment: Assignment, replica: int, report: Report, state: Mapping[str, Any] | None) -> None:
        self.seed: int = assignment.seeds[replica]
        self.device: str = assignment.device
        self.fold: int | None = assignment.fold
        self._settings, self._report, self._replica = assignment.settings, report, replica
        self._state = state
        self._checkpoints = False
        self._points = Points(assignment.settings, lambda line: report.epoch(replica, line))
        self.seed_everything()
        self._examples = ExamplesByPoint()
        if state is not None:
            self._points.restore(state["points"])
            self._examples.restore(state.get("examples", {}))

    @property
    def folder(self) -> Path:
        return self._report.folder(self._replica)

    @property
    def epochs(self) -> int:
        """The recipe's ``epochs``. Raises ValueError if it has none."""
        if not self._settings.epochs:
            raise ValueError("run.epochs requires 'epochs' in the recipe. Add it under 'baseline'.")
        return self._settings.planned_epochs

    def seed_everything(self) -> None:
        """Seed the generators of Python, NumPy and PyTorch (CPU and GPUs) with the run's seed."""
        import numpy as np

        random.seed(self.seed)
        np.random.seed(self.seed % 2**32)
        torch.manual_seed(self.seed)

    def log(self, *, epoch: float | None = None, step: int | None = None, **metrics: object) -> None:
        """Record metrics: numbers, or tensors with one element. Losses are named ``train_loss`` and ``valid_loss``.

        Calls with the same epoch and step are one point of the curves. A loss that is NaN or infinite ends the run as
        diverged. If the command was interrupted, the run ends here, unless it saves checkpoints: then it ends in
        `checkpoint`.
        """
        self._points.add(metrics, epoch, step)
        if not self._checkpoints:
            self._report.end_if_asked()

    def examples(
        self, ids: ArrayLike, losses: ArrayLike, *, metric: str = "valid_loss", groups: ArrayLike | None = None
    ) -> None:
        """Record the loss of each validation sample, for `Δ on new samples` and ``ablate examples``. Call it after
        `log` of the same epoch, which must have their mean; those of the selected epoch are kept.

        ``ids`` (n,) are different integers that mean the same samples in all runs, such as positions in the data;
        ``losses`` (n,) are numbers; ``groups`` (n,) are integers. Lists, arrays or tensors. ``metric`` is the name of
        the mean in `log`. More than a million samples, and values that are not finite, are not kept. Raises ValueError
        for other shapes and types.
        """
        self._examples.add(self._points.current, metric, ids, losses, groups)
        self._examples.keep_only({self._points.current, self._points.best_point})

    def checkpoint(self, state: Mapping[str, Any] | Callable[[], Mapping[str, Any]]) -> None:
        """Save a state from which `resume` continues, if a checkpoint is due: every 30 seconds, or as the recipe's
        ``checkpoint`` says. Call it after every epoch.

        ``state``: a dict of tensors, numbers, strings, lists and dicts, such as ``state_dict()`` of modules and
        optimizers; or a function that returns it, which is called only if a checkpoint is due. The states of Python's,
        NumPy's and PyTorch's generators are saved with it. Raises TypeError for a value of another type.
        """
        self._checkpoints = True
        self._points.flush()
        if not self._report.due(self._points.count):
            return
        own = state() if callable(state) else state
        check_plain(own, "state")
        points = self._points.state()
        whole = {"epoch": self._points.count, "points": points, "own": own, "generators": generators(self.device)}
        self._report.checkpoint(whole | {"examples": self._examples.state()})

    def resume(self) -> Any | None:
        """The state of the last `checkpoint` of this run, with tensors on the run's device; None at the first start.

        Restores the generators of Python, NumPy and PyTorch.
        """
        self._checkpoints = True
        if self._state is None:
            return None
        restore_generators(self._state["generators"], self.device)
        return self._state["own"]

    def save(self, what: nn.Module | Mapping[str, Any] | str | Path) -> None:
        """Keep the trained weights (a module or its ``state_dict()``) in the run's folder as ``last.pt``; or copy a
        file into `folder`.
        """
        if isinstance(what, str | Path):
            target = self.folder / Path(what).name
            if Path(what).resolve() != target.resolve():
                shutil.copyfile(what, target)
            return
        weights = what if isinstance(what, Mapping) else what.state_dict()
        check_plain(weights, "weights")
        self._report.weights(self._replica, "last", {name: value for name, value in weights.items()})

    def finish(self, returned: object) -> None:
        """Record what the function returned, if that is a mapping of metrics."""
        if isinstance(returned, Mapping) and returned:
            self._points.add_to_last({str(name): value for name, value in returned.items()})

    def outcome(self) -> Outcome:
        """The result of the run, after its function has returned."""
        outcome = self._points.outcome(self.seed)
        return replace(outcome, examples=self._examples.of(outcome.selected_epoch))


def check_plain(value: object, path: str) -> None:
    """Raise TypeError with one line for a value that a checkpoint cannot hold."""
    if isinstance(value, (*PLAIN, torch.Tensor, torch.dtype, torch.device)):
        return
    if isinstance(value, Mapping):
        for key, below in value.items():
            check_plain(key, f"a key of {path}")
            check_plain(below, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple | set):
        for i, below in enumerate(value):
            check_plain(below, f"{path}[{i}]")
    else:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        rule = "must be a tensor, a number, a string, or a dict or list of these"
        raise TypeError(f"run.checkpoint: {path} (a {kind}) {rule}. Save its state_dict(), or convert it.")


def generators(device: str) -> dict[str, Any]:
    """The states of the global generators, in plain values."""
    import numpy as np

    state: Any = np.random.get_state()
    name, keys, position, has_gauss, cached = state
    found: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
    }
    if device.startswith("cuda"):
        found["cuda"] = torch.cuda.get_rng_state(device)
    return found


def restore_generators(states: Mapping[str, Any], device: str) -> None:
    """Set the global generators to the states from `generators`."""
    import numpy as np

    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"].cpu())
    if "cuda" in states and device.startswith("cuda"):
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)

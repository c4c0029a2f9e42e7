"""Keras: a callback that records a run's epochs and checkpoints.

def main(run, lr=0.1):
    callback = AblateCallback(run)
    model = build(lr)
    model.fit(x, y, epochs=run.epochs, initial_epoch=callback.resume(model), callbacks=[callback])
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from ablate.integrations.folders import packed, unpack
from ablate.trainers.shared.run import Run

NAMES = {"loss": "train_loss", "val_loss": "valid_loss", "learning_rate": "lr"}


class AblateCallback(keras.callbacks.Callback):
    """Logs every epoch's metrics to ``run``, and saves checkpoints when they are due.

    ``names``: names of metrics → those to record. Without it, ``loss`` and ``val_loss`` are recorded as ``train_loss``
    and ``valid_loss``, ``val_accuracy`` as ``accuracy`` and ``accuracy`` as ``train_accuracy``.
    """

    def __init__(self, run: Run, names: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.run, self.names = run, {**NAMES, **(names or {})}
        self._resumes = False

    def resume(self, model: keras.Model) -> int:
        """Load the last checkpoint into a compiled model. Returns its epoch for ``fit(initial_epoch=…)``, 0 at first.

        Without this call, no checkpoints are saved. Leave it out if other callbacks change the training, such as
        `ReduceLROnPlateau` and `EarlyStopping`: Keras does not save their state. Raises ValueError with one line.
        """
        if not model.built or getattr(model, "optimizer", None) is None:
            rule = "must be compiled and have an input shape"
            raise ValueError(f"model (={model.name}) {rule}. Call model.compile, and begin it with keras.Input(shape).")
        self._resumes = True
        state = self.run.resume()
        if state is None:
            return 0
        unpack(state["files"], self._folder)
        model.optimizer.build(model.trainable_variables)
        model.load_weights(self._file)
        return int(state["epoch"])

    @property
    def _folder(self) -> Path:
        return self.run.folder / "keras"

    @property
    def _file(self) -> Path:
        return self._folder / "last.weights.h5"

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._resumes:
            self.run.resume()  # restores the generators, from which loading may have drawn

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        values = {self.names.get(name) or renamed(name): value for name, value in (logs or {}).items()}
        self.run.log(epoch=epoch + 1, step=int(self.model.optimizer.iterations), **values)
        if self._resumes:
            self.run.checkpoint(lambda: self._saved(epoch + 1))

    def _saved(self, epoch: int) -> dict[str, Any]:
        self._folder.mkdir(exist_ok=True)
        self.model.save_weights(self._file, overwrite=True)
        return {"epoch": epoch, "files": packed(self._folder)}


def renamed(name: str) -> str:
    """``accuracy`` for that of the validation set, ``train_accuracy`` for that of the training set."""
    return name.removeprefix("val_") if name.startswith("val_") else f"train_{name}"

"""Lightning: a callback that records a run's epochs and checkpoints.

def main(run, lr=0.1):
    callback = AblateCallback(run)
    trainer = L.Trainer(max_epochs=run.epochs, callbacks=[callback], logger=False)
    trainer.fit(Net(lr), Data(), ckpt_path=callback.resume())
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as L
from lightning.pytorch.callbacks import Checkpoint

from ablate.integrations.folders import packed, unpack
from ablate.trainers.shared.run import Run

NAMES = {"val_loss": "valid_loss"}


class AblateCallback(Checkpoint):
    """Logs every epoch's metrics to ``run``, with the learning rate ``lr``, and saves checkpoints when they are due.

    ``names``: names of metrics → those to record. Without it, ``val_loss`` is recorded as ``valid_loss``. A metric that
    is logged per step and per epoch is recorded once, for the epoch.

    It is a `Checkpoint`, so that it is called last in an epoch, and replaces the default `ModelCheckpoint`.
    """

    def __init__(self, run: Run, names: Mapping[str, str] | None = None) -> None:
        self.run, self.names = run, {**NAMES, **(names or {})}
        self._seen: dict[str, Any] = {}
        self._resumes = False

    def resume(self) -> Path | None:
        """The checkpoint to continue from, for ``fit(ckpt_path=…)``; None at the first start. Without this call, no
        checkpoints are saved.
        """
        self._resumes = True
        state = self.run.resume()
        if state is None:
            return None
        unpack(state.pop("files"), self._folder)
        return self._file

    @property
    def _folder(self) -> Path:
        return self.run.folder / "lightning"

    @property
    def _file(self) -> Path:
        return self._folder / "last.ckpt"

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._resumes:
            self.run.resume()  # restores the generators, from which building the module has drawn

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        # without a validation in this epoch, the metrics of the last one are still there
        metrics = {name: value for name, value in trainer.callback_metrics.items() if value is not self._seen.get(name)}
        self._seen = dict(trainer.callback_metrics)
        epoch = trainer.current_epoch + 1
        values = {name: value for name, value in metrics.items() if not name.endswith(("_step", "_epoch"))}
        values |= {name.removesuffix("_epoch"): value for name, value in metrics.items() if name.endswith("_epoch")}
        rates = {"lr": trainer.optimizers[0].param_groups[0]["lr"]} if trainer.optimizers else {}
        renamed = {self.names.get(name, name): value for name, value in values.items()}
        self.run.log(epoch=epoch, step=trainer.global_step, **rates | renamed)
        # Lightning's checkpoints lack the metric by which ReduceLROnPlateau is then stepped
        if self._resumes and not any(config.reduce_on_plateau for config in trainer.lr_scheduler_configs):
            self.run.checkpoint(lambda: self._saved(trainer))

    def _saved(self, trainer: L.Trainer) -> dict[str, Any]:
        trainer.save_checkpoint(self._file)
        return {"files": packed(self._folder)}

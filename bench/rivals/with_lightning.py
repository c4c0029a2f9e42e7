"""Lightning with its usual defaults (checkpoints and its CSV logger too), but for the bar and the summary that it
prints.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from bench.rivals.work import Work, compete

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")


class Module(lightning.LightningModule):
    def __init__(self, work: Work, seed: int) -> None:
        super().__init__()
        self.network, self.loss, self.work = work.network(seed), work.loss, work

    def forward(self, x: torch.Tensor) -> Any:
        return self.network(x)

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        x, y = batch
        loss: torch.Tensor = self.loss(self(x), y)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, _: int) -> None:
        x, y = batch
        prediction = self(x)
        self.log("valid_loss", self.loss(prediction, y))
        if y.dim() == 1:
            self.log("accuracy", (prediction.argmax(1) == y).float().mean())

    def on_train_epoch_start(self) -> None:
        if self.work.scheduled:
            for group in self.trainer.optimizers[0].param_groups:
                group.update(self.work.rates(self.current_epoch + 1))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.work.optimizer(self.parameters())


def train(work: Work, seed: int) -> float:
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=work.settings.epochs,
            accelerator="cpu",
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        size = work.settings.batch_size
        loaders = DataLoader(work.train, batch_size=size, shuffle=True), DataLoader(work.valid, batch_size=size)
        trainer.fit(Module(work, seed), *loaders)
        return float(trainer.callback_metrics["valid_loss"])


if __name__ == "__main__":
    compete(train)

"""Handwritten digits with Lightning. Alone: python lightning_digits.py"""

import lightning.pytorch as L
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class Digits(L.LightningDataModule):
    def __init__(self, batch_size=64):
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage=None):
        digits = load_digits()
        images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
        every = TensorDataset(images, torch.tensor(digits.target))
        split = torch.Generator().manual_seed(0)
        self.train, self.valid = random_split(every, [1400, len(every) - 1400], split)

    def train_dataloader(self):
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.valid, 256)


class Classifier(L.LightningModule):
    def __init__(self, lr=1e-3, width=16, dropout=0.0, one_cycle=False):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(16 * width, 10),
        )

    def step(self, batch, name):
        images, labels = batch
        scores = self.net(images)
        loss = nn.functional.cross_entropy(scores, labels)
        self.log(f"{name}_loss", loss, on_step=False, on_epoch=True)
        self.log(f"{name}_accuracy", (scores.argmax(1) == labels).float().mean(), on_step=False, on_epoch=True)
        return loss

    def training_step(self, batch, i):
        return self.step(batch, "train")

    def validation_step(self, batch, i):
        self.step(batch, "val")

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), self.hparams.lr)
        if not self.hparams.one_cycle:
            return optimizer
        steps = self.trainer.estimated_stepping_batches
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 10 * self.hparams.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


def fit(model, data, epochs, accelerator="auto", callbacks=(), checkpoint=None):
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator=accelerator,
        devices=1,
        callbacks=[*callbacks],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data, ckpt_path=checkpoint)
    return trainer


def main(run, lr=1e-3, width=16, dropout=0.0, one_cycle=False):
    """For ablate."""
    from ablate.integrations.lightning import AblateCallback

    callback = AblateCallback(run, names={"val_accuracy": "accuracy"})
    model = Classifier(lr, width, dropout, one_cycle)
    device = run.device.partition(":")[0]
    fit(model, Digits(), run.epochs, device, [callback], callback.resume())


if __name__ == "__main__":
    print(fit(Classifier(), Digits(), epochs=10).callback_metrics)

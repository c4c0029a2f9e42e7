"""Lightning's epochs, checkpoints and ends become those of the run, with the real library."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.integrations.alike import diverges, ends_when_asked, resumes_alike

pytestmark = pytest.mark.slow

MODULE = """
import lightning.pytorch as L
import torch
from torch.utils.data import DataLoader, TensorDataset
from ablate.integrations.lightning import AblateCallback

class Net(L.LightningModule):
    def __init__(self, lr, schedule):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1))
        self.lr, self.schedule = lr, schedule

    def training_step(self, batch, i):
        loss = torch.nn.functional.mse_loss(self.net(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        self.log("only_steps", loss, on_step=True, on_epoch=False)
        return loss

    def validation_step(self, batch, i):
        self.log("val_loss", torch.nn.functional.mse_loss(self.net(batch[0]), batch[1]))
        self.log("val/error", 3.0)

    def on_train_epoch_end(self):
        self.log("late", self.net[0].weight.sum().detach())

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), self.lr)
        if self.schedule in ("epoch", "step"):
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
            return [optimizer], [{"scheduler": scheduler, "interval": self.schedule}]
        if self.schedule == "plateau":
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}
        return optimizer

def main(run, lr=0.01, schedule="", every=1, accumulate=1, resume=True):
    x = torch.randn(24, 3, generator=torch.Generator().manual_seed(1))
    data = TensorDataset(x, x.sum(1, keepdim=True))
    callback = AblateCallback(run, names={"val/error": "error"})
    trainer = L.Trainer(max_epochs=run.epochs, callbacks=[callback], accelerator="cpu", logger=False,
                        enable_progress_bar=False, enable_model_summary=False,
                        check_val_every_n_epoch=every, accumulate_grad_batches=accumulate)
    loaders = DataLoader(data, 8, shuffle=True), DataLoader(data, 8)
    trainer.fit(Net(lr, schedule), *loaders, ckpt_path=callback.resume() if resume else None)
"""

RECIPE = "trainer: {target: 'own_lightning:main'}\nbaseline: {name: base, epochs: 4, args: {lr: 0.01}}\n"


@pytest.fixture
def recipe(tmp_path, needs):
    needs("lightning")
    (tmp_path / "own_lightning.py").write_text(MODULE)
    (tmp_path / "own.yaml").write_text(RECIPE)
    return tmp_path / "own.yaml"


def test_an_epoch_is_a_point_with_the_usual_names(recipe, train):
    report = train(recipe)
    assert [(line["epoch"], line["at"]) for line in report.lines] == [
        (epoch, {"epoch": epoch, "step": 3 * epoch}) for epoch in range(1, 5)
    ]
    named = {"epoch", "at", "train_loss", "valid_loss", "error", "late", "lr", "only_steps"}
    assert all(set(line) == named and line["error"] == 3 and line["lr"] == 0.01 for line in report.lines)
    assert report.outcomes[0].status == "finished"


def test_the_training_loss_is_the_mean_of_the_epoch(recipe, train):
    once = train(recipe, sets=["args.lr=0"]).lines
    steps = train(recipe, sets=["args.lr=0", "args.accumulate=3"]).lines
    assert [line["train_loss"] for line in once] == [line["train_loss"] for line in steps]
    assert once[0]["train_loss"] != once[0]["only_steps"]


def test_epochs_without_a_validation_have_no_validation_loss(recipe, train):
    lines = train(recipe, sets=["args.every=2"]).lines
    assert ["valid_loss" in line for line in lines] == [False, True, False, True]
    assert ["error" in line for line in lines] == [False, True, False, True]
    assert all("late" in line and "train_loss" in line for line in lines)


@pytest.mark.parametrize("sets", [[], ["args.schedule=epoch"], ["args.schedule=step", "args.accumulate=2"]], ids=str)
def test_a_resumed_run_equals_an_uninterrupted_one(recipe, train, sets):
    resumes_alike(train, recipe, sets)


def test_nothing_is_saved_that_would_not_resume_alike(recipe, train):
    assert train(recipe, sets=["args.schedule=plateau"], due_at=(1, 2)).saved == []
    assert train(recipe, sets=["args.resume=false"], due_at=(1, 2)).saved == []


@pytest.mark.parametrize("resume", [True, False])
def test_it_ends_when_asked(recipe, train, report, resume):
    ends_when_asked(train, report, recipe, [f"args.resume={resume}"], saved=[2] if resume else [])


def test_a_loss_that_is_not_finite_is_a_divergence(recipe, train):
    diverges(train, recipe, ["args.lr=1e30"])


def test_only_the_first_process_reports(needs):
    needs("lightning")
    from ablate.integrations.lightning import AblateCallback

    callback = AblateCallback(SimpleNamespace(log=None))
    callback.on_train_epoch_end(SimpleNamespace(is_global_zero=False), None)

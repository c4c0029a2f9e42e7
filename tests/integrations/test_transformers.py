"""What Hugging Face's Trainer logs and saves becomes that of the run, with the real library."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.integrations.alike import diverges, ends_when_asked, resumes_alike

pytestmark = pytest.mark.slow

MODULE = """
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
from ablate.integrations.transformers import AblateCallback

def main(run, lr=0.01, by="epoch", resume=True):
    draw = torch.Generator().manual_seed(0)
    data = [{"input_ids": row, "labels": row} for row in torch.randint(0, 20, (40, 8), generator=draw)]
    config = GPT2Config(vocab_size=20, n_positions=8, n_embd=8, n_layer=1, n_head=2, bos_token_id=None, eos_token_id=None)
    callback = AblateCallback(run, names={"eval_half": "half"})
    args = TrainingArguments(
        str(run.folder), num_train_epochs=4, per_device_train_batch_size=8, seed=run.seed, learning_rate=lr, use_cpu=True,
        eval_strategy=by, logging_strategy=by, save_strategy=by, eval_steps=3, logging_steps=3, save_steps=3,
        report_to="none", disable_tqdm=True)
    trainer = Trainer(GPT2LMHeadModel(config), args, train_dataset=data[:32], eval_dataset=data[32:],
                      compute_metrics=lambda _: {"half": 0.5, "text": "no number"}, callbacks=[callback])
    trainer.train(resume_from_checkpoint=callback.resume() if resume else None)
    run.log(history=len(trainer.state.log_history), **{f"history_{i}": line["loss"]
            for i, line in enumerate(line for line in trainer.state.log_history if "loss" in line)})
"""

RECIPE = "trainer: {target: 'own_transformers:main'}\nbaseline: {name: base, args: {lr: 0.01}}\n"


@pytest.fixture
def recipe(tmp_path, needs):
    needs("transformers")
    needs("accelerate")
    (tmp_path / "own_transformers.py").write_text(MODULE)
    (tmp_path / "own.yaml").write_text(RECIPE)
    return tmp_path / "own.yaml"


NAMED = {"epoch", "at", "train_loss", "valid_loss", "half", "lr", "grad_norm"}


@pytest.mark.parametrize(
    ("by", "places"),
    [("epoch", [(1, 4), (2, 8), (3, 12), (4, 16)]), ("steps", [(0.75 * i, 3 * i) for i in range(1, 6)])],
)
def test_what_is_logged_at_a_step_is_one_point(recipe, train, by, places):
    *lines, history = train(recipe, sets=[f"args.by={by}"]).lines
    assert [(line["at"]["epoch"], line["at"]["step"]) for line in lines[: len(places)]] == places
    assert all(set(line) == NAMED for line in lines[: len(places)])
    losses = [history[f"history_{i}"] for i in range(len(places))]
    assert [line["train_loss"] for line in lines[: len(places)]] == losses


@pytest.mark.parametrize("by", ["epoch", "steps"])
def test_a_resumed_run_equals_an_uninterrupted_one(recipe, train, by):
    resumes_alike(train, recipe, [f"args.by={by}"])


@pytest.mark.parametrize("resume", [True, False])
def test_it_ends_when_asked(recipe, train, report, resume):
    ends_when_asked(train, report, recipe, [f"args.resume={resume}"], saved=[2] if resume else [])


def test_a_loss_that_is_not_finite_is_a_divergence(recipe, train):
    diverges(train, recipe, ["args.lr=1e30"])


def test_only_the_first_process_reports(needs):
    needs("transformers")
    from ablate.integrations.transformers import AblateCallback

    callback = AblateCallback(SimpleNamespace(log=None, checkpoint=None))
    state = SimpleNamespace(is_world_process_zero=False)
    callback.on_log(None, state, None, logs={"loss": 1.0})
    callback.on_save(None, state, None)

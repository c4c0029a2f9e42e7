"""A tiny GPT-2 with Hugging Face's Trainer learns to sort numbers. Alone: python transformers_tiny.py"""

import tempfile

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

LENGTH, SYMBOLS, SEPARATOR = 6, 8, 8


def sequences(count, seed):
    """Numbers, a separator, and the numbers in order, which are the labels: nothing is downloaded."""
    draw = torch.Generator().manual_seed(seed)
    numbers = torch.randint(0, SYMBOLS, (count, LENGTH), generator=draw)
    whole = torch.cat([numbers, torch.full((count, 1), SEPARATOR), numbers.sort(1).values], 1)
    labels = whole.clone()
    labels[:, : LENGTH + 1] = -100
    return [{"input_ids": one, "labels": label} for one, label in zip(whole, labels, strict=True)]


def accuracy(evaluated):
    """The fraction of numbers that are right; the score at a position predicts the next."""
    predicted, labels = evaluated.predictions[:, :-1].argmax(-1), evaluated.label_ids[:, 1:]
    return {"accuracy": float((predicted == labels)[labels != -100].mean())}


def model_of(layers):
    shape = {"vocab_size": SYMBOLS + 1, "n_positions": 2 * LENGTH + 1, "n_embd": 32, "n_head": 4, "n_layer": layers}
    return GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=None, eos_token_id=None))


def train(folder, *, epochs, size=2000, layers=1, callbacks=(), checkpoint=None, **arguments):
    settings = TrainingArguments(
        folder,
        num_train_epochs=epochs,
        per_device_train_batch_size=50,
        per_device_eval_batch_size=250,
        eval_strategy="epoch",
        logging_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
        **arguments,
    )
    model, train, valid = model_of(layers), sequences(size, 1), sequences(500, 2)
    trainer = Trainer(
        model, settings, train_dataset=train, eval_dataset=valid, compute_metrics=accuracy, callbacks=[*callbacks]
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    return trainer


def main(run, lr=2e-3, size=2000, layers=1, schedule="constant", warmup=0):
    """For ablate."""
    from ablate.integrations.transformers import AblateCallback

    callback = AblateCallback(run)
    changed = {"learning_rate": lr, "lr_scheduler_type": schedule, "warmup_steps": warmup}
    ours = {"callbacks": [callback], "checkpoint": callback.resume(), "seed": run.seed, "use_cpu": run.device == "cpu"}
    train(str(run.folder), epochs=run.epochs, size=size, layers=layers, **changed, **ours)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for line in train(folder, epochs=10, learning_rate=2e-3).state.log_history:
            print(line)

"""Hugging Face's `Trainer`: a callback that records a run's metrics and checkpoints.

def main(run, lr=5e-5):
    callback = AblateCallback(run)
    args = TrainingArguments(run.folder, seed=run.seed, learning_rate=lr, save_strategy="epoch", …)
    trainer = Trainer(model, args, train_dataset=train, eval_dataset=valid, callbacks=[callback])
    trainer.train(resume_from_checkpoint=callback.resume())
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ablate.integrations.folders import packed, unpack
from ablate.trainers.shared.run import Run

NAMES = {"loss": "train_loss", "eval_loss": "valid_loss", "learning_rate": "lr"}

NOT_METRICS = ("epoch", "eval_runtime", "eval_model_preparation_time", "num_input_tokens_seen", "total_flos")


class AblateCallback(TrainerCallback):
    """Logs what the `Trainer` logs to ``run``: the training loss as ``train_loss``, the evaluation loss as
    ``valid_loss``, the learning rate as ``lr``, other metrics without ``eval_``. Numbers of one step become one point.

    Checkpoints are the `Trainer`'s own: set ``save_strategy``. ``names``: names of metrics → those to record.
    """

    def __init__(self, run: Run, names: Mapping[str, str] | None = None) -> None:
        self.run, self.names = run, {**NAMES, **(names or {})}
        self._resumes = False

    def resume(self) -> str | None:
        """The checkpoint for ``train(resume_from_checkpoint=…)``; None at the first start. Without this call, no
        checkpoints are saved for ``run``.
        """
        self._resumes = True
        state = self.run.resume()
        if state is None:
            return None
        folder = self.run.folder / str(state["name"])
        unpack(state.pop("files"), folder)
        return str(folder)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        args.logging_nan_inf_filter = False  # it leaves out losses that are NaN, so that a divergence is not seen

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs: dict[str, Any] = kwargs.get("logs") or {}
        if not state.is_world_process_zero or "train_runtime" in logs:  # the summary at the end of the training
            return
        numbers = {
            name: value
            for name, value in logs.items()
            if isinstance(value, Real) and name not in NOT_METRICS and not name.endswith("_per_second")
        }
        values = {self.names.get(name, name.removeprefix("eval_")): value for name, value in numbers.items()}
        if values:
            self.run.log(epoch=state.epoch, step=state.global_step, **values)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._resumes and state.is_world_process_zero:
            name = f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
            self.run.checkpoint(lambda: {"name": name, "files": packed(Path(args.output_dir) / name)})

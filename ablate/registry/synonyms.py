"""What other libraries call a setting or trick of ours."""

from __future__ import annotations

from collections.abc import Collection

WORDS = {
    "data": "dataset dataloader data_loader train_loader train_dataset train_data trainset",
    "model": "net network arch architecture backbone",
    "init": "weight_init init_weights initialization initializer",
    "loss": "criterion loss_fn loss_function objective",
    "optimizer": "optim opt optimiser",
    "metrics": "metric",
    "seeds": "seed random_seed random_state",
    "batch_size": "batchsize bs minibatch train_batch_size per_device_train_batch_size",
    "epochs": "epoch num_epochs n_epochs max_epochs num_train_epochs n_iter",
    "steps": "max_steps num_steps max_iter total_steps train_steps",
    "precision": "amp fp16 bf16 half mixed_precision use_amp dtype",
    "workers": "num_workers dataloader_num_workers n_workers",
    "compile": "torch_compile",
    "checkpoint": "checkpointing save_every save_steps",
    "lr | optimizer.lr": "lr learning_rate learningrate step_size eta base_lr",
    "optimizer.lr: {cosine: [0.1, 0]}": "scheduler schedule lr_scheduler lr_schedule lr_scheduler_type",
    "optimizer.lr: {warmup: …}": "warmup warmup_steps warmup_epochs num_warmup_steps warmup_ratio",
    "weight_decay | optimizer.weight_decay": "wd l2 weight_decay weightdecay",
    "momentum | optimizer.momentum": "momentum mom",
    "beta1 | optimizer.beta1": "betas beta adam_beta1",
    "accumulate | add: [accumulate]": "grad_accum accumulation gradient_accumulation "
    "gradient_accumulation_steps accumulate_grad_batches",
    "early_stop | add: [early_stop]": "early_stopping earlystopping early_stopping_patience patience",
    "clip_norm | add: [clip_norm]": "clip grad_clip clip_grad clip_grad_norm gradient_clip "
    "gradient_clip_val max_grad_norm",
    "label_smoothing | add: [label_smoothing]": "label_smoothing label_smooth smoothing",
    "dropout | add: [dropout]": "dropout drop_rate p_drop dropout_rate",
    "batch_norm | add: [batch_norm]": "batchnorm bn use_bn batch_norm",
    "ema | add: [ema]": "ema_decay model_ema exponential_moving_average",
    "flip | add: [flip]": "hflip horizontal_flip random_horizontal_flip",
    "cutout | add: [cutout]": "cut_out",
    "random_erasing | add: [random_erasing]": "erase erasing",
    "lookahead | add: [lookahead]": "look_ahead",
    "train_fraction | add: [train_fraction]": "subset data_fraction",
    "share | train_fraction | add: [train_fraction]": "fraction",
    "share | rate": "p prob probability",
    "standardise | add: [standardise]": "standardize standardization normalize normalise normalization standard_scaler",
    "normalise_targets | add: [normalise_targets]": "normalize_targets standardize_targets scale_targets",
    "colour_pca | add: [colour_pca]": "color_pca pca_color fancy_pca pca_lighting",
    "but": "except exclude excluding exclusions ignore",
    "lacking": "missing_values missing_pattern simulate_missing",
    "grey": "gray grayscale greyscale to_grayscale",
    "both_ways": "bidirectional",
    "joined": "ensemble ensemble_of average members",
    "points": "piecewise piecewise_linear interpolate",
    "stairs": "staircase stepwise",
    "rise": "pct_start",
    "norms": "update_bn bn_update bn_stats batch_norm_stats",
    "live": "current running",
}
"""Our words, the best first, each with those of others for it."""

SYNONYMS = {other: ours.split(" | ") for ours, others in WORDS.items() for other in others.split()}


def synonym(word: str, known: Collection[str]) -> str | None:
    """What we call ``word`` in a place that has the keys ``known``, or None.

    ``optimizer.lr`` fits where ``optimizer`` is known, and inside a variant, where it is written under ``set``.
    """
    for ours in SYNONYMS.get(word.lower().replace("-", "_"), ()):
        if ours in known:
            return ours
        head = ours.partition(":")[0].partition(".")[0]
        if head in known or (head == "add" and "optimizer" in known):
            return ours if ours != word else None
        if "set" in known and head in SECTIONS:
            path, colon, value = ours.partition(": ")
            return f"set: {{{path}: {value if colon else '…'}}}"
    return None


SECTIONS = (
    *("data", "model", "init", "loss", "optimizer", "batch_size", "epochs", "steps"),
    *("precision", "workers", "compile"),
)
"""Heads of paths that a variant sets."""

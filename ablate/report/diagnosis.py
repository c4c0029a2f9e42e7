"""What each finding about a variant's training is called, and what to try."""

from __future__ import annotations

from ablate.notes.note import Kind, Note

REGULARIZATION = (
    "more data; augmentation (`flip`, `shift`, `crop`, `mixup`, `cutout`); `dropout`; `weight_decay`; `label_smoothing`"
)

ADVICE: dict[Kind, str] = {
    "diverged_at": "a lower learning rate (`ablate lr` suggests one); `warmup`; `clip_norm`; inputs and targets of "
    "ordinary size (`standardise`, `normalise_targets`)",
    "diverging": "a lower learning rate, or one that decreases (`cosine`, `step`); `clip_norm`",
    "learned_nothing": "`ablate check`, which looks for bugs; another learning rate (`ablate lr` suggests one); "
    "`batch_norm`; another initialization (`he_normal`)",
    "oscillates": "a learning rate that decreases (`cosine`, `step`, `plateau`); averaged weights (`ema`, `swa`); a "
    "larger batch_size; a larger validation set",
    "overfits": f"`early_stop`, or fewer epochs; {REGULARIZATION}; a smaller network",
    "not_converged": "more epochs; a higher learning rate; `adam` or momentum; a schedule (`one_cycle`, `cosine`)",
    "gap": f"{REGULARIZATION}; a smaller network",
    "underfits": "a larger network; less regularization (`dropout`, `weight_decay`, augmentation); a higher learning "
    "rate; `adam` or momentum; `batch_norm`",
    "flat": "fewer epochs, or `early_stop`, to save time; a learning rate that decreases (`step`, `plateau`)",
    "dead_units": "a lower learning rate; `he_normal`; `batch_norm`; leaky ReLUs (`activation`)",
    "large_updates": "a lower learning rate; `warmup`",
    "small_updates": "a higher learning rate; check for frozen layers",
    "few_samples": "a larger validation set, or cross-validation (`folds`); more seeds would hardly help",
}
"""What to try, with the names of the catalog in backquotes. First come the findings about the training loss."""

SHORT: dict[Kind, str] = {
    "diverged_at": "diverged",
    "diverging": "diverging",
    "learned_nothing": "learned nothing",
    "oscillates": "oscillates",
    "overfits": "overfits",
    "not_converged": "not converged",
    "gap": "generalizes poorly",
    "underfits": "underfits",
    "flat": "trained too long",
    "dead_units": "dead ReLUs",
    "large_updates": "large updates",
    "small_updates": "small updates",
    "few_samples": "validation set too small",
}
"""The findings in a column of the table."""


def short(notes: tuple[Note, ...]) -> str:
    """``overfits, oscillates``."""
    return ", ".join(SHORT[note.kind] for note in notes)

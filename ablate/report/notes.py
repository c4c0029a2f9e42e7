"""Notes as text: the only place that says how a note reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ablate.notes.note import Kind, Note
from ablate.report import numbers

NOT_COMPARED = "{metric} is not compared with the parent's: "
SPLITS = {"train": "training", "valid": "validation", "test": "test"}

MOST_DIFFERENCES = 3
"""Differences of a stale variant that are listed before they are only counted."""

MOST_NAMES = 10
"""Seeds that are listed before they are only counted."""

MOST_VARIANTS, MOST_GROUPS = 4, 3
"""Variants in a short line, and groups of variants with the same text."""

SENTENCES: dict[Kind, str] = {
    "text": "{text}",
    "not_stacked": "seeds are trained one by one, not in parallel: {reason}",
    "loss_not_vmapped": "the loss does not support vmap: it is computed seed by seed",
    "stack_not_compiled": "not compiled, because seeds are trained in parallel: use stack: off to compile",
    "not_compiled": "not compiled: {reason}",
    "missing_targets": "targets may be missing (NaN): a custom loss must mask them",
    "not_finite_inputs": "{count} of {total} {split} inputs contain NaN or infinity (first: sample {first})",
    "targets_stay": "images are moved by {tricks}, but targets are not: if targets are coordinates in the image, "
    "declare them with 'keypoints'; if not, use 'keypoints: 0'",
    "not_repeatable": "the training stream differs if it is read again with the same seed: variants are not paired, "
    "and a resumed training is not the same. Draw from torch's, NumPy's or Python's global generator",
    "unnamed": "columns without a name are not used as inputs ({columns})",
    "ignores_seed": "neither the command nor its code uses the seed: add the field 'seed' to the command, or read "
    "ABLATE_SEED in the code",
    "initial_weights": "starts from the weights of {source}: {taken} of {total} tensors loaded{left}",
    "initial_average": "ema: after {steps} steps, initial weights are still {share} of the average. "
    "Use a smaller decay (={decay}) or warmup: true",
    "skipped_steps": "{skipped} of {steps} steps were skipped, because gradients overflowed in fp16",
    "not_finite": "{metric} (={value}) is not finite at the {at} epoch",
    "other_range": "{column} range from {low} to {high}, but from {train_low} to {train_high} in the training set. "
    "Scale them like the training inputs",
    "no_seed": "not compared, because no seed was logged",
    "left_out": "ignored {count} {unit} without {place}",
    "repeated_seed": "several runs with {seeds}: the most recent one is used",
    "text_seeds": "seeds of {place} that are not integers are numbered: {texts}",
    "first_is_baseline": "used as the baseline, as it was logged first. Use --baseline to change it",
    "no_seeds": "no run has a seed (params.seed or --seed), so runs cannot be paired and no differences are given",
    "ended_badly": "{status}: {reason}",
    "not_measured": "{metric} is not computed: the variant only serves as a base for others",
    "not_reported": "{metric} was not reported: set compare.metric to a metric that your code reports",
    "missing_values": "{metric} is missing for {seeds}",
    "short_curve": "{metric} has fewer than {count} points in {seeds}, so no mean over the last {count} is given",
    "same_result": "identical results for {seeds}, which count as one: the seed does not affect the training",
    "mixed_torch": "runs with {count} torch versions ({names})",
    "mixed_device": "runs on {count} devices ({names})",
    "mixed_python": "runs with {count} Python versions ({names})",
    "mixed_ablate": "runs with {count} ablate versions ({names})",
    "mixed_threads": "CPU threads differ between its runs or from the parent's ({names}): the last digits may differ",
    "unfinished": "no verdict yet: {finished}/{planned} {unit}s finished",
    "parent_missing": "the parent ({parent}) is not in the table",
    "parent_diverged": "not compared, because the parent diverged for {seeds}",
    "parent_failed": "not compared, because the parent failed for {seeds} (compare.failed)",
    "not_positive": "not compared: {whose}{metric} must be greater than 0 on the log scale, but is not for {seeds}",
    "parent_unfinished": "no verdict yet: the parent has not finished",
    "no_common_seed": "not compared: no seed in common with its parent ({parent})",
    "other_loss": NOT_COMPARED + "the loss is {own} (parent: {parent})",
    "other_loss_settings": NOT_COMPARED + "the loss settings differ ({keys})",
    "other_scaling": NOT_COMPARED + "the targets are scaled differently",
    "other_units": NOT_COMPARED + "the targets have different units",
    "identical": "results identical to the parent's for {seeds}",
    "same_metric": "same {metric} as the parent for {seeds}",
    "paired_on_some": "compared with the parent for {seeds} only",
    "outlier": "the difference from the parent is an outlier for {seeds}",
    "scatters_more": "its differences vary {ratio} times as much as those of the others: if they are skewed, false "
    "positives are more likely",
    "same_difference": "no verdict: all {unit}s differ from the parent by the same amount, so the variance is unknown",
    "init_not_paired": "initial weights are not paired with the parent's, so differences vary more",
    "start_not_paired": "the loss before training is not the parent's with the same seed: differences vary more",
    "no_effect_at_first": "possible bug: the loss of the first step equals that of {parent}",
    "first_seeds": "Δ and verdict are those of the first {before} of {now} seeds",
    "topped_up": "{count} seeds were added after a verdict was shown, and are judged alone: Δ {effect} ({cover}% "
    "interval), {verdict}",
    "over_all": "Δ over all {now} seeds: {effect}",
    "tuned": "tuned to {settings}{tied}",
    "tuned_at_edge": "the best value of {paths} is the last one that was tried: widen 'tune'",
    "not_tuned": "not tuned: no candidate finished, so the settings are those of the recipe",
    "other_search": "{own} (parent: {parent})",
    "other_epochs": "{own} epochs (parent: {parent})",
    "other_length": "trained for {own} (parent: {parent})",
    "other_batch_size": "batch size {own} (parent: {parent})",
    "other_data": "data settings differ from the parent's ({keys})",
    "other_validation": "data settings differ from the parent's ({keys}): no verdict, as validation sets may differ",
    "other_steps": "{own} steps per epoch (parent: {parent})",
    "other_samples": "{own} {split} samples (parent: {parent})",
    "other_torch": "torch {own} (parent: {parent})",
    "other_device": "trained on {own} (parent: {parent})",
    "other_python": "Python {own} (parent: {parent})",
    "other_ablate": "ablate {own} (parent: {parent})",
    "diverged_at": "diverged at {axis} {last_at}",
    "diverging": "the training loss ended at {last}, {ratio} times its minimum ({best} at {axis} {best_at})",
    "learned_nothing": "learned nothing: the training loss ({train}) is not clearly lower than that of the first step "
    "({start})",
    "oscillates": "the validation loss changes by {percent}% from one {axis} to the next",
    "overfits": "overfits: the validation loss was lowest at {axis} {best_at} of {last_at} ({best}), then rose to "
    "{last}, while the training loss fell to {train}",
    "not_converged": "has not converged: the validation loss still fell by {percent}% in the last fifth of {last_at} "
    "{axis}s",
    "gap": "generalizes poorly: the validation loss ({last}) is {ratio} times the training loss ({train})",
    "underfits": "underfits: the training loss ({train}; {start} at the first step) no longer falls, and the "
    "validation loss ({last}) is hardly higher",
    "flat": "has hardly improved since {axis} {best_at} of {last_at}",
    "dead_units": "{percent}% of the ReLU units are zero for every sample",
    "large_updates": "the updates are {size} times the size of the weights in each step: 0.001 is usual",
    "small_updates": "the updates are only {size} times the size of the weights in each step: 0.001 is usual",
    "few_samples": "the validation set ({count} samples) is too small for this effect: {total} would be enough",
    "new": "new variant",
    "changed": "settings or code have changed since the last attempt: will be trained again",
    "more_runs": "{count} additional {unit}",
    "stale": "outdated: {differences}",
    "read_again": "'read' has changed: the metrics will be read again from the kept output, without training",
    "not_kept": "'read' has changed, but the whole output is not kept: will be trained again",
    "not_tracked": "earlier runs did not track {metrics}: use --fresh to train again",
}
"""How a note of each kind reads of one variant or run."""

PIECES: dict[Kind, tuple[str, str]] = {
    "tuned": ("tuned to", "({settings}{tied})"),
    "tuned_at_edge": ("the best value that was tried is the last one: widen 'tune'", "({paths})"),
    "other_search": ("the search differs from the parent's", "({own}, parent: {parent})"),
    "other_epochs": ("epochs differ from the parent's", "({own}, parent: {parent})"),
    "other_length": ("lengths of training differ from the parent's", "({own}, parent: {parent})"),
    "other_batch_size": ("batch sizes differ from the parent's", "({own}, parent: {parent})"),
    "other_data": ("data settings differ from the parent's", "({keys})"),
    "other_validation": ("no verdict, as the validation set may differ from the parent's", "({keys})"),
    "other_steps": ("steps per epoch differ from the parent's", "({own}, parent: {parent})"),
    "other_samples": ("numbers of samples differ from the parent's", "({own} {split} samples, parent: {parent})"),
    "other_torch": ("torch versions differ from the parent's", "({own}, parent: {parent})"),
    "other_device": ("devices differ from the parent's", "({own}, parent: {parent})"),
    "other_python": ("Python versions differ from the parent's", "({own}, parent: {parent})"),
    "other_ablate": ("ablate versions differ from the parent's", "({own}, parent: {parent})"),
    "outlier": ("outliers among the differences from the parent", "({seeds})"),
    "missing_values": ("missing values", "{metric} ({seeds})"),
    "parent_missing": ("parents that are not in the table", "({parent})"),
    "no_effect_at_first": ("possible bug: the loss of the first step equals the parent's", ""),
}
"""For kinds whose text differs between variants: how a line about several of them begins, and what it adds to each
name.
"""


DIFFERENCES = {
    "setting": "{name} was {old} (now {new})",
    "source": "a variant that it builds on was trained again",
    "contents": "{name} has changed",
    "code": "the code of {name} has changed",
    "version": "{name} had version {old} (now {new})",
    "engine": "the engine had version {old} (now {new})",
    "group_norm": "group_norm now refuses groups of one feature, which it set to 0",
    "contract": "custom code now gets copies of the data, so that it cannot change them",
    "share": "tricks now change exactly their share of the samples, whatever the batch size",
    "reading": "an earlier version misread the data file",
    "early_stop_start": "epochs before early_stop.start are no longer reported as the best",
    "float64_data": "the data are now kept in float64",
    "own_layers": "tricks now find more norms and activations of custom networks",
    "loss_weight": "batches are now weighted by their known targets in the mean loss",
}
"""What makes a variant stale."""


def values_text(values: Mapping[str, float]) -> str:
    """``optimizer.lr = 0.03, batch_size = 32``."""
    return ", ".join(f"{path} = {value:g}" for path, value in values.items())


def sentence(note: Note, unit: str = "seed") -> str:
    """What a note says, without a full stop at its end. ``unit``: what its seeds are, ``seed`` or ``fold``."""
    template = SENTENCES[note.kind]
    text = " ".join(filled(template, note, unit).split()).removesuffix(".")
    return f"{text} ({seeds_text(note.seeds, unit)})" if note.seeds and "{seeds}" not in template else text


def joined(notes: Iterable[Note], unit: str = "seed", mark: str = "") -> str:
    """Several notes as one sentence."""
    return "; ".join(mark + sentence(note, unit) for note in notes)


def short_line(kind: Kind, notes: Sequence[tuple[str, Note]], everyone: int, unit: str = "seed") -> str:
    """One line for all notes of a kind, each with its variant's name; ``everyone`` is the number of variants."""
    head, piece = PIECES.get(kind, ("", ""))
    if head:
        items = [f"{name} {filled(piece, note, unit)}".rstrip() for name, note in notes]
        return f"{head}: {cut(items, MOST_VARIANTS)}."
    groups = grouped((name, sentence(note, unit)) for name, note in notes)
    texts = [f"{who(names, everyone)}: {text}" for text, names in groups.items()]
    left = sum(map(len, list(groups.values())[MOST_GROUPS:]))
    return "; ".join(texts[:MOST_GROUPS]) + (f"; and {left} more" if left else "") + "."


def lines_by_variant(notes: Iterable[Note]) -> list[str]:
    """A line for each text, with the names of the variants that it holds for."""
    groups = grouped((note.variant, sentence(note)) for note in notes)
    return [f"{', '.join(names)}: {text}.".removeprefix(": ") for text, names in groups.items()]


def grouped(texts: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Names by text."""
    groups: dict[str, list[str]] = {}
    for name, text in texts:
        groups.setdefault(text, []).append(name)
    return groups


def who(names: Sequence[str], everyone: int) -> str:
    """The names, or ``all variants``."""
    return "all variants" if len(names) == everyone > 1 else cut(names, MOST_VARIANTS)


def cut(items: Sequence[str], most: int) -> str:
    """The items, the last ones only counted if there are more."""
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


def seeds_text(seeds: Sequence[int], unit: str = "seed") -> str:
    """``seed 3``, ``seeds 0, 3``, ``12 seeds`` or ``all seeds``."""
    if not seeds:
        return f"all {unit}s"
    if len(seeds) > MOST_NAMES:
        return f"{len(seeds)} {unit}s"
    return f"{counted(unit, len(seeds))} {', '.join(map(str, sorted(seeds)))}"


def counted(noun: str, count: int) -> str:
    """The noun in singular or plural."""
    return noun if count == 1 else f"{noun}s"


def filled(template: str, note: Note, unit: str) -> str:
    """The template with a note's values as text."""
    values = {key: FORMS[key](value) if key in FORMS else plain_value(value) for key, value in note.values.items()}
    if note.kind == "initial_weights":
        values["left"] = left_text(note.values["left"], note.values["more"])
    if note.kind in ("more_runs", "left_out"):
        values["unit"] = counted(note.values["unit"], note.values["count"])
    count = str(len(note.values.get("names", ())))
    return template.format_map({"seeds": seeds_text(note.seeds, unit), "unit": unit, "count": count} | values)


def plain_value(value: Any) -> str:
    """Lists with commas, integers with their thousands apart."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def left_text(left: Sequence[str], more: int) -> str:
    """``, all but output.weight, output.bias``."""
    return f", all but {', '.join(left)}{f' and {more} more' if more else ''}" if left else ""


def differences(found: Sequence[Mapping[str, Any]]) -> str:
    """The first differences of a stale variant, and how many more there are."""
    return cut([difference(one) for one in found], MOST_DIFFERENCES)


def difference(one: Mapping[str, Any]) -> str:
    """``optimizer.lr was 0.1 (now 0.2)``."""
    old, new = (shown(one[key]) if key in one else "unset" for key in ("old", "new"))
    template = DIFFERENCES.get(one["what"], "settings, data or code have changed")
    return template.format(name=one.get("name"), old=old, new=new)


def shown(value: Any) -> str:
    """A value as in a recipe."""
    return value if isinstance(value, str) else json.dumps(value)


FORMS: dict[str, Callable[[Any], str]] = {
    "split": lambda value: SPLITS.get(value, value),
    "status": lambda value: {"out_of_memory": "out of memory", "timeout": "timed out"}.get(
        value, value.replace("_", " ")
    ),
    "share": lambda value: f"{value:.0%}",
    "decay": lambda value: f"{value:g}",
    "differences": differences,
    "cover": lambda value: f"{value:g}",
    "effect": lambda value: (
        numbers.difference(value[0], value[1], value[2], numbers.places(value, 2))
        if value[3:] != ["log"]
        else numbers.ratio(value[0], value[1], value[2], numbers.ratio_places(value[1:3] + value[:1]))
    ),
    "column": lambda value: f"values of {value}" if value else "inputs",
    **dict.fromkeys(("low", "high", "train_low", "train_high"), lambda value: f"{value:.4g}"),
    **dict.fromkeys(("last", "best", "train", "start", "ratio", "size"), lambda value: f"{value:.3g}"),
    **dict.fromkeys(("best_at", "last_at"), lambda value: f"{value:,.10g}"),
    "percent": lambda value: f"{value:.0f}",
}
"""Values that are shown differently from how they are stored."""

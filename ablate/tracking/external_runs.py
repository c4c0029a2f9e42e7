"""Reads runs that were logged to MLflow by other tools as a study, to compare them in a table."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ablate.evidence.gather import Table, gather
from ablate.notes.note import Note
from ablate.recipe.measured import LOSSES
from ablate.recipe.node import plain_scalar
from ablate.recipe.recipe import Recipe
from ablate.recipe.settings import Choice, Settings
from ablate.recipe.shape import available, did_you_mean
from ablate.recipe.variant import Change, Compare, Variant
from ablate.registry import UnknownName, lookup
from ablate.store.records import RunRecord, Status, StudyRecord, VariantRecord
from ablate.tracking.address import resolve, trouble
from ablate.tracking.connection import client_of, quiet
from ablate.tracking.limits import cut

USUAL_METRICS = ("valid_loss", "val_loss")
"""Default metrics, if runs have them."""

EPOCHS = ("epochs", "num_epochs", "n_epochs", "max_epochs")
"""Params with a run's number of epochs."""

STATUSES: dict[str, Status] = {
    "FINISHED": "finished",
    "RUNNING": "running",
    "SCHEDULED": "queued",
    "FAILED": "failed",
    "KILLED": "interrupted",
}

WORDS = {
    "lower": {
        "loss", "losses", "error", "err", "nll", "mse", "rmse", "mae", "mape", "perplexity", "ppl", "wer", "cer", "fid",
    },
    "higher": {
        "accuracy", "acc", "auc", "auroc", "f1", "precision", "recall", "iou", "miou", "map", "r2", "dice", "bleu",
        "score",
    },
}  # fmt: skip
"""Words in the names of metrics that imply which direction is better."""

LONGEST_DESCRIPTION = 60
LONGEST_SEED, MOST_SEEDS = 30, 5


@dataclass(frozen=True)
class LoggedRun:
    """One run in MLflow; times in milliseconds since 1970."""

    id: str
    name: str
    status: str
    start: int
    end: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]

    def get(self, place: str) -> str | None:
        """The text at ``params.x``, ``tags.x`` or ``run_name``, None if there is none."""
        kind, _, key = place.partition(".")
        return (self.name if kind == "run_name" else getattr(self, kind).get(key)) or None


@dataclass(frozen=True)
class Question:
    """How to read the runs: ``by`` is the field with the variant, ``seed`` that with the seed. None: automatic."""

    by: str
    seed: str | None = None
    metric: str | None = None
    better: Literal["lower", "higher"] | None = None
    baseline: str | None = None


@dataclass(frozen=True)
class Logged:
    """The study, and notes about assumptions and ignored runs. ``epochs``: whether all numbers of epochs are known."""

    study: StudyRecord
    notes: tuple[Note, ...] = ()
    epochs: bool = False

    def table(self) -> Table:
        """The table. The parent of every variant is the baseline."""
        table = gather(self.study)
        rows = table.rows if self.epochs else tuple(replace(row, epochs=None) for row in table.rows)
        return replace(table, rows=rows)


def read_logged(experiment: str, question: Question, tracking_uri: str | None = None) -> Logged:
    """The runs of an experiment (by name or id) as a study. Raises ValueError with one line."""
    for flag, place in (("--by", question.by), ("--seed", question.seed)):
        if place is not None and not re.fullmatch(r"(params|tags)\..+|run_name", place):
            rule = "must be params.NAME, tags.NAME or run_name"
            raise ValueError(f"{flag} (={place}) {rule}. Did you mean 'params.{place}'?")
    return as_study(experiment, fetch(experiment, tracking_uri), question)


def fetch(experiment: str, tracking_uri: str | None) -> list[LoggedRun]:
    """All runs of an experiment that are not deleted, oldest first; imports MLflow. Raises ValueError with one line."""
    address = resolve(tracking_uri)
    if address.database is not None and not address.database.exists():
        raise ValueError(
            f"database (={address.database}) does not exist. Set --tracking-uri to the MLflow server or database."
        )
    try:
        with quiet():
            client = client_of(address.uri)
            found = client.get_experiment_by_name(experiment)
            if found is None and experiment.isdecimal():
                found = next((one for one in client.search_experiments() if one.experiment_id == experiment), None)
            names = [] if found is not None else [one.name for one in client.search_experiments()]
            runs: list[Any] = []
            token: str | None = ""
            while found is not None and token is not None:
                page = client.search_runs(
                    [found.experiment_id],
                    order_by=["attributes.start_time ASC"],
                    max_results=1000,
                    page_token=token or None,
                )
                runs += page
                token = page.token or None
    except Exception as error:
        reason = trouble(error, address).replace("could not be written", "could not be read")
        raise ValueError(reason) from address.shareable(error)
    if found is None:
        rule = f"is not an experiment in MLflow (={address.shown})"
        raise ValueError(f"--from-mlflow (={experiment}) {rule}.{available(experiment, names)}")
    return [
        LoggedRun(
            run.info.run_id, run.info.run_name or "", run.info.status, run.info.start_time, run.info.end_time,
            dict(run.data.params), dict(run.data.tags), dict(run.data.metrics),
        )
        for run in runs
    ]  # fmt: skip


def as_study(name: str, runs: Sequence[LoggedRun], question: Question) -> Logged:
    """The runs as a study. Raises ValueError as `read_logged` does."""
    notes: list[Note] = []
    named = [run for run in runs if run.get(question.by) is not None]
    if not named:
        known = places(runs)
        key = question.by.rpartition(".")[2]
        near = next((f" Did you mean '{one}'?" for one in known if one.rpartition(".")[2] == key), "")
        near = did_you_mean(question.by, known) or near or available(question.by, known) or " It has no runs."
        raise ValueError(f"--by (={question.by}) was not found in any run of {name}.{near}")
    _left_out(notes, len(runs) - len(named), question.by)
    seeded, place = with_seeds(named, question.seed, notes)
    metric = metric_of(seeded, question.metric)
    compare = Compare(metric, question.better or direction(metric))
    groups: dict[str, dict[int, LoggedRun]] = {}
    for seed, run in seeded:
        of_variant = groups.setdefault(str(run.get(question.by)), {})
        if seed in of_variant:
            notes.append(Note("repeated_seed", str(run.get(question.by)), (seed,)))
        of_variant[seed] = run
    baseline = question.baseline
    if baseline is None:
        baseline = next(iter(groups))
        if len(groups) > 1:
            notes.append(Note("first_is_baseline", baseline))
    elif baseline not in groups:
        raise ValueError(f"--baseline (={baseline}) must be a value of {question.by}.{available(baseline, groups)}")
    hidden = {question.by.partition(".")[2], (place or "").partition(".")[2]}
    common = {one: shared(of.values(), hidden) for one, of in groups.items()}
    paired = place is not None
    rows = [
        VariantRecord(
            variant(one, None if one == baseline else baseline, common[one], common[baseline]),
            tuple(record(run, seed, metric, paired) for seed, run in sorted(groups[one].items())),
        )
        for one in sorted(groups, key=lambda one: one != baseline)
    ]
    variants = tuple(row.variant for row in rows)
    seeds = tuple(sorted({seed for of in groups.values() for seed in of}))
    recipe = Recipe(name, "", variants, seeds, compare, None, Path(), "")
    known_epochs = all(whole(params, EPOCHS) is not None for params in common.values())
    return Logged(StudyRecord(recipe, tuple(rows), rounded=True), tuple(dict.fromkeys(notes)), known_epochs)


def places(runs: Sequence[LoggedRun]) -> list[str]:
    """The fields that could identify variants or seeds: params, and tags that are not MLflow's own."""
    params = dict.fromkeys(f"params.{key}" for run in runs for key in run.params)
    tags = dict.fromkeys(f"tags.{key}" for run in runs for key in run.tags if not key.startswith("mlflow."))
    return [*params, *tags]


def with_seeds(
    runs: Sequence[LoggedRun], place: str | None, notes: list[Note]
) -> tuple[list[tuple[int, LoggedRun]], str | None]:
    """Each run with its seed, and the field of the seed. If there is none (None), every run counts as another seed.

    Seeds that are not integers are numbered in the order of their texts, after the largest integer.
    """
    asked = place
    place = place or "params.seed"
    texts = [(run.get(place) or "").strip() or None for run in runs]
    if not any(text is not None for text in texts):
        if asked is not None:
            raise ValueError(f"--seed (={place}) was not found in any run.{available(place, places(runs))}")
        notes.append(Note("no_seeds"))
        return list(enumerate(runs)), None
    _left_out(notes, texts.count(None), place)
    numbers = {text: number for text in texts if text is not None and (number := _number(text)) is not None}
    others = sorted({text for text in texts if text is not None} - numbers.keys())
    numbered = {text: i for i, text in enumerate(others, start=max(numbers.values(), default=-1) + 1)}
    if numbered:
        shown = [f"{cut(' '.join(text.split()), LONGEST_SEED)} is {i}" for text, i in numbered.items()]
        more = f" and {len(shown) - MOST_SEEDS} more" if len(shown) > MOST_SEEDS else ""
        notes.append(Note("text_seeds", values={"place": place, "texts": ", ".join(shown[:MOST_SEEDS]) + more}))
    numbers |= numbered
    return [(numbers[text], run) for text, run in zip(texts, runs, strict=True) if text is not None], place


def _number(text: str) -> int | None:
    """The seed in a text, if it is an integer of at least 0: 3, or 3.0."""
    match = re.fullmatch(r"\s*([0-9]{1,18})(\.0*)?\s*", text)
    return int(match[1]) if match else None


def _left_out(notes: list[Note], count: int, place: str) -> None:
    if count:
        notes.append(Note("left_out", values={"count": count, "unit": "run", "place": place}))


def metric_of(runs: Sequence[tuple[int, LoggedRun]], asked: str | None) -> str:
    """The metric to compare. Raises ValueError if it does not exist, or if none is given and no default exists."""
    finished = [run for _, run in runs if run.status == "FINISHED"] or [run for _, run in runs]
    known = list(dict.fromkeys(name for run in finished for name in run.metrics))
    if asked is not None and asked not in known:
        hint = available(asked, known) or " The runs have no metrics."
        raise ValueError(f"--metric (={asked}) was not found in any run.{hint}")
    usual = asked or next((name for name in USUAL_METRICS if name in known), known[0] if len(known) == 1 else None)
    if usual is None:
        what = f"Available: {', '.join(known)}" if known else "The runs have no metrics"
        raise ValueError(f"--metric is required. {what}.")
    return usual


def direction(metric: str) -> Literal["lower", "higher"]:
    """Which direction of a metric is better, by its name. Raises ValueError if the name does not imply it."""
    if metric in LOSSES:
        return "lower"
    try:
        known = getattr(lookup("metric", metric).settings, "better", None)
    except UnknownName:
        known = None
    words = set(re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", metric).lower()))
    lower, higher = (known == way or (known is None and bool(words & WORDS[way])) for way in ("lower", "higher"))
    if lower == higher:
        raise ValueError(f"--better (lower or higher) is required for the metric {metric}.")
    return "lower" if lower else "higher"


def shared(runs: Any, hidden: set[str]) -> dict[str, str]:
    """The params that all runs of a variant share, without those of variant and seed."""
    first, *others = [run.params for run in runs]
    return {
        key: value
        for key, value in first.items()
        if key not in hidden and all(other.get(key) == value for other in others)
    }


def variant(name: str, parent: str | None, params: Mapping[str, str], baseline: Mapping[str, str]) -> Variant:
    """A variant whose changes are the params that differ from the baseline's; its settings: epochs and batch size."""
    changed = {key: value for key, value in params.items() if baseline.get(key) != value} if parent else {}
    description = ", ".join(f"{key} {value}" for key, value in changed.items())
    if len(description) > LONGEST_DESCRIPTION:
        description = f"{description[: LONGEST_DESCRIPTION - 1].rstrip()}…"
    choices: dict[str, Any] = {kind: Choice(kind, None, "logged:elsewhere", {}) for kind in Settings.CHOICES}
    numbers = {"epochs": whole(params, EPOCHS), "batch_size": whole(params, ("batch_size",))}
    settings = Settings(**choices, **{key: number for key, number in numbers.items() if number})
    changes = tuple(Change(name, "set", key, meant(value)) for key, value in changed.items())
    return Variant(name, parent, description, changes, settings)


def whole(params: Mapping[str, str], names: Sequence[str]) -> int | None:
    """The first of these params that is an integer greater than 0."""
    return next((number for name in names if name in params and (number := _number(params[name]))), None)


def record(run: LoggedRun, seed: int, metric: str, paired: bool) -> RunRecord:
    """A run's last values as its result. A finished run whose metric is not finite has diverged."""
    status, reason = STATUSES.get(run.status, "failed"), ""
    value = run.metrics.get(metric)
    if status == "finished" and value is not None and not is_number(value):
        shown = value if math.isnan(value) else math.copysign(math.inf, value)
        status, reason = "diverged", f"{metric} (={shown}) is not finite"
    values = {name: value for name, value in run.metrics.items() if is_number(value)}
    epochs = whole(run.params, EPOCHS) or 0
    return RunRecord(
        fingerprint=run.id,
        seed=seed,
        status=status,
        reason=reason,
        epoch=epochs if status == "finished" else 0,
        epochs=epochs,
        results={at: values for at in ("selected", "last")} if status == "finished" else {},
        seconds=(run.end - run.start) / 1000 if run.end is not None and status == "finished" else None,
        started=run.start / 1000,
        finished=run.end / 1000 if run.end is not None else None,
        notes=() if paired else (Note("no_seed"),),
    )


def is_number(value: float) -> bool:
    """Whether a logged value is finite. MLflow stores infinity in a database as the largest float."""
    return abs(value) < sys.float_info.max


def meant(text: str) -> Any:
    """The value of a logged param, which MLflow stores as text, as in a recipe."""
    try:
        return plain_scalar(text)
    except ValueError:
        return text

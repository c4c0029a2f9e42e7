"""Describes a study, a variant, a seed and its curves for MLflow, in plain values from the store."""

from __future__ import annotations

import getpass
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ablate.recipe.settings import Settings
from ablate.recipe.variant import MeanOfLast
from ablate.report.notes import sentence
from ablate.store.places import at_of, axis_at, on_axis
from ablate.store.provenance import Provenance
from ablate.store.records import ENDED_BADLY, RunRecord, StudyRecord, VariantRecord
from ablate.store.store import Store
from ablate.tracking.limits import METRICS_PER_CALL, NAME, PARAM_VALUE, TAG_VALUE, cut, cut_lines, digest, legal_key
from ablate.version import __version__

NOTE = "mlflow.note.content"  # the description of a run or experiment in the UI, in Markdown
PARENT = "mlflow.parentRunId"
PUBLICATION = "mlflow.ablate.publication"  # the UI hides tags with the prefix mlflow
NOT_CURVES = ("epoch", "time", "at")


@dataclass(frozen=True)
class Description:
    """One MLflow run without its curves. ``start`` and ``end`` are milliseconds since 1970, None if unknown."""

    name: str
    status: str
    start: int | None
    end: int | None
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, float] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Changes when something has to be sent again. Params are not included, because they cannot be changed."""
        return digest([self.name, self.status, self.end, dict(self.tags), dict(self.results)])


@dataclass(frozen=True)
class Point:
    """One value of one metric. ``time`` is in milliseconds since 1970, ``step`` that of `stepped`."""

    key: str
    value: float
    time: int
    step: int


@dataclass(frozen=True)
class Stretch:
    """A segment of curves for one call: whole epochs up to and including ``epoch``.

    ``not_finite`` maps metrics to the first epoch with NaN or infinity. Such values are left out of the curves, because
    MLflow cannot plot NaN, and plots infinity as 1.8e308, which flattens all other values.
    """

    points: tuple[Point, ...]
    epoch: int
    not_finite: Mapping[str, int]


def of_study(study: StudyRecord, store: Store) -> Description:
    """The study's run."""
    recipe = study.recipe
    runs = [run for row in study.rows for run in row.runs]
    compare = recipe.compare
    at = compare.at.words if isinstance(compare.at, MeanOfLast) else f"at {compare.at}"
    better = f"{compare.metric}, {compare.better} is better, {at}{', log scale' if compare.log else ''}"
    tags = {
        "ablate.kind": "study",
        "ablate.study": recipe.study,
        "ablate.description": recipe.description,
        "ablate.variants": ", ".join(row.variant.name for row in study.rows),
        "ablate.seeds": ", ".join(map(str, recipe.seeds)),
        "ablate.folds": "" if recipe.folds is None else str(recipe.folds.k),
        "ablate.compare": better,
        "ablate.version": __version__,
        **_status_tags(runs),
        **_source_tags(study, _first_provenance(runs, store)),
    }
    return Description(cut(recipe.study, NAME), overall(runs), _start(runs), _end(runs), _legal_tags(tags))


def of_variant(study: StudyRecord, row: VariantRecord, store: Store) -> Description:
    """A variant's run, whose params are its resolved settings."""
    variant = row.variant
    published = ", ".join(f"{name} {value:g}" for name, value in variant.published.items())
    note = [variant.description, "\n".join(f"- {change}" for change in variant.changes)]
    note += [f"Published: {published}"] if published else []
    tags = {
        "ablate.kind": "variant",
        "ablate.study": study.recipe.study,
        "ablate.variant": variant.name,
        "ablate.row": _row(study, row),
        "ablate.from": variant.parent or "",
        "ablate.description": variant.description,
        "ablate.changes": "; ".join(map(str, variant.changes)),
        "ablate.published": published,
        NOTE: "\n\n".join(part for part in note if part),
        **_status_tags(row.runs),
        **_source_tags(study, _first_provenance(row.runs, store)),
    }
    return Description(
        _name(variant.name), overall(row.runs), _start(row.runs), _end(row.runs), _legal_tags(tags), params(row)
    )


def of_seed(study: StudyRecord, row: VariantRecord, run: RunRecord, store: Store) -> Description:
    """A seed's run without its curves; ``results`` has its reported values."""
    provenance = store.provenance(run.fingerprint)
    fold = "" if run.fold is None else f" · fold {run.fold}"
    tags = {
        "ablate.kind": "seed",
        "ablate.study": study.recipe.study,
        "ablate.variant": row.variant.name,
        "ablate.seed": str(run.seed),
        "ablate.status": run.status,
        "ablate.reason": run.reason,
        "ablate.notes": "\n".join(map(sentence, run.notes)),
        "ablate.row": _row(study, row),
        "ablate.seconds": "" if run.seconds is None else f"{run.seconds:.1f}",
        "ablate.device_seconds": "" if run.device_seconds is None else f"{run.device_seconds:.1f}",
        "ablate.parameters": "" if run.parameters is None else str(run.parameters),
        "ablate.selected_epoch": _place(run, run.selected_epoch),
        "ablate.best_epoch": _place(run, run.best_epoch),
        **{f"ablate.provenance.{key}": value for key, value in _flat(provenance.to_json()).items()},
        **_source_tags(study, provenance),
    }
    # curves end with the last epoch's values: add the reported ones only if they are of another epoch
    other = run.selected_epoch is not None and run.selected_epoch != run.epoch
    results = {f"{name}.selected": value for name, value in run.results.get("selected", {}).items() if other}
    fixed = {"seed": str(run.seed), "fold": "" if run.fold is None else str(run.fold), "fingerprint": run.fingerprint}
    return Description(
        name=_name(row.variant.name, f" · seed {run.seed}{fold}"),
        status=overall([run]),
        start=_start([run]),
        end=_end([run]),
        tags=_legal_tags(tags),
        params={key: value for key, value in fixed.items() if value},
        results=finite(results),
    )


def stretches(lines: Iterable[Mapping[str, Any]], after: int | None) -> Iterator[Stretch]:
    """The curves after epoch ``after`` (None: from the beginning), with as many whole epochs as one call allows."""
    points: list[Point] = []
    not_finite: dict[str, int] = {}
    last = after
    for line, step in stepped(lines):
        epoch = int(line["epoch"])
        if last is not None and epoch <= last:
            continue
        new: list[Point] = []
        for name, value in line.items():
            if name in NOT_CURVES or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if math.isfinite(value):
                new.append(Point(legal_key(name), float(value), int(line.get("time", 0) * 1000), step))
            else:
                not_finite.setdefault(name, epoch)
        if points and last is not None and len(points) + len(new) > METRICS_PER_CALL:
            yield Stretch(tuple(points), last, not_finite)
            points, not_finite = [], {}
        points += new
        last = epoch
    if last is not None and last != after:
        yield Stretch(tuple(points), last, not_finite)


def stepped(lines: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Each line of metrics with its step in MLflow, an integer: the step that the user's code gave, otherwise the
    epoch, rounded up, otherwise the number of the point; but at least one more than the line before, so that no two
    points share a step.
    """
    last: int | None = None
    for line in lines:
        at = line.get("at") or {}
        step = math.ceil(at.get("step", at.get("epoch", line["epoch"])))
        last = step if last is None else max(step, last + 1)
        yield line, last


def params(row: VariantRecord) -> dict[str, str]:
    """A variant's settings as flat params: ``model`` is a name, ``model.hidden`` a setting; tricks by name."""
    settings = row.variant.settings
    flat: dict[str, str] = {}
    for key, value in settings.dump().items():
        if key in Settings.CHOICES:
            flat |= _options(key, value)
        elif key in Settings.LISTS:
            flat[key] = ", ".join(choice.label for choice in getattr(settings, key))
            seen: Counter[str] = Counter()
            for choice, options in zip(getattr(settings, key), value, strict=True):
                seen[choice.label] += 1
                again = f" {seen[choice.label]}" if seen[choice.label] > 1 else ""
                # names are in the list, targets are not
                flat |= _options(f"{key}.{choice.label}{again}", options, named=choice.target is not None)
        else:
            flat |= _flat({key: value})
    return {legal_key(key): cut(value, PARAM_VALUE) for key, value in flat.items()}


def overall(runs: Iterable[RunRecord]) -> str:
    """MLflow's status of several runs: running if one is, failed if one failed, killed if one was interrupted."""
    states = {run.status for run in runs}
    if "running" in states:
        return "RUNNING"
    if states & set(ENDED_BADLY):
        return "FAILED"
    if states & {"interrupted", "stale"}:
        return "KILLED"
    return "RUNNING" if "queued" in states else "FINISHED"


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """The finite values, under legal keys."""
    return {legal_key(key): float(value) for key, value in values.items() if math.isfinite(value)}


def _place(run: RunRecord, point: int | None) -> str:
    """A point of a run as the epoch or step of the user's code, if it has them."""
    if point is None:
        return ""
    at = at_of(run, "last" if point == run.epoch else "best")
    return f"{on_axis(point, at, axis_at(at)):.10g}"


def _row(study: StudyRecord, row: VariantRecord) -> str:
    """The variant's position in the study's table, as a sortable string."""
    return f"{[each.variant.name for each in study.rows].index(row.variant.name) + 1:03}"


def _options(key: str, options: Mapping[str, Any], named: bool = True) -> dict[str, str]:
    name = {key: str(options.get("name") or options.get("target"))} if named else {}
    rest = {field: value for field, value in options.items() if field not in ("name", "target")}
    return name | {f"{key}.{field}": _text(value) for field, value in rest.items()}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: _text(value)}
    return flat


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _name(variant: str, end: str = "") -> str:
    return cut(" ".join(variant.split()), NAME - len(end)) + end


def _status_tags(runs: Iterable[RunRecord]) -> dict[str, str]:
    counts = Counter(run.status for run in runs)
    reasons = {run.reason: None for run in runs if run.reason}
    status = ", ".join(f"{count} {name}" for name, count in counts.items())
    return {"ablate.status": status, "ablate.reason": "\n".join(reasons)}


def _source_tags(study: StudyRecord, provenance: Provenance) -> dict[str, str]:
    return {
        "mlflow.user": _user(),
        "mlflow.source.name": study.recipe.path.name if study.recipe.path else study.recipe.study,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": provenance.git_commit or "",
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # users of containers may have no name
        return ""


def _legal_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags with legal keys and truncated values, without empty ones."""
    rest = f"… (truncated to {TAG_VALUE} characters)"
    return {legal_key(key): cut_lines(value, TAG_VALUE, rest) for key, value in tags.items() if value}


def _first_provenance(runs: Iterable[RunRecord], store: Store) -> Provenance:
    """The provenance of the first run that has begun."""
    return next((store.provenance(run.fingerprint) for run in runs if run.status != "queued"), Provenance())


def _start(runs: Iterable[RunRecord]) -> int | None:
    times = [run.started for run in runs if run.started is not None]
    return int(min(times) * 1000) if times else None


def _end(runs: Iterable[RunRecord]) -> int | None:
    times = [run.finished for run in runs if run.finished is not None]
    return int(max(times) * 1000) if times and overall(runs) != "RUNNING" else None

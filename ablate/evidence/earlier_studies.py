"""The scatter of earlier studies of the same data, which helps to estimate that of a study with few seeds.

The comparisons are chosen when the first verdict is about to be shown, recorded in the study's ``prior.jsonl``, and
never change afterwards. An earlier study counts if its runs had ended before this one's began, so no result of this
one can have decided which it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from ablate.evidence.paired import differences, scatter
from ablate.evidence.seeds import finite
from ablate.evidence.table import ALL_LOSSES
from ablate.recipe.recipe import Recipe
from ablate.recipe.variant import Compare
from ablate.store.checked import EarlierScatter, Look, Prior, StudyRow
from ablate.store.descriptors import LinkError
from ablate.store.disk import DiskError
from ablate.store.records import RunRecord, VariantRecord
from ablate.store.store import Store

FEWEST = 5
"""The fewest seeds of an earlier comparison, and those of a variant that no table has shown."""

MOST = 20
"""Earlier studies that are read: the ones written last."""


@dataclass(frozen=True)
class Own:
    """What a study that is about to show verdicts is compared with: its runs, and what identifies its data."""

    study: str
    compare: Compare
    runs: Mapping[str, RunRecord]
    data: str | None


def earlier_scatter(
    recipe: Recipe, family: Sequence[VariantRecord], store: Store, looks: Sequence[Look], *, showing: bool
) -> tuple[EarlierScatter, ...]:
    """The comparisons of earlier studies that the verdicts of this one use.

    Those that were recorded with its first verdict; with ``showing``, they are chosen and recorded now if no verdict on
    this metric has been shown. None if ``compare.prior`` is off, and for cross-validation, means of the last epochs,
    logarithms and declared failures, for which earlier studies were not measured.
    """
    compare = recipe.compare
    at = compare.at
    if compare.prior == "off" or recipe.folds is not None or not isinstance(at, str) or compare.log or compare.failed:
        return ()
    for line in store.priors(recipe.study):
        if (line["metric"], line["at"]) == (compare.metric, at):
            found = tuple(line["comparisons"])
            return found if not found or line["data"] == own_data(family, compare, store) else ()
    if not showing or any((one["metric"], one["at"]) == (compare.metric, at) for one in looks):
        return ()
    runs = {run.fingerprint: run for record in family for run in record.runs if run.status != "queued"}
    data = own_data(family, compare, store)
    try:
        chosen = choose(Own(recipe.study, compare, runs, data), store)
    except LinkError:  # a link in the place of another study, whose runs are unknown
        return ()
    line = Prior(metric=compare.metric, at=at, data=data or "", comparisons=chosen)
    try:
        store.add_prior(recipe.study, line)
    except DiskError:  # a store that is only read
        return ()
    return tuple(chosen)


def own_data(family: Sequence[VariantRecord], compare: Compare, store: Store) -> str | None:
    """What identifies the data of the first variant with a run that has been trained; of each, one run is read."""
    trained = (next((run.fingerprint for run in one.runs if run.status == "finished"), None) for one in family)
    each = (data_of(name, compare, store) for name in trained if name is not None)
    return next((data for data in each if data is not None), None)


def data_of(fingerprint: str, compare: Compare, store: Store) -> str | None:
    """Identifies what a run was evaluated on, and what the compared metric measures: the part of its fingerprint that
    concerns the data, their split and the metric. None if it is unknown, as for the user's own training.
    """
    facts = dict(store.identity(fingerprint))
    settings = facts.get("settings")
    if not isinstance(settings, dict) or not isinstance(data := settings.get("data"), dict) or "args" in settings:
        return None
    metric, metrics = compare.metric, settings.get("metrics")
    named = [one for one in metrics if isinstance(one, dict)] if isinstance(metrics, list) else []
    measure = settings.get("loss") if metric in ALL_LOSSES else [one for one in named if metric.endswith(label(one))]
    versions, code = (mapping(facts.get(key)) for key in ("versions", "code"))
    targets = [
        one["target"] for one in (data, settings.get("loss"), *named) if isinstance(one, dict) and "target" in one
    ]
    used = [data, facts.get("folds"), measure, versions.get(f"data/{data.get('name')}")]
    terms = [*used, [code.get(str(target)) for target in targets]]
    return hashlib.blake2b(json.dumps(terms, sort_keys=True).encode(), digest_size=16).hexdigest()


def mapping(value: object) -> Mapping[str, object]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def label(metric: Mapping[str, object]) -> str:
    """The name of a metric, also of one by ``target``."""
    return str(metric.get("name") or str(metric.get("target")).rpartition(":")[2])


def choose(own: Own, store: Store) -> list[EarlierScatter]:
    """The comparisons of earlier studies: of the same data, ended before, on runs of their own."""
    if own.data is None:
        return []
    used, found = set(own.runs), list[EarlierScatter]()
    for study, rows in alike(own, store):
        every = {name for row in rows for name in (*row["runs"].values(), *row.get("before", {}).values())}
        began = [run.started for name, run in own.runs.items() if name not in every]
        records = known([name for row in rows for name in row["runs"].values()], store)
        ended = [run.finished for run in records.values() if run.status != "queued"]
        if not began or not ended or not precedes(ended, began):
            continue
        mine = [one for row in rows if (one := compared(study, row, rows, own, records, store, used))]
        distinct = {one[1]: one for one in reversed(mine)}
        found += [one for one, _ in reversed(distinct.values())]
        used |= every
    return found


def precedes(ended: Sequence[float | None], began: Sequence[float | None]) -> bool:
    """Whether all runs ended before any other began."""
    last, first = ([time for time in times if time is not None] for times in (ended, began))
    return len(last) == len(ended) and len(first) == len(began) and max(last) < min(first)


def alike(own: Own, store: Store) -> Iterator[tuple[str, list[StudyRow]]]:
    """The other studies of the same data, those written last first, with their variants as the recipe has them.

    Reads a study's file, and of its runs only what one was computed from.
    """
    written = {
        name: status.st_mtime
        for name in store.studies()
        if name != own.study and (status := store.disk.status(store.study_file(name))) is not None
    }
    count = 0
    for name in sorted(written, key=lambda one: (-written[one], one)):
        rows = [row for row in store.study(name)["rows"] if not row.get("flags")]
        first = next((run for row in rows for run in row["runs"].values()), None)
        if first is not None and data_of(first, own.compare, store) == own.data:
            yield name, rows
            count += 1
        if count == MOST:
            return


def known(names: Sequence[str], store: Store) -> dict[str, RunRecord]:
    """The records of these runs."""
    return {run.fingerprint: run for run in store.records([(name, 0, 0, None) for name in dict.fromkeys(names)])}


def compared(
    study: str,
    row: StudyRow,
    rows: Sequence[StudyRow],
    own: Own,
    records: Mapping[str, RunRecord],
    store: Store,
    used: Set[str],
) -> tuple[EarlierScatter, tuple[str, ...]] | None:
    """A comparison of an earlier study, and its runs; None if it does not count."""
    parent = next((one for one in rows if one["variant"] == row.get("from")), None)
    if parent is None or used & {*row["runs"].values(), *parent["runs"].values()}:
        return None
    seeds = [seed for seed in first_seeds(row, store.looks(study)) if seed in parent["runs"]]
    names = [side["runs"][seed] for side in (row, parent) for seed in seeds]
    runs = [records[name] for name in names]
    measured = [run.results.get(str(own.compare.at), {}).get(own.compare.metric) for run in runs]
    count = len(seeds)
    if count < FEWEST or any("." in seed for seed in seeds) or not finite(measured):
        return None
    if any(run.status != "finished" or run.target_scaling != runs[0].target_scaling for run in runs):
        return None
    if any(data_of(names[place], own.compare, store) != own.data for place in (0, count)):
        return None
    values = [value for value in measured if value is not None]
    size = scatter(differences(values[:count], values[count:]))
    if not 1e-100 < size < 1e100:
        return None
    one: EarlierScatter = {
        "study": study,
        "variant": row["variant"],
        "from": parent["variant"],
        "variance": size**2,
        "degrees": count - 1,
    }
    return one, tuple(names)


def first_seeds(row: StudyRow, looks: Sequence[Look]) -> list[str]:
    """The seeds of the first verdict on a variant that was shown; if none was, the first ones: later seeds may have
    been added because of the results.
    """
    for line in looks:
        if line["variant"] == row["variant"] and (names := set(line["runs"]) & set(row["runs"].values())):
            return [seed for seed, name in row["runs"].items() if name in names]
    return list(row["runs"])[:FEWEST]

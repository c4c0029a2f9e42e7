"""Where the results of a study come from: commit, versions, devices, data, commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from datetime import UTC, datetime

from ablate.addresses import safe_words
from ablate.evidence.earlier_studies import own_data
from ablate.report.notes import cut
from ablate.report.page.contents import Page
from ablate.report.wording import plain
from ablate.store.provenance import Provenance

MOST_VALUES = 6
"""Different values of a term that are listed before they are only counted."""


def provenance(page: Page) -> list[tuple[str, str]]:
    """Terms and their values over all trained runs, without those that are unknown."""
    study, runs = page.study, [run for run in page.runs if run.started is not None]
    known = list(page.store.provenances([run.fingerprint for run in runs]))
    recipe = study.recipe
    rows: dict[str, Iterable[str | None]] = {
        "Recipe": [None if recipe.path is None else recipe.path.name],
        "Options": [shlex.join(safe_words(recipe.selection))],
        "Command": (None if one.command is None else shlex.join(one.command) for one in known),
        "Commit": map(commit, known),
        "ablate": (one.ablate for one in known),
        "Python": (one.python for one in known),
        "PyTorch": (one.torch for one in known),
        "CUDA": (one.cuda for one in known),
        "Device": (one.device_name or one.device for one in known),
        "Platform": (one.platform for one in known),
        "Data": map(samples, known),
        "Data key": [own_data(study.family or study.rows, recipe.compare, page.store)],
        "Trained": [period([run.started for run in runs], [run.finished for run in runs])],
    }
    return [(term, text) for term, values in rows.items() if (text := distinct(values))]


def distinct(values: Iterable[str | None]) -> str:
    """The different values, in their order."""
    return plain(cut(list(dict.fromkeys(value for value in values if value)), MOST_VALUES))


def commit(one: Provenance) -> str | None:
    """The commit, and whether there were other changes."""
    return None if one.git_commit is None else one.git_commit + " with uncommitted changes" * bool(one.git_dirty)


def samples(one: Provenance) -> str:
    """``train 1,438, valid 359``: the number of samples of each split."""
    origin = one.origin
    counts = {"train": origin.train, "valid": origin.valid, "test": origin.test}
    text = ", ".join(f"{split} {count:,}" for split, count in counts.items() if count)
    return f"{text} samples" if text else ""


def period(started: Iterable[float | None], finished: Iterable[float | None]) -> str | None:
    """From the first start to the last end, in UTC."""
    times = [[time for time in each if time is not None] for each in (started, finished)]
    if not times[0]:
        return None
    first, last = min(times[0]), max(times[1], default=None)
    return at(first) if last is None else f"{at(first)} to {at(last)}"


def at(time: float) -> str:
    """``2026-11-30 14:19 UTC``."""
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M} UTC"

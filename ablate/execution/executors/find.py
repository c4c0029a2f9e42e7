"""Executors by name: the project's own, and those of installed packages (entry points in the group `ablate.executors`).

An entry point names a function of (store, label, options) that returns an `Executor`: the folder of runs, the name of
the study and the `RunOptions`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from ablate.execution.executors.executor import Executor
from ablate.execution.run_options import RunOptions
from ablate.store.store import Store

GROUP = "ablate.executors"

SETTINGS = "ablate.toml"
"""The file in the working folder with a table of resources for each executor."""

RAY_LOOKS = 0.5
"""Seconds between two looks at the states of Ray's tasks, which cost nothing: its driver tells them."""

EXAMPLES = {"slurm": "partition=gpu,time=4:00:00", "ray": "num_gpus=0.5,num_cpus=2"}
"""Options of executors, as examples in messages."""

Make = Callable[[Store, str, RunOptions], Executor]


def executor_of(store: Store, label: str, options: RunOptions) -> Executor:
    """The executor that the options name.

    Raises ValueError if there is none or its resources are wrong, and ExecutorError if it cannot be used here.
    """
    return _makers()[checked_name(options.executor)](store, label, options)


def checked_name(name: str) -> str:
    """A name for which there is an executor. Raises ValueError."""
    if name not in (known := sorted(_makers())):
        raise ValueError(f"--executor (={name}) must be {' or '.join((', '.join(known[:-1]), known[-1]))}.")
    return name


def resources_of(executor: str, given: Sequence[str]) -> dict[str, str]:
    """What jobs of an executor are asked to get: from the table in ``ablate.toml``, the environment and the command
    line, of which the last counts.

    Raises ValueError, also for options that a built-in executor cannot use.
    """
    variable = f"ABLATE_{executor.upper()}"
    example = EXAMPLES.get(executor, "name=value")
    found = {
        **_from_file(executor, example),
        **_from_words([os.environ.get(variable, "")], f"${variable}", example),
        **_from_words(given, f"--{executor}", example),
    }
    if executor == "slurm":
        from ablate.execution.executors.slurm import check_options

        check_options(found)
    if executor == "ray":
        from ablate.execution.executors.ray import Resources

        Resources.of(found, threads=1)
    return found


def _makers() -> Mapping[str, Make]:
    return {**{point.name: _loaded(point) for point in entry_points(group=GROUP)}, **BUILT_IN}


def _loaded(point: EntryPoint) -> Make:
    def make(store: Store, label: str, options: RunOptions) -> Executor:
        executor: Executor = point.load()(store, label, options)
        return executor

    return make


def _local(store: Store, label: str, options: RunOptions) -> Executor:
    from ablate.execution.executors.local import LocalExecutor

    return LocalExecutor()


def _slurm(store: Store, label: str, options: RunOptions) -> Executor:
    from ablate.execution.executors.cluster import ClusterExecutor
    from ablate.execution.executors.slurm import Slurm

    cluster = Slurm(options.resources, options.threads or 1)
    return ClusterExecutor(cluster, store, label, per_job=options.runs_per_job, every=options.look_every)


def _ray(store: Store, label: str, options: RunOptions) -> Executor:
    from ablate.execution.executors.cluster import ClusterExecutor
    from ablate.execution.executors.ray import Ray

    cluster = Ray(options.resources, store.root.absolute(), options.threads or 1)
    return ClusterExecutor(cluster, store, label, per_job=options.runs_per_job, every=RAY_LOOKS)


BUILT_IN: Mapping[str, Make] = {"local": _local, "slurm": _slurm, "ray": _ray}


def _from_file(executor: str, example: str) -> dict[str, str]:
    path = Path(SETTINGS)
    if not path.exists():
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ValueError(f"file (={path}) must be UTF-8 text.") from None
    except OSError as error:
        raise ValueError(f"file (={path}) cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ValueError(f"file (={path}) must be valid TOML: {error}.") from None
    known = sorted(_makers().keys() - {"local"})
    for name in tables:
        if name not in known:
            these = " or ".join(f"[{one}]" for one in known)
            raise ValueError(f"{name} in file (={path}) must be the table of an executor: {these}.")
    table = tables.get(executor, {})
    if not isinstance(table, dict):
        name, _, value = example.partition(",")[0].partition("=")
        line = f'{name} = "{value}"'
        raise ValueError(f"{executor} in file (={path}) must be a table: [{executor}], then lines such as {line}.")
    for name, value in table.items():
        if not isinstance(value, str | int | float | bool):
            raise ValueError(f'{executor}.{name} in file (={path}) must be a string, such as {name} = "value".')
    return {name: "" if value is True else str(value) for name, value in table.items() if value is not False}


def _from_words(given: Sequence[str], what: str, example: str) -> dict[str, str]:
    """``partition=gpu,time=4:00:00,exclusive``. A part without ``=`` after one with it belongs to that one's value if
    it could not be an option: ``nodelist=n1,n2``.
    """
    found: dict[str, str] = {}
    for words in given:
        last = ""
        for part in filter(None, (part.strip() for part in words.split(","))):
            name, equals, value = part.partition("=")
            if equals and name:
                if not value:
                    raise ValueError(
                        f"{what} (={part}) must have a value after the equals sign. Add it, or remove {name}."
                    )
                found[name.lstrip("-")], last = value, name.lstrip("-")
            elif last:
                found[last] += f",{part}"
            elif equals:
                raise ValueError(f"{what} (={words}) must be options NAME=VALUE, such as {example}.")
            else:
                found[part.lstrip("-")] = ""
    return found

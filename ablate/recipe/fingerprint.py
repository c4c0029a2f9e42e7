"""The identity of a run: a hash of everything that affects its result, and of nothing else.

Settings with their default value are left out of the hash, so that a new field does not make finished runs outdated.
Changing a default changes behavior: it requires a new version of the entry or of the engine.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from ablate.recipe.contents import content_hash
from ablate.recipe.folds import Folds
from ablate.recipe.mends import MENDS
from ablate.recipe.own_training import own_training
from ablate.recipe.settings import Choice, Settings, Training
from ablate.recipe.settings_builder import files
from ablate.recipe.targets import code_digest, local_code
from ablate.registry import Named, entries, inside

ENGINE_VERSION = 2
"""Increase it when the engine's results for given settings, or a default of `Settings`, change.

All earlier runs become outdated.
"""

EVALUATED = ("data", "loss", "metrics", "precision")
"""The settings that affect the result of a variant with ``joined``, besides its members."""

MISSING = object()
"""The default of a required field: equal to no setting."""


def fingerprint(settings: Settings, seed: int, fold: int | None = None, *, folder: Path) -> str:
    """32 hex characters for one run of these settings; ``folder`` is the recipe's, searched last for the user's code.

    Raises ValueError with one line if a data file or a target's module is missing or cannot be read.
    """
    return run_fingerprint(identity(settings, folder=folder), seed, fold)


def identity(
    settings: Settings, *, folder: Path, folds: Folds | None = None, gone: Mapping[Path, str] | None = None
) -> str:
    """The part of the fingerprint that all seeds and folds of a variant share.

    Reads modification times of the data and the user's code, so call it once per variant. ``gone`` has the
    `content_hash` of files that no longer exist.
    """
    known = facts(settings, folder=folder, folds=folds, gone=gone)
    return _hash(known | {"settings": without_defaults(settings, known["settings"])})


def run_fingerprint(shared: str, seed: int, fold: int | None = None) -> str:
    """The fingerprint of one seed (and fold) of the variant with this `identity`."""
    # what _hash would encode; a study may have 100,000 runs
    text = f'{{"fold":{"null" if fold is None else fold},"seed":{seed},"settings":"{shared}"}}'
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def facts(
    settings: Settings, *, folder: Path, folds: Folds | None = None, gone: Mapping[Path, str] | None = None
) -> dict[str, Any]:
    """Everything that the identity is computed from, in plain values, to explain why two identities differ."""
    own = own_training(settings.trainer)
    code = {target: code_digest(target.partition(":")[0], folder) for target in sorted(_targets(settings))}
    known: dict[str, Any] = {
        "settings": _plain(settings, folder, folds, gone or {}),
        "versions": _versions(settings),
        "code": code if own is None else own.code_digests(folder),
    }
    if own is None:
        known["engine"] = ENGINE_VERSION
    known |= {mend.fact: mend.version for mend in MENDS if mend.holds(settings, known["settings"])}
    return known if folds is None else known | {"folds": folds.dump()}


def code_files(settings: Settings, folder: Path) -> tuple[Path, ...]:
    """The user's files that the settings' targets and trainer run, without installed packages and Python's library.

    Raises ValueError as `fingerprint` does.
    """
    modules = {target.partition(":")[0] for target in _targets(settings)}
    local = {path for module in modules for path in local_code(module, folder).values()}
    return tuple(
        sorted(local.union(own.code_files(folder) if (own := own_training(settings.trainer)) is not None else ()))
    )


def _hash(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _choices(settings: Settings) -> Iterator[tuple[str, Choice]]:
    if own_training(settings.trainer) is not None:
        yield "trainer", settings.trainer
        return
    for name in settings.CHOICES:
        if not settings.joined or name in EVALUATED:
            yield name, getattr(settings, name)
    for name in settings.DECIDING:
        for i, choice in enumerate(getattr(settings, name)):
            yield f"{name}[{i}]", choice


def _targets(settings: Settings) -> set[str]:
    collate = settings.batch.collate_choice
    choices = [choice for _, choice in _choices(settings)] + ([collate] if collate is not None else [])
    return {one.target for choice in choices for one in choice.all if one.target is not None}


def _plain(settings: Settings, folder: Path, folds: Folds | None, gone: Mapping[Path, str]) -> dict[str, Any]:
    """The dump without incidental settings; files as content hashes, source variants as identities, metrics sorted."""
    upon = {name: identity(below, folder=folder, folds=folds, gone=gone) for name, below in settings.sources.items()}
    tree = {key: value for key, value in settings.dump().items() if key not in settings.INCIDENTAL}
    if (own := own_training(settings.trainer)) is not None:
        del tree["metrics"]
        return tree | {"trainer": own.deciding(), "args": _read_by_target(tree["args"], folder)}
    for name in settings.CHOICES:
        tree[name] = _with_contents(getattr(settings, name), tree[name], folder, gone)
    for name in settings.DECIDING:
        tree[name] = [
            _with_contents(choice, plain, folder, gone)
            for choice, plain in zip(getattr(settings, name), tree[name], strict=True)
        ]
    tree["metrics"].sort(key=lambda metric: json.dumps(metric, sort_keys=True))
    for choice, plain in zip(settings.tricks, tree["tricks"], strict=True):
        for row in getattr(choice.options, "source_rows", ()):
            plain["source"] = {"identity": upon.get(row, row)}
    if settings.joined:
        tree = {key: tree[key] for key in EVALUATED}
        tree["joined"] = sorted(upon.get(row, row) for row in settings.joined)
    return tree


def without_defaults(settings: Settings, plain: Mapping[str, Any]) -> dict[str, Any]:
    """The plain tree of settings without default values."""

    def chosen(owner: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
        fields = owner.model_fields
        return {key: v for key, v in values.items() if key not in fields or v != _plain_default(fields[key])}

    def chosen_of(choice: Choice, values: Mapping[str, Any]) -> dict[str, Any]:
        return chosen(type(choice.options), values) if isinstance(choice.options, Named) else dict(values)

    tree = chosen(Training, plain)
    for name in filter(plain.__contains__, settings.CHOICES):
        tree[name] = chosen_of(getattr(settings, name), plain[name])
    for name in filter(plain.__contains__, settings.DECIDING):
        known = {choice.name: choice for choice in getattr(settings, name)}
        tree[name] = [chosen_of(known[values.get("name")], values) for values in plain[name]]
    return tree


def _plain_default(field: FieldInfo) -> Any:
    """A field's default as in a dump; `MISSING` if it is required."""
    default = field.get_default(call_default_factory=True, validated_data={})
    return MISSING if default is PydanticUndefined else to_jsonable_python(default)


def _with_contents(choice: Choice, plain: Any, folder: Path, gone: Mapping[Path, str]) -> Any:
    if choice.target is not None:
        return {key: value if key == "target" else _read_by_target(value, folder) for key, value in plain.items()}
    for keys, value in inside(choice.options):
        if isinstance(value, Path):
            read: Any = {"contents": gone[value] if value in gone else content_hash(value)}
        elif isinstance(value, Choice) and value.target is not None:
            read = _with_contents(value, reduce(getitem, keys, plain), folder, gone)
        else:
            continue
        reduce(getitem, keys[:-1], plain)[keys[-1]] = read
    return plain


def recorded_contents(settings: Settings, recorded: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """The files in the settings, with their content hashes from the `facts` of an earlier run, if recorded there."""
    then = recorded.get("settings", {})
    tricks = {one.get("name"): one for one in reversed(then.get("tricks", ()))}
    pairs = [(getattr(settings, name), then.get(name)) for name in settings.sections]
    for choice, below in (*pairs, *((trick, tricks.get(trick.name)) for trick in settings.tricks)):
        for keys, path in files(choice.options):
            found = below
            for key in keys:
                found = found.get(key) if isinstance(found, dict) else None
            if isinstance(found, dict) and isinstance(contents := found.get("contents"), str):
                yield path, contents


def _read_by_target(value: Any, folder: Path) -> Any:
    """An argument of a target; a string that names a file counts together with the file's contents.

    Folders are not read: datasets keep downloads in them.
    """
    if isinstance(value, dict):
        return {key: _read_by_target(item, folder) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_read_by_target(item, folder) for item in value]
    if not isinstance(value, str) or not value or not os.path.isfile(file := folder / value):
        return value
    return {"text": value, "contents": content_hash(file)}


def _versions(settings: Settings) -> dict[str, int]:
    """``kind/name`` → version of every registry entry in use, including schedules inside settings."""
    known = {entry.settings: entry for entry in entries()}
    used = (known.get(type(value)) for _, choice in _choices(settings) for _, value in inside(choice.options))
    return {f"{entry.kind}/{entry.name}": entry.version for entry in used if entry is not None}

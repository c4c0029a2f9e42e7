"""Settings at their default are no part of a fingerprint; so a default may only change together with a version.

``python tests/recipe/test_defaults.py`` writes the defaults down anew, once the version has been raised.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined, to_jsonable_python

from ablate.recipe.fingerprint import ENGINE_VERSION
from ablate.recipe.settings import Training
from ablate.registry import entries

RECORD = Path(__file__).with_name("defaults.json")


def defaults(fields) -> dict:
    found = {name: field.get_default(call_default_factory=True, validated_data={}) for name, field in fields.items()}
    return {name: to_jsonable_python(value) for name, value in found.items() if value is not PydanticUndefined}


def now() -> dict[str, dict]:
    known = {
        f"{entry.kind}/{entry.name}": {"version": entry.version, "defaults": defaults(entry.settings.model_fields)}
        for entry in entries()
        if entry.provider == "ablate" and entry.kind not in ("watch", "check")  # these are no part of a fingerprint
    }
    return {"engine": {"version": ENGINE_VERSION, "defaults": defaults(Training.model_fields)}, **known}


NOW, THEN = now(), json.loads(RECORD.read_text()) if RECORD.exists() else {}


@pytest.mark.parametrize("name", NOW)
def test_a_default_changes_only_with_its_version(name):
    assert name in THEN, f"{name} is not in {RECORD.name}: run 'python tests/recipe/{Path(__file__).name}'"
    before, after = THEN[name], NOW[name]
    if before["version"] == after["version"]:
        kept = {field: after["defaults"].get(field, "gone") for field in before["defaults"]}
        assert kept == before["defaults"], "stored runs would be taken for what they are not: raise the version"


if __name__ == "__main__":
    RECORD.write_text(json.dumps(NOW, indent=1, sort_keys=True) + "\n")

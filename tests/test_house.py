"""The project's own rules: the import contracts refuse what they forbid, and its metadata, links and configuration
files agree.
"""

from __future__ import annotations

import ast
import itertools
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import ablate

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FLOORS = [re.split(r"\s*[|:]\s*", floor) for floor in PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]]
"""The rooms on each floor, the highest floor first."""

PAGES = sorted(page for pattern in ("*.md", "docs/*.md", "bench/*.md", ".github/*.md") for page in ROOT.glob(pattern))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, in which imports can be planted."""
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(ROOT / "ablate", tmp_path / "ablate", ignore=ignored))


def plant(package: Path, module: str, imported: str) -> str:
    """Add an import to a module, which is created if needed. Returns how import-linter names the import."""
    path = package.parent / f"{module.replace('.', '/')}.py"
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\nimport {imported}\n")
    return f"{module} -> {imported}"


def lint(package: Path) -> tuple[int, str]:
    """The exit code and output of lint-imports on a copy of the package, under the project's contracts."""
    run = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    words = [sys.executable, "-c", run, "--config", str(ROOT / "pyproject.toml"), "--no-cache", "--no-logo"]
    done = subprocess.run(words, cwd=package.parent, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_contracts_hold_without_a_planted_import(package):
    code, output = lint(package)
    assert code == 0, output
    assert f"{len(PROJECT['tool']['importlinter']['contracts'])} kept, 0 broken" in output


def test_an_import_within_a_floor_is_refused_for_every_pair_of_rooms(package):
    pairs = [pair for floor in FLOORS for pair in itertools.combinations(floor, 2)]
    assert pairs
    for one, other in pairs:
        plant(package, f"ablate.{one}.planted", f"ablate.{other}")
    code, output = lint(package)
    assert code == 1
    refused = set(re.findall(r"ablate\.(\w+)\.planted -> ablate\.(\w+) ", output))
    assert refused >= set(pairs)


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("ablate.report.document", "ablate.tracking.ledger"),
        ("ablate.registry.constants", "ablate.cli.app"),
        ("ablate.engine.device", "ablate.api"),
    ],
)
def test_an_import_from_the_same_floor_or_above_is_refused(package, module, imported):
    planted = plant(package, module, imported)
    code, output = lint(package)
    assert code == 1
    assert planted in output


def test_a_circle_between_two_files_of_a_room_is_refused(package):
    plant(package, "ablate.report.planted", "ablate.report.planted_too")
    assert lint(package)[0] == 0
    plant(package, "ablate.report.planted_too", "ablate.report.planted")
    code, output = lint(package)
    assert code == 1
    assert "ablate.report" in output
    assert {"planted", "planted_too"} <= set(re.findall(r"\.(planted\w*)", output))


def test_a_room_without_a_floor_is_refused(package):
    (package / "attic").mkdir()
    (package / "attic" / "__init__.py").touch()
    code, output = lint(package)
    assert code == 1
    assert "attic" in output


def test_hooks_run_the_tools_of_make_lint():
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M)
    assert recipe is not None
    (local,) = read_yaml(ROOT / ".pre-commit-config.yaml")["repos"]
    # without what differs on purpose: a hook formats in place, and gets its files by name
    tools = {re.sub(r"( --check)?( \.)?$", "", line) for line in re.findall(r"\$\(BIN\)/(.*)", recipe[1])}
    hooks = {hook["entry"].removesuffix(" --force-exclude") for hook in local["hooks"]}
    assert hooks == {f".venv/bin/{tool}" for tool in tools}


def test_versions_agree():
    changes = re.findall(r"^## \[(.+?)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)
    version = PROJECT["project"]["version"]
    assert ablate.__version__ == version
    assert version in dict(changes)
    citation = read_yaml(ROOT / "CITATION.cff")
    released = next((version, date) for version, date in changes if date != "unreleased")
    assert (citation["version"], citation["date-released"]) == released
    assert citation["license"] == PROJECT["project"]["license"]


def test_the_wheel_is_marked_as_typed():
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"]["ablate"]
    assert (ROOT / "ablate" / "py.typed").exists()


def test_the_wheel_has_every_file_of_the_package():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["ablate"]
    others = [path.relative_to(ROOT / "ablate") for path in (ROOT / "ablate").rglob("*.*") if path.is_file()]
    others = [path for path in others if path.suffix not in (".py", ".pyc")]
    assert others
    assert [path for path in others if not any(path.match(pattern) for pattern in patterns)] == []


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem
)
def test_an_issue_form_is_one_that_github_accepts(form):
    content = read_yaml(form)
    assert {"name", "description", "body"} <= set(content)
    assert {field["type"] for field in content["body"]} <= {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    ids = [field["id"] for field in content["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files(page):
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    targets = re.findall(r"\]\(<?([^)\s>]+)", prose) + re.findall(r"""(?:src|href)=["']([^"']+)""", prose)
    files = {target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)}
    assert not sorted(file for file in files if not (page.parent / file).exists())


def read_yaml(path: Path) -> dict:
    return YAML(typ="safe").load(path)


ACCESS = {
    *("open", "read_text", "read_bytes", "write_text", "write_bytes", "exists", "is_file", "is_dir", "glob", "rglob"),
    *("iterdir", "stat", "lstat", "unlink", "mkdir", "rmdir", "touch", "symlink_to", "hardlink_to", "chmod", "walk"),
    *("listdir", "scandir", "replace", "rename", "remove", "truncate", "rmtree", "copy", "move"),
}
"""Methods of paths, and functions of ``os`` and ``shutil``, that look at files or change them."""

OF_STORE = {"run_folder", "study_folder", "study_file", "lock_file", "cache_file"}
"""What gives a path in the folder of runs."""


def accesses(code: str, *, everywhere: bool) -> list[str]:
    """The calls that look at files by themselves: all of them, or those at what `OF_STORE` gives."""
    tree = ast.parse(code)
    paths: set[str] = set()

    def in_store(node: ast.AST) -> bool:
        names = {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
        if re.search(r"\bstore\.root\b", ast.unparse(node)):
            return True
        names |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        return bool(names & (OF_STORE | paths)) and "disk" not in names

    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and in_store(node.value) and not isinstance(node.value, ast.Call | ast.Compare):
            paths |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id == "open":
            found += [ast.unparse(node)] if everywhere or any(map(in_store, node.args)) else []
        elif isinstance(called, ast.Attribute) and called.attr in ACCESS:
            by_module = isinstance(called.value, ast.Name) and called.value.id in ("os", "shutil", "torch")
            of_path = any(map(in_store, node.args)) if by_module else in_store(called.value)
            of_disk = ast.unparse(called.value).endswith(("disk", "self", "store"))
            of_text = called.attr == "replace" and not by_module  # str.replace, or of a dataclass
            if not of_disk and (of_path or (everywhere and not of_text)):
                found.append(ast.unparse(node))
    return found


def test_only_the_disk_looks_at_files_in_the_folder_of_runs():
    """It follows no link out of it."""
    found = {}
    for path in sorted((ROOT / "ablate").rglob("*.py")):
        room, name = path.parent.name, path.name
        if (room, name) not in (("store", "disk.py"), ("store", "descriptors.py")):
            calls = accesses(path.read_text(encoding="utf-8"), everywhere=room == "store")
            found |= {f"{room}/{name}": calls} if calls else {}
    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        "store.run_folder(name).joinpath('x').read_text()",
        "path = store.study_folder(study) / 'a.json'\npath.exists()",
        "os.unlink(store.root / 'a')",
        "open(store.run_folder(name) / 'log.txt')",
        "shutil.rmtree(self.store.root)",
    ],
)
def test_access_to_the_folder_of_runs_is_found(code):
    assert accesses(code, everywhere=False)

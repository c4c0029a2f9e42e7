"""The user's own code, found and read without importing any of it."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from ablate.registry import suggestion

TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
MAKES_NAMES = {"__getattr__", "globals", "locals", "vars", "exec", "eval", "setattr"}
"""A module that uses one of these can define names that its syntax tree does not show."""
INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True)
class Module:
    """A module. ``path``: its file, if known; ``local``: it is the user's own, neither installed nor Python's."""

    name: str
    path: Path | None
    local: bool
    package: bool


def target_rule(target: str, folder: Path) -> str | None:
    """An error message for an invalid target, as the end of a sentence; None if its module exists and can be read."""
    if not TARGET.fullmatch(target):
        return "must be module:attribute, such as my_networks:Net."
    module = target.partition(":")[0]
    found = find_module(module, folder)
    if found is None:
        return f"is in module '{module}', which was not found. Install it, or create {module}.py in {folder}."
    if (hidden := _hidden(module, found, folder)) is not None:
        there = found.path or "Python's standard library"
        return f"refers to the module in {there}, not to {hidden} in the recipe's folder. Rename {hidden}."
    try:
        local_code(module, folder)
    except ValueError as error:
        return f"cannot be used: {error}"
    if (meant := _meant(found, target.partition(":")[2].partition(".")[0])) is not None:
        return f"is not defined in {found.path}. Did you mean '{module}:{meant}'?"
    return None


def _meant(module: Module, name: str) -> str | None:
    """The name in the user's module that is similar to an undefined ``name``; None if it is, or may be, defined."""
    if not module.local or module.package or module.path is None:
        return None
    source = _source(module.path, module.path.read_bytes())
    return None if source.open or name in source.names else suggestion(name, source.names)


def find_module(name: str, folder: Path) -> Module | None:
    """The module as a job would find it: the module path first, the recipe's folder last. None if there is none."""
    top, *rest = name.split(".")
    if top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return Module(name, None, local=False, package=False)
    spec = _spec(top, [*job_path(), str(folder)]) or _other_spec(top)
    for i, part in enumerate(rest, start=2):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = _spec(".".join([top, *rest][:i]), list(spec.submodule_search_locations), part)
    if spec is None:
        return None
    path = Path(spec.origin) if spec.has_location and spec.origin else None
    local = path is not None and top != "ablate" and is_own(path)
    return Module(name, path, local, package=spec.submodule_search_locations is not None)


def _hidden(module: str, found: Module, folder: Path) -> str | None:
    """The file or folder next to the recipe that another module of the same name takes precedence over."""
    top = module.partition(".")[0]
    for beside in (folder / f"{top}.py", folder / top / "__init__.py"):
        if not beside.is_file():
            continue
        first = found if module == top else find_module(top, folder)
        if first is None or first.path is None or not first.path.samefile(beside):
            return beside.name if beside.parent == folder else top
    return None


_known_path: tuple[str, ...] | None = None


def know_path(path: tuple[str, ...] | None) -> None:
    """Set the result of `job_path`, which otherwise asks a new process; None resets it."""
    global _known_path
    _known_path = tuple(entry for entry in path if entry) if path is not None else None


def job_path() -> list[str]:
    """The module path of a job, without the recipe's folder, which comes last.

    Unlike this process's path, it never has an entry for the working folder or a script's folder.
    """
    if _known_path is not None:
        return list(_known_path)
    if sys.flags.safe_path:
        return [entry for entry in sys.path if entry]
    return list(_fresh_path(os.getcwd(), os.environ.get("PYTHONPATH", "")))


def search_also(folder: Path | None) -> None:
    """Append the recipe's folder to this process's module path."""
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))


@lru_cache(maxsize=16)
def _fresh_path(folder: str, variable: str) -> tuple[str, ...]:
    """The module path of a new process; cached, because it takes 20 ms."""
    program = "import json, sys; print(json.dumps(sys.path))"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, check=False, text=True)
    try:
        return tuple(entry for entry in json.loads(done.stdout.splitlines()[-1]) if entry)
    except (ValueError, IndexError):
        return tuple(entry for entry in sys.path if entry)


def _spec(name: str, folders: list[str], part: str = "") -> ModuleSpec | None:
    try:
        return PathFinder.find_spec(name, folders)
    except KeyError:  # a namespace package inside another looks for its parent among the imported modules
        below = [str(Path(folder, part)) for folder in folders if Path(folder, part).is_dir()]
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = below
        return spec


def _other_spec(top: str) -> ModuleSpec | None:
    """The spec from other finders than the path's, such as those of editable installations."""
    for finder in sys.meta_path:
        if finder in (BuiltinImporter, FrozenImporter, PathFinder):
            continue
        try:
            if (spec := finder.find_spec(top, None)) is not None:
                return spec
        except (AttributeError, ImportError, ValueError):
            continue
    return None


@lru_cache(maxsize=4096)
def is_own(path: Path) -> bool:
    """Whether a file is the user's own: neither in an installed package nor in Python's library."""
    if INSTALLED.intersection(path.parts) or not path.is_file():
        return False
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    return not any(path.is_relative_to(library) for library in libraries if library)


def local_code(module: str, folder: Path) -> dict[str, Path]:
    """Module name → file, for a module and all that it imports, directly or not, if they are the user's own.

    Raises ValueError with one line for a file that is not valid Python.
    """
    found: dict[str, Path] = {}
    waiting, seen = [module], set[str]()
    while waiting:
        parts = waiting.pop().split(".")
        for i in range(1, len(parts) + 1):  # importing a.b.c runs a and a.b first
            name = ".".join(parts[:i])
            if name in seen:
                continue
            seen.add(name)
            where = find_module(name, folder)
            if where is None:
                break
            if where.local and where.path is not None:
                found[name] = where.path
                waiting += _imports(where)
    return dict(sorted(found.items()))


def script_code(path: Path) -> dict[str, Path]:
    """A script and all that it imports from its folder, by module; any other file by itself. Raises ValueError."""
    found = {path.name: path}
    if path.suffix == ".py":
        for name in _imports(Module("__main__", path, local=True, package=False)):
            found |= local_code(name, path.parent)
    return found


def file_digest(path: Path) -> str:
    """The hash of a file: of its syntax tree if it is Python, otherwise of its contents. Raises ValueError."""
    return _source(path, path.read_bytes()).digest


def _imports(module: Module) -> Iterator[str]:
    """The names that a module imports; those of ``from a import b`` may not be modules."""
    assert module.path is not None
    inside = module.name.split(".") if module.package else module.name.split(".")[:-1]
    for kind, level, base, names in _source(module.path, module.path.read_bytes()).imports:
        if kind == "import":
            yield from names
            continue
        if level > len(inside) + 1:
            continue
        prefix = [*inside[: len(inside) - (level - 1)], *([base] if base else [])] if level else [base]
        above = ".".join(prefix)
        if above:
            yield above
        yield from (f"{above}.{name}" if above else name for name in names if name != "*")


@dataclass(frozen=True)
class Source:
    """A source file: a hash of its syntax tree, without comments and positions, and its imports.

    ``names`` are those that its code binds, at any depth; ``open``: it may bind others.
    """

    digest: str
    imports: tuple[tuple[str, int, str, tuple[str, ...]], ...]
    names: tuple[str, ...] = ()
    open: bool = True


@lru_cache(maxsize=1024)
def _source(path: Path, data: bytes) -> Source:
    if path.suffix != ".py":
        return Source(hashlib.blake2b(data, digest_size=16).hexdigest(), ())
    try:
        with warnings.catch_warnings():  # invalid escape sequences in the user's strings
            warnings.simplefilter("ignore")
            tree = ast.parse(data)
        syntax = json.dumps(_plain(tree), separators=(",", ":"))
    except SyntaxError as error:
        raise ValueError(f"{path} has a syntax error on line {error.lineno}: {error.msg}.") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as Python: {error}.") from None
    imports: list[tuple[str, int, str, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports.append(("import", 0, "", tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.ImportFrom):
            imports.append(("from", node.level, node.module or "", tuple(alias.name for alias in node.names)))
    digest = hashlib.blake2b(syntax.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names = tuple(dict.fromkeys(_bound(tree)))
    return Source(digest, tuple(imports), names, "*" in names or bool(MAKES_NAMES & {*used, *names}))


def _bound(tree: ast.AST) -> Iterator[str]:
    """The names that a syntax tree binds: functions, classes, variables and imports; ``*`` for a star import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]


def _plain(node: Any) -> Any:
    """A syntax tree as lists. Empty fields are left out, so that Python versions with more fields give the same."""
    if isinstance(node, ast.AST):
        fields = [[name, _plain(value)] for name, value in ast.iter_fields(node) if value is not None and value != []]
        return [type(node).__name__, *fields]
    if isinstance(node, list):
        return [_plain(item) for item in node]
    return node if isinstance(node, str) else repr(node)


def code_digest(module: str, folder: Path) -> dict[str, str]:
    """Module names → hashes of the code in `local_code`. Raises ValueError as that does."""
    return {name: _source(path, path.read_bytes()).digest for name, path in local_code(module, folder).items()}

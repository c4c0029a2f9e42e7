"""``trainer: {command: "python train.py --lr {lr} --seed {seed}"}``: the user's own script, unmodified."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ablate.recipe.settings import Settings
from ablate.recipe.targets import file_digest, local_code, script_code
from ablate.registry import Card, register
from ablate.trainers.shared.command_line import BUILT_IN, Style, Template, parts
from ablate.trainers.shared.reading import Read
from ablate.trainers.trainer import ReadTrainer

if TYPE_CHECKING:
    from ablate.engine.contract import Assignment, Outcome, Report, State

SEED = re.compile(rb"\bABLATE_SEED\b")
EPOCHS = re.compile(rb"\bABLATE_EPOCHS\b")


class Config(BaseModel):
    """A YAML file that is copied for each run, with ``args`` at its dotted keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(description="the YAML file")
    to: str = Field(default="{out}/config.yaml", description="where the copy is written")


@register(
    "trainer",
    "command",
    card=Card(
        "A training script of your own, in any language, started once per run.",
        helps="Ablates scripts without changing them: arguments in, metrics out.",
        costs="Without resume_args, an interrupted run starts again.",
    ),
)
class Command(ReadTrainer):
    """Starts a command for each run, and reads the metrics that it reports."""

    command: str | tuple[str, ...] = Field(description="the command, with fields such as {lr}, {args}, {seed}, {out}")
    style: Style = Field(default="--key=value", description="how {args} writes the arguments")
    config: Config | None = Field(default=None, description="a YAML file that is copied for each run, with 'args' set")
    resume_args: tuple[str, ...] = Field(default=(), description="words to add if the run resumes")
    code: tuple[str, ...] = Field(default=(), description="files and folders of the code; by default those named")
    cwd: str | None = Field(default=None, description="the working folder; by default the recipe's folder")
    read: Read = Field(default=Read(jsonl="{out}/metrics.jsonl"), description="where the metrics are read from")

    @model_validator(mode="after")
    def _is_a_template(self) -> Command:
        Template(self.command, self.style)
        if self.resume_args:
            Template(self.resume_args, self.style)
            if self.read.regex is not None and "epoch" not in self.read.regex:
                raise ValueError("with resume_args must have a regular expression for 'epoch' in read.regex.")
        return self

    # what it runs

    @property
    def templates(self) -> list[Template]:
        """The command, and what is added to it on resuming."""
        return [Template(words, self.style) for words in (self.command, self.resume_args) if words]

    def folder(self, folder: Path) -> Path:
        """The working folder, given the recipe's."""
        return folder / (self.cwd or "")

    @property
    def reading(self) -> Mapping[str, Any]:
        return self.read.model_dump(mode="json", exclude_defaults=True)

    def metrics_file(self, settings: Settings, seed: int, fold: int | None, out: str, folder: Path) -> Path | None:
        file = self.read.jsonl or self.read.csv
        if file is None:
            return None
        [path] = Template([file], self.style).filled({}, self.fields_of(settings, seed, fold, out, "cpu"))
        return self.folder(folder) / path

    def deciding(self) -> dict[str, Any]:
        chosen = {"command", "style", "resume_args", "config"}
        return {"name": "command", **self.model_dump(mode="json", include=chosen, exclude_defaults=True)}

    def code_digests(self, folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, files in self._code(folder):
            found[name] = {part: file_digest(path) for part, path in files.items()}
        return found

    def code_files(self, folder: Path) -> set[Path]:
        return {path for _, files in self._code(folder) for path in files.values()}

    def _code(self, folder: Path) -> Iterator[tuple[str, dict[str, Path]]]:
        """The name of each part of the code, with its files. Raises ValueError."""
        where = self.folder(folder)
        if self.config is not None:
            yield self.config.file, {"config": where / self.config.file}
        if self.code:
            for name in self.code:
                yield name, files_below(where / name)
            return
        words = Template(self.command, self.style).words
        for word, following in zip(words, [*words[1:], ""], strict=True):
            if word == "-m" and following:
                yield following, local_code(following, where)
            elif not word.startswith("-") and not any(field for _, field in parts(word)) and (where / word).is_file():
                yield word, script_code(where / word)

    def ignores_epochs(self, folder: Path) -> str | None:
        if any("epochs" in template.fields or "args.epochs" in template.fields for template in self.templates):
            return None
        if self._mentions(folder, EPOCHS):
            return None
        return "is not used by the command. Add {epochs} to it, or remove 'epochs'."

    def ignores_seed(self, folder: Path) -> bool:
        """Whether neither the command nor its code mentions the seed."""
        return not any("seed" in template.fields for template in self.templates) and not self._mentions(folder, SEED)

    def _mentions(self, folder: Path, pattern: re.Pattern[bytes]) -> bool:
        try:
            return any(pattern.search(path.read_bytes()) for path in self.code_files(folder))
        except (OSError, ValueError):
            return True  # reported elsewhere

    # what is checked when planned

    def check(self, settings: Settings, folder: Path) -> None:
        where = self.folder(folder)
        if not where.is_dir():
            raise ValueError(f"trainer.cwd (={self.cwd}) must be a folder. It is relative to the recipe's folder.")
        for name in settings.args:
            if name in BUILT_IN or name == "args":
                raise ValueError(f"args.{name} has the name of a built-in field of commands. Rename it.")
        fields = set().union(*(template.fields for template in self.templates))
        for name, value in settings.args.items():
            if is_secret(value) and name in fields:
                way = (
                    f"The script can read the environment variable {value['env']}. Remove {{{name}}} from the command."
                )
                raise ValueError(f"args.{name} is secret, and command lines can be seen by others. {way}")
        words = self.words(settings, {name: f"{{{name}}}" for name in BUILT_IN})
        unused = [name for name in settings.args if name not in fields and not is_secret(settings.args[name])]
        if unused and "args" not in fields and self.config is None:
            raise ValueError(
                f"args.{unused[0]} is not used by the command. Add {{{unused[0]}}} or {{args}} to it, or remove it."
            )
        if not runs(words[0], where):
            raise ValueError(f"trainer.command (={words[0]}) was not found. Check its path, or install it.")
        for name, path in [(name, where / name) for name in self.code]:
            if not path.exists():
                raise ValueError(f"trainer.code (={name}) does not exist. It is relative to the working folder.")
        self.write_config(settings.args, where, None)
        self.code_files(folder)

    @staticmethod
    def fields_of(settings: Settings, seed: int, fold: int | None, out: str, device: str) -> dict[str, str]:
        """The values of the built-in fields of a run."""
        known: dict[str, str] = {"seed": str(seed), "out": out, "device": "cpu" if device == "cpu" else "cuda:0"}
        known |= {"epochs": str(settings.epochs)} if settings.epochs else {}
        return known | ({"fold": str(fold)} if fold is not None else {})

    def command_line(self, settings: Settings, seed: int, fold: int | None, out: str, device: str) -> list[str]:
        return self.words(settings, self.fields_of(settings, seed, fold, out, device))

    def words(self, settings: Settings, built_in: Mapping[str, str], *, resumes: bool = False) -> list[str]:
        """The words of the command line. Raises ValueError with one line."""
        templates = self.templates if resumes else self.templates[:1]
        try:
            args = {name: value for name, value in settings.args.items() if not is_secret(value)}
            return [word for template in templates for word in template.filled(args, built_in)]
        except ValueError as error:
            raise ValueError(f"trainer.command {error}") from None

    def write_config(self, args: Mapping[str, Any], where: Path, fields: Mapping[str, str] | None) -> None:
        """Copy the configuration with the arguments at their keys; without ``fields``, only check that it is possible.

        Raises ValueError with one line.
        """
        if self.config is None:
            return
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        yaml = YAML(typ="rt", pure=True)
        name = f"trainer.config.file (={self.config.file})"
        try:
            tree = yaml.load((where / self.config.file).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, YAMLError) as error:
            reason = getattr(error, "strerror", None) or "it is not valid YAML"
            raise ValueError(f"{name} cannot be read: {reason}. It is relative to the working folder.") from None
        used = Template(self.command, self.style).fields
        for key, value in leaves(args):
            if key[0] in used or is_secret(value):
                continue
            below = tree
            for part in key[:-1]:
                below = below.get(part) if isinstance(below, dict) else None
            if not isinstance(below, dict) or key[-1] not in below:
                path = ".".join(key)
                raise ValueError(f"args.{path} is not a key of {self.config.file}. Add it there, or remove it.")
            below[key[-1]] = value
        if fields is not None:
            [path] = Template([self.config.to], self.style).filled({}, fields)
            Path(where / path).parent.mkdir(parents=True, exist_ok=True)
            with (where / path).open("w", encoding="utf-8") as file:
                yaml.dump(tree, file)

    # running it

    def train(self, assignment: Assignment, report: Report, state: State | None) -> Sequence[Outcome]:
        from ablate.trainers.shared.script import run_script

        return [run_script(self, assignment, replica, report, state) for replica in range(len(assignment.seeds))]

    def read_again(
        self, settings: Settings, seed: int, written: Sequence[bytes], *, resumed: bool
    ) -> tuple[list[dict[str, Any]], Outcome | Exception]:
        from ablate.trainers.shared.script import read_again

        return read_again(self, settings, seed, written, resumed=resumed)


def leaves(args: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each argument that is not a mapping, with the keys that lead to it; a key may be dotted."""
    for name, value in args.items():
        key = (*above, *name.split("."))
        if isinstance(value, Mapping) and value and not is_secret(value):
            yield from leaves(value, key)
        else:
            yield key, value


def is_secret(value: object) -> bool:
    """Whether an argument is ``{env: NAME}``, whose value is never written down."""
    return isinstance(value, Mapping) and list(value) == ["env"]


def runs(program: str, folder: Path) -> bool:
    """Whether a program can be started from ``folder``."""
    from shutil import which

    from ablate.trainers.shared.script import search_path

    return (
        which(program, path=search_path()) is not None
        if os.sep not in program
        else os.access(folder / program, os.X_OK)
    )


def files_below(path: Path) -> dict[str, Path]:
    """The files of a file or folder by relative name, without caches and hidden ones. Raises ValueError."""
    if path.is_file():
        return script_code(path)
    found = {}
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        for name in sorted(names):
            if not name.startswith(".") and not name.endswith(".pyc"):
                found[Path(folder, name).relative_to(path).as_posix()] = Path(folder, name)
    if not found:
        raise ValueError(f"trainer.code (={path}) has no files. Check its path, which is relative to the recipe.")
    return found

"""Command lines from templates: ``python train.py --lr {lr} {args} --seed {seed} --out {out}``."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

Style = Literal["--key=value", "--key value", "key=value"]

BUILT_IN = ("seed", "epochs", "out", "device", "fold")
"""Fields that are not arguments."""

FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class Template:
    """A command as words with fields. Raises ValueError with one line if it is invalid.

    ``{lr}`` is the value of ``args.lr``: strings as they are, other values as JSON. ``{augment:flag}`` is ``--augment``
    if the value is true, and no word if it is false. ``{args}`` stands for all arguments that have no field of their
    own, in the ``style``. ``{{`` and ``}}`` are braces.
    """

    def __init__(self, command: str | Sequence[str], style: Style) -> None:
        try:
            self.words = shlex.split(command) if isinstance(command, str) else list(command)
        except ValueError as error:
            raise ValueError(f"cannot be split into words: {str(error).lower()}.") from None
        self.style = style
        if not self.words:
            raise ValueError("must not be empty.")
        for word in self.words:
            for text, field in parts(word):
                if field is None and text in ("{", "}"):
                    raise ValueError(f"has a single '{text}' in '{word}'. Write '{text}{text}' for a brace.")
                name, _, form = ("x" if field is None else field).partition(":")
                if form not in ("", "flag") or not re.fullmatch(r"[^\W\d][\w.-]*", name):
                    raise ValueError(f"has an invalid field '{{{field}}}'. Write '{{name}}' or '{{name:flag}}'.")
                if form == "flag" and word != text:
                    raise ValueError(f"has '{text}' inside the word '{word}'. It must be a word of its own.")
                if name == "args" and word != text:
                    raise ValueError(f"has '{text}' inside the word '{word}'. It must be a word of its own.")

    @property
    def fields(self) -> set[str]:
        """The names of all fields."""
        found = (field for word in self.words for _, field in parts(word) if field is not None)
        return {field.partition(":")[0] for field in found}

    def filled(self, args: Mapping[str, Any], built_in: Mapping[str, str]) -> list[str]:
        """The words of the command. Raises ValueError with one line for a field without a value."""
        values = {**args, **built_in}
        rest = {name: value for name, value in args.items() if name not in self.fields}
        words: list[str] = []
        for word in self.words:
            if word == "{args}":
                words += styled(rest, self.style)
                continue
            made = ""
            for text, field in parts(word):
                if field is None:
                    made += text[0] if text in ("{{", "}}") else text
                    continue
                name, _, form = field.partition(":")
                if name not in values:
                    raise ValueError(f"has the field '{text}', but there is no args.{name}.")
                if form == "flag":
                    made += option(name) if flag(name, values[name]) else ""
                else:
                    made += shown(values[name])
            if made or not word.endswith(":flag}"):
                words.append(made)
        return words


def parts(word: str) -> Iterator[tuple[str, str | None]]:
    """The pieces of a word: (text, None), or (text, name of the field)."""
    end = 0
    for found in FIELD.finditer(word):
        if found.start() > end:
            yield word[end : found.start()], None
        yield found[0], found[1]
        end = found.end()
    if end < len(word):
        yield word[end:], None


def styled(args: Mapping[str, Any], style: Style) -> list[str]:
    """Arguments as words. Options that are true are ``--name``; those that are false are left out."""
    words: list[str] = []
    for name, value in args.items():
        if style == "key=value":
            words.append(f"{name}={shown(value)}")
        elif isinstance(value, bool):
            words += [option(name)] if value else []
        elif style == "--key value":
            words += [option(name), shown(value)]
        else:
            words.append(f"{option(name)}={shown(value)}")
    return words


def option(name: str) -> str:
    """``--name``."""
    return f"--{name}"


def flag(name: str, value: object) -> bool:
    """The value of a flag. Raises ValueError if it is neither true nor false."""
    if not isinstance(value, bool):
        raise ValueError(f"has the field '{{{name}:flag}}', so args.{name} (={shown(value)}) must be true or false.")
    return value


def shown(value: object) -> str:
    """A value on a command line: strings as they are, others as JSON."""
    return value if isinstance(value, str) else json.dumps(value)

"""Errors of typer and of the system in our one-line form: what is wrong with its value, the rule, the fix."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ablate.cli.streams import STDOUT

RULES = {
    r"valid integer": "must be an integer.",
    r"valid number|valid float": "must be a number.",
    r"must not be empty": "must be the name of a directory, such as runs.",
    r"greater than or equal to (\S+)|x>=(\S+?)\.?$": "must be at least {}.",
    r"less than or equal to (\S+)|x<=(\S+?)\.?$": "must be at most {}.",
}
"""What typer's messages about values say → our rule."""


def usage(error: Any, words: Sequence[str]) -> str:
    """A wrong command line: an unknown command or option, a missing or invalid value."""
    kind, text = type(error).__name__, str(error.format_message()).strip()
    context: Any = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "ablate"
    if kind == "NoArgsIsHelpError" or not text or len(text.splitlines()) > 1:
        return "Missing command. See 'ablate --help'."
    option = getattr(error, "option_name", None)
    if kind == "NoSuchOption":
        known = [one for parameter in context.command.get_params(context) for one in parameter.opts] if context else []
        return f"{option} is not an option of '{command}'.{near(str(option), known, command)}"
    if kind == "MissingParameter":
        name = error.param.opts[0] if error.param.opts[0].startswith("-") else error.param.metavar
        return f"{name} is missing. {' '.join(context.get_usage().split())}"
    if found := re.match(r"No such command '(.*?)'", text):
        return f"command (={found[1]}) does not exist.{near(found[1], list(context.command.commands), 'ablate')}"
    if found := re.search(r"unexpected extra arguments? ?(?:\(s\))? ?\((.*)\)", text):
        return f"argument (={found[1]}) is not expected. {' '.join(context.get_usage().split())}"
    if "requires an argument" in text:
        return f"{option} requires a value."
    parameter = getattr(error, "param", None)
    if parameter is not None:
        flag = max(parameter.opts, key=len)
        rule = next(
            (
                rule.format(*filter(None, found.groups()))
                for pattern, rule in RULES.items()
                if (found := re.search(pattern, text))
            ),
            text,
        )
        return f"{flag}{value_of(parameter.opts, words)} {rule}"
    return text


def value_of(flags: Sequence[str], words: Sequence[str]) -> str:
    """`` (=x)`` for the value that an option was given last, nothing if it is not found."""
    shown = ""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        flag, equals, value = word.partition("=")
        if flag in flags:
            shown = f" (={value if equals else following})"
    return shown


def near(word: str, known: Sequence[str], command: str) -> str:
    """What to do about an unknown word."""
    from difflib import get_close_matches

    names = {one.lstrip("-"): one for one in known}  # dashes make any two options similar
    found = get_close_matches(word.lstrip("-"), names, n=1, cutoff=0.6)
    return f" Did you mean '{names[found[0]]}'?" if found else f" See '{command} --help'."


LIMITS = {
    r"can't start new thread|Resource temporarily unavailable": "No process or thread could be started: the limit on "
    "processes is reached. Raise it (ulimit -u), or use fewer --jobs.",
    r"Too many open files": "Too many files are open. Raise the limit (ulimit -n).",
    r"^MemoryError|Cannot allocate memory|failed to map segment|not enough memory|bad_alloc": "Not enough memory. Free "
    "memory, or raise its limit (ulimit -v).",
}
"""Limits of the system by what errors say when they are reached."""


def limit(error: Exception) -> str | None:
    """One line if an error says that a limit of the system is reached."""
    said = f"{type(error).__name__}: {error}"
    return next((line for pattern, line in LIMITS.items() if re.search(pattern, said)), None)


def describe(error: OSError) -> str:
    """One line for what the system refused."""
    if error.filename == STDOUT:
        return f"{STDOUT} cannot be written: {error.strerror or error}. Results are in the folder of runs."
    if isinstance(error, FileNotFoundError) and error.filename is None:
        return "The working folder does not exist any more. Change to another folder."
    name = f" (={error.filename})" if error.filename else ""
    return f"file{name}: {error.strerror or error}."

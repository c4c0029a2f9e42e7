"""The commands by name, and the one place where exceptions become messages and exit codes."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ablate.addresses import safe_text
from ablate.cli.console import say, warn
from ablate.cli.options import expanded
from ablate.cli.streams import STDOUT, abandon_stdout
from ablate.cli.usage import describe, limit, usage
from ablate.store.disk import StoreWarning

COMMANDS = (
    "run",
    "plan",
    "check",
    "table",
    "ensemble",
    "export",
    "plot",
    "report",
    "predict",
    "diff",
    "examples",
    "explain",
    "status",
    "cancel",
    "logs",
    "lr",
    "catalog",
    "ui",
    "sync",
    "clean",
    "new",
    "schema",
)
"""Each is a function of this name in a file of this name. Its docstring is its help, its last line an example."""


class Plain:
    """Help without types for switches, and without braces around the names of arguments."""

    def get_params(self, ctx: Any) -> list[Any]:
        parameters: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in parameters:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        return parameters

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        pieces: list[str] = super().collect_usage_pieces(ctx)  # type: ignore[misc]
        return [piece.strip("{}") for piece in pieces]


class Command(Plain, TyperCommand):
    pass


class Group(Plain, TyperGroup):
    pass


def build() -> typer.Typer:
    """The application with all its commands."""
    app = typer.Typer(
        name="ablate",
        cls=Group,
        help="Train a baseline and its variants with several seeds, and compare them in a table with confidence "
        "intervals and verdicts.",
        epilog="Example: ablate new mine, then ablate plan mine.yaml, then ablate run mine.yaml",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def options(
        version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True),
        debug: bool = typer.Option(
            False, "--debug", help="Show the full traceback of an error. Works in every command."
        ),
    ) -> None:
        if version:
            from ablate.version import __version__

            typer.echo(__version__)
            raise typer.Exit

    for name in COMMANDS:
        command = getattr(import_module(f"ablate.cli.{name}"), name)
        text, _, example = inspect.cleandoc(command.__doc__).partition("\n\nExample: ")
        app.command(name, cls=Command, help=text, epilog=f"Example: {example}")(expanded(command))
    return app


@contextmanager
def store_warnings_printed() -> Iterator[None]:
    """Context in which each warning about a file in the folder of runs is printed once, in one line."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, StoreWarning):
                say(f"warning: {message}")
            else:
                show(message, category, *where, **more)

        warnings.showwarning = tell
        warnings.simplefilter("default", StoreWarning)
        yield


def _executor_error() -> type[Exception]:
    from ablate.execution.executors.executor import ExecutorError

    return ExecutorError


def run_command(words: Sequence[str]) -> int:
    """Run the command line ``words`` and return its exit code. ``--debug``, anywhere, shows tracebacks instead of
    messages.
    """
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    command = typer.main.get_command(build())
    try:
        with store_warnings_printed():
            code = command.main(words, prog_name="ablate", standalone_mode=False)
            sys.stdout.flush()
    except KeyboardInterrupt:
        warn("Interrupted.")
        return 130
    except BrokenPipeError:
        # The reader of our output went away, as `head` does.
        abandon_stdout()
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.filename == STDOUT:
            abandon_stdout()
        if debug:
            raise
        if hasattr(error, "format_message"):
            warn(reduce(safe_text, words, usage(error, words)))
        elif isinstance(error, _executor_error()):
            warn(str(error))
        elif (line := limit(error)) is not None:
            warn(line)
        elif isinstance(error, ValueError | OSError):
            warn(str(error) if isinstance(error, ValueError) else describe(error))
        else:
            reason = f"{type(error).__name__}: {str(error).rstrip('.')}"
            warn(f"{reason}. This is a bug in ablate. Rerun with --debug for the traceback.")
        return 2
    return code if isinstance(code, int) else 0

"""The commands by name, and the one place where exceptions become messages and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from ablate.cli.catalog import catalog
from ablate.cli.clean import clean
from ablate.cli.console import warn
from ablate.cli.diff import diff
from ablate.cli.ensemble import ensemble
from ablate.cli.export import export
from ablate.cli.logs import logs
from ablate.cli.new import new
from ablate.cli.plan import plan
from ablate.cli.plot import plot
from ablate.cli.predict import predict
from ablate.cli.run import run
from ablate.cli.schema import schema
from ablate.cli.status import status
from ablate.cli.sync import sync
from ablate.cli.table import table
from ablate.cli.ui import ui

COMMANDS = (
    run,
    plan,
    table,
    ensemble,
    export,
    plot,
    predict,
    diff,
    status,
    logs,
    catalog,
    ui,
    sync,
    clean,
    new,
    schema,
)


def build() -> typer.Typer:
    """The application with all its commands."""
    app = typer.Typer(
        name="ablate",
        help="Write down the baseline and the tricks; get the table, with the evidence.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def version(show: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True)) -> None:
        if show:
            from ablate import __version__

            typer.echo(__version__)
            raise typer.Exit

    for command in COMMANDS:
        app.command(command.__name__)(command)
    return app


def run_command(words: Sequence[str]) -> int:
    """Run the command line ``words`` and return its exit code. ``--debug``, anywhere, shows tracebacks instead of messages."""
    debug = "--debug" in words
    command = typer.main.get_command(build())
    try:
        code = command.main([word for word in words if word != "--debug"], prog_name="ablate", standalone_mode=False)
    except KeyboardInterrupt:
        warn("interrupted")
        return 130
    except BrokenPipeError:
        # The reader of our output went away, as `head` does; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        usage = getattr(error, "format_message", None)
        if usage is not None:
            warn(usage() or "a command is needed: 'ablate --help' lists them")
            return 2
        if isinstance(error, ValueError | OSError):
            warn(str(error) if isinstance(error, ValueError) else describe(error))
            return 2
        warn(f"{type(error).__name__}: {str(error).rstrip('.')}. This is a fault of ablate; --debug shows where.")
        return 2
    return code if isinstance(code, int) else 0


def describe(error: OSError) -> str:
    """One line for what the system refused."""
    name = f" (={error.filename})" if error.filename else ""
    return f"file{name}: {error.strerror or error}."

"""The command line. Each command is a file: parse, call, render; what is heavy is imported inside the command."""

from __future__ import annotations

import io
import sys

from ablate.cli import module_path


def main() -> None:
    """Run a command and leave with its exit code: 0 all rows finished, 1 some did not, 2 the recipe or the command is wrong, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a table is shown also where a screen or a file lacks one of its letters
            stream.reconfigure(errors="backslashreplace")
    module_path.STARTED_WITH = tuple(sys.path if sys.flags.safe_path else sys.path[1:])
    from ablate.cli.app import run_command

    sys.exit(run_command(sys.argv[1:]))

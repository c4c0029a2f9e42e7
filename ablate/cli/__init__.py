"""The command line. Each command is a file: parse, call, render; what is heavy is imported inside the command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run a command and leave with its exit code: 0 all rows finished, 1 some did not, 2 the recipe or the command is wrong, 130 interrupted."""
    from ablate.cli.app import run_command

    sys.exit(run_command(sys.argv[1:]))

"""The command line. Each command is a file: parse, call, print. Heavy modules are imported inside the command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run a command and exit: 0 if all variants finished, 1 if some did not, 2 for an invalid recipe or command, 130 if
    interrupted.
    """
    path = tuple(sys.path if sys.flags.safe_path else sys.path[1:])
    from ablate.cli import app, options
    from ablate.cli.streams import open_streams

    open_streams()
    options.STARTED_WITH = path
    sys.exit(app.run_command(sys.argv[1:]))

"""The command line. Each command is a file: parse, call, print. Heavy modules are imported inside the command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run a command and exit: 0 if all variants finished, 1 if some did not, 2 for an invalid recipe or command, 130 if
    interrupted.
    """
    if not sys.flags.safe_path:
        # the script's folder or, after python -m, the working folder, whose modules may be a stranger's
        del sys.path[0]
    path = tuple(sys.path)
    from ablate.cli.streams import open_streams

    open_streams()
    if sys.flags.optimize > 1:
        sys.stderr.write("PYTHONOPTIMIZE must be less than 2, which removes the texts of the help. Unset it.\n")
        sys.exit(2)
    from ablate.cli import app, options

    options.STARTED_WITH = path
    sys.exit(app.run_command(sys.argv[1:]))

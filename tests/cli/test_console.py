from __future__ import annotations

import subprocess
import sys

from ablate.cli.console import output, say, warn


def test_messages_go_to_stderr_as_they_are(capsys):
    long = "optimizer.lr (=-0.1) must be greater than 0. " * 10
    say(long)
    warn("[bold]recipes/net.yaml:14:9[/bold] :smile:")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"{long}\n[bold]recipes/net.yaml:14:9[/bold] :smile:\n"


def test_data_goes_to_stdout_without_markup_or_colour(capsys):
    output().print("[red]x[/red] 0.5")
    captured = capsys.readouterr()
    assert captured.out == "[red]x[/red] 0.5\n"
    assert captured.err == ""


def test_nothing_heavy_is_imported():
    code = (
        "import sys, ablate.cli.console, ablate.cli.show_table, ablate.cli.progress, ablate.report.formats, ablate.evidence.gather\n"
        "heavy = 'torch mlflow sklearn pandas matplotlib scipy rich tabulate'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

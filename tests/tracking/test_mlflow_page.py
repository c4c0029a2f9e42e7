"""Every command of docs/mlflow.md, in the page's order, against a real server in the place of the page's."""

from __future__ import annotations

import re
import shlex
import signal
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "mlflow.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
EXAMPLE = "http://mlflow.example:5000"


def test_commands_of_the_page(desk, server, is_whole):
    seen = []
    for block in BLOCKS:
        variables: dict[str, str] = {}
        for line in block.replace(EXAMPLE, server).splitlines():
            program, *words = shlex.split(line, comments=True)
            seen.append(words[0])
            if program == "export":
                name, _, value = words[0].partition("=")
                variables[name] = value
                continue
            assert program == "ablate"
            with desk.start(*words, **variables) as process:
                if words[0] == "ui":
                    shown = process.stderr.readline()
                    assert re.match(r"http://127\.0\.0\.1:\d+/#/experiments/\d+/runs", shown), shown
                    if not {"--tracking-uri", "MLFLOW_TRACKING_URI"} & {*words, *variables}:
                        process.send_signal(
                            signal.SIGINT
                        )  # it serves the page itself; a server elsewhere is only named
                out, error = process.communicate()
            assert process.returncode == 0, f"{line}: {error}"
            assert ("\nnet1 " in out) == (words[0] == "run")
    assert {"run", "ui", "sync"} <= set(seen)
    is_whole(server)
    is_whole(f"sqlite:///{desk.folder}/mlflow.db")


def test_line_that_the_page_quotes_is_the_one_that_is_said(desk, doors, server):
    (quoted,) = re.findall(r"^MLflow \(=.*", PAGE, re.MULTILINE)
    door = doors(server, "silent")
    patience = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = desk.give("run", "recipe.yaml", MLFLOW_TRACKING_URI=door.uri, **patience)
    assert done.stderr.splitlines()[-1] == quoted.replace(EXAMPLE, door.uri)

"""`ablate run` and `ablate sync` with a tracking server that is not there, silent, broken, or dying in the middle."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

import pytest

pytestmark = pytest.mark.slow

IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


def test_table_is_printed_whatever_the_server_does_and_sync_publishes_all_of_it_later(desk, server, doors, is_whole):
    for mode, reason in (("500", "responds with error 500."), ("silent", "does not respond.")):
        door = doors(server, mode)
        done = desk.give("run", "recipe.yaml", "--tracking-uri", door.uri, **IMPATIENT)
        assert (done.returncode, done.stdout.splitlines()[0][:12]) == (0, "Name    Desc")
        known, told = done.stderr.splitlines()  # nothing else: it is no terminal
        assert known == "tiny: 2 variants × 2 seeds; 4 runs: 4 finished, 0 to train"
        assert told.startswith(f"MLflow (={door.uri}) {reason}")
        assert told.endswith(f": ablate sync recipe.yaml --tracking-uri {door.uri}")
        assert door.seen
        door.mode = "open"
    synced = desk.give("sync", "recipe.yaml", "--tracking-uri", door.uri)
    assert (synced.returncode, synced.stderr) == (0, f"tiny is uploaded to {door.uri}\n")
    is_whole(server)


def test_server_that_is_not_there_costs_one_line(desk, is_whole):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
    done = desk.give("run", "recipe.yaml", "--tracking-uri", uri, "--seeds", "1")
    assert done.returncode == 0
    assert "net2" in done.stdout
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"MLflow (={uri}) does not respond.")
    assert last.endswith(f": ablate sync recipe.yaml --seeds 1 --tracking-uri {uri}")
    failed = desk.give("sync", "recipe.yaml", "--tracking-uri", uri)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith(f"MLflow (={uri}) does not respond.")
    assert desk.give("sync", "recipe.yaml").returncode == 0
    is_whole(f"sqlite:///{desk.folder}/mlflow.db")


def test_silent_server_does_not_hold_up_a_training(fresh_desk, doors, server):
    door = doors(server, "silent")
    done = fresh_desk.give("run", "recipe.yaml", "--tracking-uri", door.uri, **IMPATIENT)
    assert done.returncode == 0
    assert done.stdout.count("\nnet") == 2
    assert sum("MLflow" in line for line in done.stderr.splitlines()) == 1
    assert door.seen


def test_interruption_while_publishing_prints_the_table_all_the_same(desk, doors, server):
    door = doors(server, "silent")
    with desk.start("run", "recipe.yaml", "--tracking-uri", door.uri) as process:
        door.asked.wait()
        process.send_signal(signal.SIGINT)
        out, error = process.communicate()
    assert process.returncode == 130
    assert out.count("\nnet") == 2
    last = error.splitlines()[-1]
    assert "interrupted" in last
    assert last.endswith(f": ablate sync recipe.yaml --tracking-uri {door.uri}")


@pytest.mark.parametrize("left", [9, 40])
def test_answer_that_is_lost_midway_neither_doubles_nor_loses_anything(desk, server, doors, is_whole, left):
    recipe = desk.folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("study: tiny", f"study: tiny {left}"))
    door = doors(server, "dying", left)
    done = desk.give("run", "recipe.yaml", "--tracking-uri", door.uri, **IMPATIENT)
    assert done.returncode == 0
    assert door.lost
    assert f"MLflow (={door.uri}) does not respond." in done.stderr
    door.mode = "open"
    assert desk.give("sync", "recipe.yaml", "--tracking-uri", door.uri).returncode == 0
    is_whole(server, f"tiny {left}")


def test_requests_that_are_repeated_make_no_run_twice(desk, server, doors, is_whole):
    recipe = desk.folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("study: tiny", "study: repeated"))
    door = doors(server, "open")
    forward, lost = door.answer, []

    def losing(request: Any) -> None:
        """Let the first creation of a run through and hang up instead of answering: MLflow's client then asks once
        more.
        """
        if request.path.endswith("/runs/create") and not lost:
            lost.append(request.path)
            request.wfile = _Nowhere()
        forward(request)

    door.answer = losing
    done = desk.give("run", "recipe.yaml", "--tracking-uri", door.uri)
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)
    assert sum(each.endswith("/runs/create") for each in door.seen) == 8
    is_whole(server, "repeated")


def test_server_that_is_killed_midway_and_comes_back(desk, doors, is_whole):
    """A real server, killed between two of its answers, and another one on the same file afterwards."""
    from ablate.tracking.ui import page

    uri = f"sqlite:///{desk.folder}/served.db"
    (desk.folder / "mlflow.db").rename(desk.folder / "served.db")
    with page(uri, 0, None) as shown:
        door = doors(shown.url.partition("/#")[0])
        forward = door.answer

        def killing(request: Any) -> None:
            if len(door.seen) == 25:
                assert shown.server is not None
                os.killpg(shown.server.pid, signal.SIGKILL)
                shown.server.wait()
            forward(request)

        door.answer = killing
        done = desk.give("run", "recipe.yaml", "--tracking-uri", door.uri, **IMPATIENT)
    assert done.returncode == 0
    assert f"MLflow (={door.uri})" in done.stderr
    assert "ablate sync recipe.yaml" in done.stderr
    with page(uri, 0, None) as shown:
        door.upstream, door.answer = door.upstream._replace(netloc=shown.url.split("/")[2]), forward
        assert desk.give("sync", "recipe.yaml", "--tracking-uri", door.uri).returncode == 0
    is_whole(uri)


class _Nowhere:
    """A stream that takes everything and passes nothing on."""

    def write(self, data: bytes) -> int:
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    closed = False

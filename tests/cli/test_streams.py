"""Outputs that are files, pipes, full, closed or odd terminals: no codes in files, one line for what cannot be written, and nothing lost."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading

import pytest

from ablate.cli.console import messages, say
from ablate.cli.streams import Stream

RECIPE = """\
study: s
data: {name: digits, limit: 60}
seeds: 2
baseline: {name: plain, description: "Δ ± ‡", model: {name: mlp, hidden: [4]}, loss: cross_entropy, optimizer: {name: sgd, lr: 0.1}, epochs: 1}
variants:
  - {name: "größer", description: "\\e[31mred\\e[2J\\x9b2J", set: {epochs: 2}}
"""

LOUD = {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, warm):
    folder = tmp_path_factory.mktemp("streams")
    (folder / "r.yaml").write_text(RECIPE, encoding="utf-8")
    done = warm(folder, "run", "r.yaml", "--no-mlflow", **LOUD)
    assert done.code == 0
    return folder, done


def test_a_pipe_gets_no_cursor_movements(trained, warm):
    folder, done = trained
    assert "\x1b" not in done.out
    for words in (["table", "r.yaml"], ["plan", "r.yaml", "--quick"]):
        done = warm(folder, *words, **LOUD)
        assert (done.code, "\x1b" in done.out + done.err) == (0, False)
    for words in (
        ["table", "r.yaml", "--format", "csv"],
        ["table", "r.yaml", "--format", "json"],
        ["status", "r.yaml", "--json"],
    ):
        done = warm(folder, *words, **LOUD)
        assert (done.code, done.err) == (0, "")
        assert not {"\x1b", "\x9b"} & set(done.out)
        if words[-1] in ("json", "--json"):
            assert json.loads(done.out)


def test_messages_in_a_pipe_are_coloured_on_demand(trained, warm):
    folder, done = trained
    assert "\x1b[" not in done.err.replace("\x1b[33m", "").replace("\x1b[0m", "")
    wrong = ("table", "nothing.yaml")
    assert warm(folder, *wrong, FORCE_COLOR="1").err.startswith("\x1b[31mrecipe (=nothing.yaml)")
    for variables in ({}, {"FORCE_COLOR": "0"}, {"FORCE_COLOR": "1", "NO_COLOR": "1"}):
        assert warm(folder, *wrong, **variables).err.startswith("recipe (=nothing.yaml)")


def started(folder, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **variables):
    """A command with streams of our own, as a fork where it can be one: its exit code, and what it wrote into pipes."""
    command = [sys.executable, "-m", "ablate", *words]
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **variables}, stdout=stdout, stderr=stderr
    ) as process:
        out, err = process.communicate()
    return process.returncode, out, err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_under_the_output(trained):
    folder, _ = trained
    with open("/dev/full", "wb") as full:
        for words in (
            ["run", "r.yaml", "--no-mlflow"],
            ["table", "r.yaml", "--format", "json"],
            ["--version"],
        ):
            code, _, err = started(folder, *words, stdout=full)
            last = err.decode().splitlines()[-1]
            assert (code, last) == (
                2,
                "stdout cannot be written: No space left on device. Results are in the folder of runs.",
            )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_under_the_messages_ends_no_training(trained, tmp_path):
    shutil.copy(trained[0] / "r.yaml", tmp_path)
    with open("/dev/full", "wb") as full:
        code, out, _ = started(tmp_path, "run", "r.yaml", "--no-mlflow", "--format", "json", stderr=full)
    assert (code, [row["status"] for row in json.loads(out)["rows"]]) == (0, ["finished", "finished"])
    with open("/dev/full", "wb") as full:
        assert started(tmp_path, "table", "nothing.yaml", stderr=full)[0] == 2


@pytest.mark.parametrize(
    "closed", ["stdout", pytest.param("stderr", marks=pytest.mark.slow), pytest.param("all", marks=pytest.mark.slow)]
)
def test_closed_streams(closed, trained, tmp_path):
    """Results are stored, and no file of the store takes the number of a stream."""
    shutil.copytree(trained[0], tmp_path / "study")
    code = {"stdout": 2, "stderr": 0, "all": 2}[closed]
    words = ["table", "r.yaml"]
    if closed != "stdout":  # trains
        shutil.rmtree(tmp_path / "study" / "runs")
        words = ["run", "r.yaml", "--no-mlflow", "--format", "json"]
    how = {"stdout": ">&-", "stderr": "2>&-", "all": "<&- >&- 2>&-"}[closed]
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -P -m ablate "$@" {how}', sys.executable, *words],
        cwd=tmp_path / "study", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code
    if closed == "stdout":
        assert done.stderr == "stdout cannot be written: Bad file descriptor. Results are in the folder of runs.\n"
    for path in (tmp_path / "study" / "runs" / "store").glob("*/status.json"):
        assert json.loads(path.read_text())["status"] == "finished"
    assert len(list((tmp_path / "study" / "runs" / "store").glob("*/status.json"))) == 4


def on_terminal(folder, *words, columns=80, lines=24, **variables):
    """What a command writes on a terminal of that size, and its exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    found = []

    def read():
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # no writer is left
                return
            if not data:
                return
            found.append(data)

    thread = threading.Thread(target=read)
    thread.start()
    command = [sys.executable, "-m", "ablate", *words]
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **variables}, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        process.wait()
    thread.join()
    os.close(ours)
    return process.returncode, b"".join(found).decode(errors="replace")


def test_terminals_of_any_size(trained):
    folder, _ = trained
    for columns, lines in ((1, 1), (0, 0), (80, 24)):
        for words in (["table", "r.yaml"], ["plan", "r.yaml", "--quick"])[: columns or 2]:
            code, text = on_terminal(folder, *words, columns=columns, lines=lines, COLUMNS="", LINES="", TERM="xterm")
            assert (code, "bug" in text) == (0, False), text
            assert "\x1b[2J" not in text  # nor what a description says
            assert "\x9b" not in text


def test_a_dumb_terminal_has_no_live_display(trained, tmp_path):
    for term, moves in (("dumb", False), ("xterm", True)):
        folder = tmp_path / term
        folder.mkdir()
        shutil.copy(trained[0] / "r.yaml", folder)
        code, text = on_terminal(folder, "run", "r.yaml", "--no-mlflow", TERM=term)
        assert (code, "\x1b[?25l" in text, "plain seed 0: finished" in text) == (0, moves, not moves)
        assert ("\x1b" in text) == moves


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_other_encodings(variables, trained):
    """In a process of its own: a fork would not hear of these variables."""
    folder, _ = trained
    code, out, err = started(folder, "table", "r.yaml", **variables)
    assert (code, err) == (0, b"")
    assert b"gr\\xf6\\xdfer" in out
    assert b"\\u0394 parent" in out


def test_a_lost_message_is_lost_quietly(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        number = os.dup(file.fileno())
    lossy, strict = (Stream(number, "utf-8", lossy=lossy, lines=True) for lossy in (True, False))
    os.close(number)
    with pytest.raises(OSError, match="stdout"):
        strict.write("words\n")
    assert lossy.write("words\n") == 6
    assert lossy.write("more\n") == 5
    strict.detach()
    lossy.detach()
    os.close(number)  # the lossy one made it the null device


def test_an_interrupted_message_is_printed_once():
    """A signal that arrives when the text is on its way must not make it be written again."""
    ends, begins = os.pipe()
    stream = Stream(begins, "utf-8", lossy=True, lines=True)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(200):
            with contextlib.suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, 1e-4)
                while True:
                    stream.write("word\n")
                    assert os.read(ends, 1000) == b"word\n"
            with contextlib.suppress(BlockingIOError):
                os.set_blocking(ends, False)
                assert os.read(ends, 1000) in (b"word\n", b"")
            os.set_blocking(ends, True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        stream.detach()
        os.close(ends)
        os.close(begins)


def test_say_prints_no_control_characters(capsys):
    messages.cache_clear()
    say("a\x1b[2Jb\x9b2J\x07\u202ec\n  d")
    assert capsys.readouterr().err == "a[2Jb2Jc\n  d\n"

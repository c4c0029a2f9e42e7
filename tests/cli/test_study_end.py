"""The end of a study: one message with what became of its runs, whatever ended it, a bell on a terminal only, and no trace of the webhook's URL."""

from __future__ import annotations

import errno
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time

import pytest

from ablate.cli.app import run_command
from ablate.execution.executors.executor import ExecutorError
from ablate.tracking import webhook
from ablate.tracking.webhook import Patience

RECIPE = """\
study: s
data: {name: digits, limit: 60}
seeds: 2
baseline: {name: plain, model: {name: mlp, hidden: [4]}, loss: cross_entropy, optimizer: {name: sgd, lr: 0.1}, epochs: 1}
variants:
  - {name: longer, set: {epochs: 2}}
  - {name: steep, set: {optimizer.lr: 1.0e+30}}
"""
SCRIPT = """\
study: mine
trainer: {command: "python train.py"}
seeds: 1
baseline: {name: base}
"""
PROGRAM = """\
import json, os
json.dump(dict(os.environ), open("seen.json", "w"))
open(os.environ["ABLATE_OUT"] + "/metrics.jsonl", "w").write('{"epoch": 1, "valid_loss": 1.0}\\n')
"""
PATH = "/services/T0/hunter2?token=hunter2"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, warm):
    folder = tmp_path_factory.mktemp("end")
    (folder / "r.yaml").write_text(RECIPE)
    assert warm(folder, "run", "r.yaml", "--no-mlflow").code == 1
    return folder


def secret(inbox):
    return f"http://user:hunter2@{inbox.host}{PATH}"


def holds_no_secret(folder, *texts):
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert files
    assert not [text for text in (*texts, *map(bytes.decode, files, ["latin-1"] * len(files))) if "hunter2" in text]


def test_a_study_of_which_a_variant_diverged(ablate, tmp_path, inbox):
    (tmp_path / "r.yaml").write_text(RECIPE)
    done = ablate("run", "r.yaml", "--notify", secret(inbox))
    assert done.code == 1
    [(_, path, _, _)] = inbox.seen
    assert path == PATH
    [message] = inbox.messages
    assert message["table"] == done.out
    assert message.pop("table").splitlines()[2].startswith("plain")
    assert message.pop("seconds") > 0
    assert message == {
        "text": "s: 4 of 6 runs finished, 2 diverged.",
        "study": "s",
        "recipe": "r.yaml",
        "status": "failed",
        "exit_code": 1,
        "runs": {"finished": 4, "diverged": 2},
        "host": socket.gethostname(),
    }
    commands = [json.loads(path.read_text())["command"] for path in tmp_path.glob("runs/store/*/provenance.json")]
    assert [command[1:] for command in commands] == [["run", "r.yaml", "--notify", "***", "--no-mlflow"]] * 6
    holds_no_secret(tmp_path, done.out, done.err)


def test_a_study_that_finished_and_was_finished_before(trained, warm, inbox):
    done = warm(
        trained, "run", "r.yaml", "--no-mlflow", "--only", "longer", f"--notify={secret(inbox)}", "--format=csv"
    )
    assert done.code == 0
    [message] = inbox.messages
    assert (message["status"], message["exit_code"], message["runs"]) == ("finished", 0, {"finished": 2})
    assert message["text"] == "s: 2 of 2 runs finished."
    assert message["table"] == warm(trained, "table", "r.yaml", "--only", "longer").out
    holds_no_secret(trained, done.out, done.err)


def test_the_variable_is_used_and_the_training_does_not_see_it(ablate, tmp_path, inbox):
    (tmp_path / "r.yaml").write_text(SCRIPT)
    (tmp_path / "train.py").write_text(PROGRAM)
    done = ablate("run", "r.yaml", ABLATE_NOTIFY=secret(inbox))
    assert (done.code, [message["text"] for message in inbox.messages]) == (0, ["mine: 1 of 1 run finished."]), done.err
    [seen] = [json.loads(path.read_text()) for path in tmp_path.rglob("seen.json")]
    assert "ABLATE_OUT" in seen
    assert "ABLATE_NOTIFY" not in seen
    holds_no_secret(tmp_path, done.out, done.err)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_study(number, tmp_path, warm, inbox):
    (tmp_path / "r.yaml").write_text(RECIPE)
    words = ["run", "r.yaml", "--no-mlflow", "--only", "plain", "--set", "epochs=1000000", "--notify", secret(inbox)]
    with warm.start(tmp_path, *words, start_new_session=True) as process:
        end = time.monotonic() + 120
        while not any(path.stat().st_size for path in tmp_path.glob("runs/store/*/metrics.jsonl")):
            assert time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == 130
    [message] = inbox.messages
    assert (message["status"], message["exit_code"], message["table"]) == ("interrupted", 130, None)
    # the second run may not have begun
    ends = {1: "1 interrupted, 1 not started", 2: "2 interrupted"}
    begun = message["runs"]["interrupted"]
    assert message["runs"] == {"interrupted": begun} | ({"queued": 1} if begun == 1 else {})
    assert message["text"] == f"s: interrupted, 0 of 2 runs finished, {ends[begun]}."
    resume = "ablate run r.yaml --no-mlflow --only plain --set epochs=1000000"
    assert err.splitlines()[-1] == (
        f"Interrupted. Finished runs are kept. Resume with: {resume} (set ABLATE_NOTIFY to the URL of --notify first: "
        "it is not shown)"
    )
    holds_no_secret(tmp_path, out, err)


def given_up(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("ablate.execution.run_study.run_study", fail)


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 2, "given up"),
        (ExecutorError("The server died three times."), 2, "given up"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_study_that_is_given_up(error, code, status, trained, monkeypatch, capfd, inbox):
    monkeypatch.chdir(trained)
    given_up(monkeypatch, error)
    assert run_command(["run", "r.yaml", "--no-mlflow", "--notify", secret(inbox)]) == code
    [message] = inbox.messages
    assert (message["status"], message["exit_code"], message["table"]) == (status, code, None)
    assert message["text"] == f"s: {status}, 4 of 6 runs finished, 2 diverged."
    assert "hunter2" not in "".join(capfd.readouterr())


def test_jobs_that_go_on_without_the_command_have_not_ended(trained, monkeypatch, capfd, inbox):
    from ablate.execution.run_study import Detached

    monkeypatch.chdir(trained)
    given_up(monkeypatch, Detached("Slurm", 2, 0))
    assert run_command(["run", "r.yaml", "--no-mlflow", "--notify", secret(inbox)]) == 0
    assert inbox.seen == []
    capfd.readouterr()


@pytest.mark.parametrize(("answer", "reason"), [(500, "HTTP 500 (3 attempts)"), ("closed", "Connection refused"), ("silent", "no answer within")])  # fmt: skip
def test_a_message_that_cannot_be_sent_is_one_line_and_changes_no_exit_code(
    answer, reason, trained, monkeypatch, capfd, inbox
):
    monkeypatch.chdir(trained)
    monkeypatch.setattr(webhook, "PATIENCE", Patience(answer=0.05 if answer == "silent" else 5.0, pause=0.0))
    inbox.answers, url = [answer], secret(inbox)
    if answer == "closed":
        with socket.create_server(("127.0.0.1", 0)) as free:
            url = f"http://user:hunter2@127.0.0.1:{free.getsockname()[1]}{PATH}"
    assert run_command(["run", "r.yaml", "--no-mlflow", "--only", "longer", "--notify", url]) == 0
    out, err = capfd.readouterr()
    place = url.partition("@")[2].partition("/")[0]
    assert err.splitlines()[-1].startswith(f"The notification was not sent to http://{place}: {reason}")
    assert err.count("notification") == 1
    assert "longer" in out
    holds_no_secret(trained, out, err)


def test_ctrl_c_ends_the_message_and_not_more(trained, monkeypatch, capfd, inbox):
    monkeypatch.chdir(trained)
    inbox.answers = ["silent"]

    class Interrupted(webhook.threading.Thread):
        def join(self, timeout=None):
            raise KeyboardInterrupt

    monkeypatch.setattr(webhook.threading, "Thread", Interrupted)
    code = run_command(["run", "r.yaml", "--no-mlflow", "--only", "longer", "--notify", secret(inbox)])
    monkeypatch.undo()
    assert code == 0
    line = f"The notification was not sent to http://{inbox.host}: interrupted."
    assert capfd.readouterr().err.splitlines()[-1] == line


@pytest.mark.parametrize("given", [["--notify", "ftp://u:hunter2@h/hunter2"], []])
def test_a_wrong_url_is_refused_before_training(given, ablate, tmp_path):
    (tmp_path / "r.yaml").write_text(RECIPE)
    variables = {} if given else {"ABLATE_NOTIFY": "ftp://u:hunter2@h/hunter2"}
    done = ablate("run", "r.yaml", *given, **variables)
    name = "--notify" if given else "ABLATE_NOTIFY"
    assert (done.code, done.err) == (2, f"{name} (=ftp://***) must start with http:// or https://.\n")
    assert not (tmp_path / "runs").exists()


def test_mistakes_on_the_command_line_do_not_show_the_url(ablate, tmp_path, inbox):
    (tmp_path / "r.yaml").write_text(RECIPE)
    for words in (
        ["run", "r.yaml", "--notify", secret(inbox), "--oops"],
        ["run", "r.yaml", "--notify", secret(inbox), "--scale", "x"],
        ["run", "nothing.yaml", "--notify", secret(inbox)],
        ["run", "nothing.yaml", "--notify", secret(inbox), "--debug"],
        ["run", "r.yaml", f"--notify={secret(inbox)}", "too much"],
        ["status", "r.yaml", f"--notify={secret(inbox)}"],
        ["run", "r.yaml", f"--notfy={secret(inbox)}"],
    ):
        done = ablate(*words)
        assert done.code != 0
        assert "hunter2" not in done.out + done.err
    assert inbox.seen == []


def test_a_dry_run_sends_nothing(ablate, tmp_path, inbox):
    (tmp_path / "r.yaml").write_text(RECIPE)
    assert ablate("run", "r.yaml", "--dry-run", "--notify", secret(inbox)).code == 0
    assert inbox.seen == []


def on_terminal(folder, *words):
    """What a command writes to stderr, if that is a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ablate", *words]
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        found = []
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # no writer is left
                break
            if not data:
                break
            found.append(data)
    os.close(ours)
    return process.returncode, b"".join(found)


def test_a_bell_rings_once_at_the_end_and_on_a_terminal_only(trained, warm):
    words = ["run", "r.yaml", "--no-mlflow", "--only", "longer"]
    code, text = on_terminal(trained, *words, "--bell")
    assert (code, text.count(b"\a"), text[-1:]) == (0, 1, b"\a")
    assert b"\a" not in on_terminal(trained, *words)[1]
    done = warm(trained, *words, "--bell")
    assert (done.code, "\a" in done.out + done.err) == (0, False)

"""The small server that forks jobs: what it makes of those that end, on any system that Python runs on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from ablate.execution.events import ExecutorReady, decode
from ablate.execution.executors.executor import ExecutorError
from ablate.execution.executors.forkserver import ended
from ablate.execution.executors.local import LocalExecutor


def test_a_job_that_has_ended_is_told_without_what_only_some_systems_have(monkeypatch):
    """Python has `os.waitid` on macOS from 3.13 on only."""
    monkeypatch.delattr(os, "waitid", raising=False)
    processes = [subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"]) for code in (0, 3)]
    jobs = {processes[0].pid: 1, processes[1].pid: 2}
    found = []
    while jobs:
        found += [(number, code) for _, number, code in ended(jobs)]
    assert sorted(found) == [(1, 0), (2, 3)]
    for process in processes:
        process.returncode = 0  # nobody else is to wait for it


def test_a_fault_of_our_own_in_a_job_leaves_a_trace():
    """A job's process ends without going back to whoever forked it, who could have told of the error."""
    program = """
import os
import signal
from ablate.execution.executors.forkserver import become
alive, end = os.pipe()
if (pid := os.fork()) == 0:
    become(lambda: "no job".assignment, alive, os.pipe())
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "AttributeError: 'str' object has no attribute" in done.stderr


def test_a_server_that_cannot_start_is_one_line(monkeypatch, tmp_path, capfd):
    """As where torch cannot be imported; no run has begun by then."""
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so is missing')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    executor = LocalExecutor()
    executor.submit(SimpleNamespace(number=1))
    with pytest.raises(ExecutorError, match="ended with exit code 1 before it was ready"):
        executor.poll(None)
    assert "libcudart.so is missing" in capfd.readouterr().err


def test_ctrl_c_does_not_reach_a_server_that_starts():
    """A terminal sends it to no server, but a batch system may send it to all processes of a job."""
    executor = LocalExecutor()
    executor._server = server = executor._serve()
    try:
        for _ in range(20):
            server.send_signal(signal.SIGINT)
            time.sleep(0.05)
        assert decode(server.stdout.readline()) == ExecutorReady()
    finally:
        executor.close()
    assert server.returncode == 0

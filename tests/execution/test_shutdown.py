"""A process that is asked to end where Python ignores exceptions ends all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, time

class Ignores:
    def __del__(self):
        os.kill(os.getpid(), getattr(signal, {name!r}))
        for _ in range(1000):  # the handler runs here
            pass

def wait():
    del_me = Ignores()
    del del_me
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.01)
    print("went on")
"""

JOB = """
from ablate.execution.shutdown import EndAsked, Ending
ending = Ending()
ending.listen(None)
try:
    wait()
except EndAsked as error:
    print(error.status, ending.asked)
"""

COMMAND = """
from ablate.execution.shutdown import ended_by_signals
try:
    with ended_by_signals():
        wait()
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize(
    ("process", "name", "said"),
    [
        (JOB, "SIGTERM", "interrupted interrupted"),
        (COMMAND, "SIGTERM", "interrupted"),
        (COMMAND, "SIGINT", "interrupted"),
        (COMMAND, "SIGHUP", "interrupted"),
    ],
)
def test_a_signal_is_not_lost_where_exceptions_are_ignored(process, name, said):
    program = PROGRAM.format(name=name) + process
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.stderr) == (said, "")


def test_other_exceptions_are_still_printed():
    program = (
        JOB.partition("try:")[0]
        + """
class Fails:
    def __del__(self):
        raise ValueError("mine")

Fails()
"""
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert "ValueError: mine" in done.stderr

"""The process that runs the user's code for a command ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = """
from ablate.planning.helper_process import asked
asked(exec, [("import os, time; open({path!r}, 'w').write(str(os.getpid())); time.sleep(600)",)], str)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells a process that its parent has ended")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_helper_ends_with_its_command(tmp_path, number):
    path = tmp_path / "pid"
    end = time.monotonic() + 120
    with subprocess.Popen([sys.executable, "-c", COMMAND.format(path=str(path))]) as command:
        while not (path.exists() and path.read_text()):
            assert command.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)
        os.kill(command.pid, number)
    helper = int(path.read_text())
    while is_running(helper):
        if time.monotonic() > end:
            os.kill(helper, signal.SIGKILL)
            pytest.fail("the helper goes on")
        time.sleep(0.01)

"""A real cluster of Ray on this machine: a head and three nodes of one CPU, on the loopback device only.

``python ray_nodes.py PORT`` holds one until its input closes, and says which processes its head and its nodes are.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

NODES = 3

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's way of saying: the loopback device
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    "OMP_NUM_THREADS": "1",
}
"""Without a token, as tests may run under a user who has one; its processes end 5 s after their head."""


class RayNodes:
    """A cluster in a process of its own. ``environment``: what commands need to use it."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.environment = {**os.environ, **ENVIRONMENT}
        self.holder = subprocess.Popen(
            [sys.executable, __file__, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self.environment,
            start_new_session=True,
            text=True,
        )
        assert self.holder.stdout is not None
        line = self.holder.stdout.readline()
        if not line:
            self.close()
            raise AssertionError("no cluster of Ray could be started")
        said = json.loads(line)
        self.head: int = said["head"]
        self.nodes: list[int] = said["nodes"]

    def node_of(self, pid: int) -> int | None:
        """The process of the node on which a process runs."""
        return next((node for node in self.nodes if pid in dict(below(node))), None)

    def kill_node(self, node: int) -> None:
        """Kill a node with all processes on it, as a power failure does."""
        for pid in [node, *(pid for pid, _ in below(node))]:
            kill(pid)

    def kill_head(self) -> None:
        """Kill the process that knows of all others."""
        kill(self.head)

    def close(self) -> None:
        """End all processes."""
        with suppress(ProcessLookupError):
            os.killpg(self.holder.pid, signal.SIGKILL)
        self.holder.wait()
        for pipe in (self.holder.stdin, self.holder.stdout):
            pipe.close()


def kill(pid: int) -> None:
    """Kill a process, if it is there."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def processes() -> dict[int, tuple[int, str]]:
    """All processes with their parents and command lines."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                found[int(folder.name)] = int(parent), words
    return found


def below(pid: int) -> list[tuple[int, str]]:
    """The processes that a process has started, and those that these have, with their command lines."""
    known = processes()
    found, left = [], [pid]
    while left:
        children = [(child, words) for child, (parent, words) in known.items() if parent == left[0]]
        left = [*left[1:], *(child for child, _ in children)]
        found += children
    return found


def hold(port: int) -> None:
    """Be the process that holds the cluster."""
    from ray.cluster_utils import Cluster

    common = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "gcs_server_port": port, **common})
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20) for _ in range(NODES)]
    cluster.wait_for_nodes()

    def process_of(node: object, kind: str) -> int:
        return node.all_processes[kind][0].process.pid  # type: ignore[attr-defined]

    said = {"head": process_of(cluster.head_node, "gcs_server"), "nodes": [process_of(one, "raylet") for one in nodes]}
    print(json.dumps(said), flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    hold(int(sys.argv[1]))

"""A real Ray on this machine: the same numbers as a local study, whatever happens to nodes, the driver and the head."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clusters.ray_nodes import ENVIRONMENT, RayNodes, below, kill, processes

pytestmark = pytest.mark.slow

RECIPE = """
study: remote
data: digits
seeds: 2
baseline:
  name: base
  model: {name: mlp, hidden: [16]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  epochs: 400
  stack: off
  checkpoint: {every: 10 epochs}
variants:
  - {name: wide, set: {model.hidden: [32]}}
  - {name: fast, set: {optimizer.lr: 0.3}}
  - {name: warm, from: base, add: [{from_weights: {source: base}}]}
"""
"""A run takes a few seconds."""

SOME = ("--only", "base,wide")
"""Four runs."""

WAIT = 240.0
"""Seconds after which a wait has failed."""


def require_ray() -> None:
    if importlib.util.find_spec("ray") is not None:
        return
    if os.environ.get("ABLATE_REQUIRE_LIBRARIES"):
        pytest.fail("ray is not installed, although ABLATE_REQUIRE_LIBRARIES is set")
    pytest.skip("needs ray, which is not installed")


def port(offset: int) -> int:
    """A port that no other worker of these tests uses."""
    return 26200 + 10 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) + offset


@pytest.fixture(scope="module")
def nodes():
    require_ray()
    cluster = RayNodes(port(0))
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The runs of the whole study, trained on this machine."""
    study = Study(tmp_path_factory.mktemp("local"))
    study.run()
    return study.results()


class Study:
    """A recipe in a folder of its own."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder, self.words = folder, words
        (folder / "study.yaml").write_text(RECIPE)

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "ablate", "run", "study.yaml", "--no-mlflow", *self.words, *words]
        pipe, environment = subprocess.PIPE, {**os.environ, **ENVIRONMENT}
        return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=pipe, stderr=pipe, text=True)

    def ended(self, process: subprocess.Popen[str], code: int = 0) -> str:
        """What a command has printed to both streams."""
        try:
            out, err = process.communicate(timeout=WAIT)
        finally:
            process.kill()
        assert process.returncode == code, out + err
        return out + err

    def run(self, *words: str, code: int = 0) -> str:
        return self.ended(self.start(*words), code)

    def statuses(self) -> dict[str, dict]:
        found = {}
        for path in (self.folder / "runs" / "store").glob("*/status.json"):
            found[path.parent.name] = json.loads(path.read_text())
        return found

    def finished(self) -> dict[str, float]:
        """When each of the finished runs has finished."""
        return {name: one["finished"] for name, one in self.statuses().items() if one["status"] == "finished"}

    def results(self) -> dict[str, tuple]:
        """The weights and the metrics of each finished run."""
        import torch

        found = {}
        for name in self.finished():
            folder = self.folder / "runs" / "store" / name
            lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
            for line in lines:
                del line["time"], line["seconds"]
            tensors = {path.name: torch.load(path, weights_only=True) for path in folder.glob("*.pt")}
            found[name] = lines, {file: flat(state) for file, state in tensors.items() if "checkpoint" not in file}
        return found

    def left(self) -> list[str]:
        """The processes that work on these runs."""
        return [words for _, words in processes().values() if str(self.folder / "runs") in words]


def flat(state: object) -> object:
    """Tensors as bytes, which compare bit by bit."""
    if isinstance(state, dict):
        return {key: flat(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [flat(value) for value in state]
    return state.numpy().tobytes() if hasattr(state, "numpy") else state


def wait_for(what, process=None):
    """What a function returns as soon as that is true, while a process runs."""
    until = time.monotonic() + WAIT
    while not (found := what()):
        assert time.monotonic() < until, what
        assert process is None or process.poll() is None, what
        time.sleep(0.05)
    return found


def begun(study: Study) -> bool:
    """Whether a run has finished, and another one has checkpoints."""
    finished = study.finished()
    epochs = study.folder / "runs" / "store"
    running = [path for path in epochs.glob("*/metrics.jsonl") if path.parent.name not in finished]
    return bool(finished) and any(path.read_text().count("\n") > 30 for path in running)


def node_half_way(study: Study, nodes: RayNodes) -> int | None:
    """The node on which a run is under way that is far from its end."""
    for name, one in study.statuses().items():
        lines = study.folder / "runs" / "store" / name / "metrics.jsonl"
        if one["status"] == "running" and lines.exists() and 30 < lines.read_text().count("\n") < 200:
            return nodes.node_of(one["pid"])
    return None


def driver_of(process: subprocess.Popen[str]) -> list[int]:
    return [pid for pid, words in below(process.pid) if "executors.ray_driver" in words]


def group(leader: int) -> bool:
    """Whether a process is left in a group."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


def check(study: Study, local: dict[str, tuple], before: dict[str, float], count: int) -> None:
    """All runs have finished with the numbers of the local ones, those of ``before`` once, and nothing is left over."""
    results = study.results()
    assert len(results) == count
    for name, (lines, tensors) in results.items():
        assert lines == local[name][0]
        assert tensors
        assert tensors == local[name][1]
    after = study.finished()
    assert before == {name: after[name] for name in before}
    wait_for(lambda: not study.left())


def on(nodes: RayNodes) -> tuple[str, ...]:
    return ("--executor", "ray", "--ray", f"address={nodes.address}")


def test_a_study_on_three_nodes_has_the_numbers_of_the_local_one(tmp_path, nodes, local):
    study = Study(tmp_path, *on(nodes))
    study.run("--runs-per-job", "2")
    check(study, local, {}, 8)


def test_a_killed_driver_is_started_again(tmp_path, nodes, local):
    study = Study(tmp_path, *on(nodes), *SOME)
    process = study.start()
    wait_for(lambda: begun(study), process)
    before = study.finished()
    [driver] = driver_of(process)
    kill(driver)
    assert "driver ended with signal 9" in study.ended(process)
    check(study, local, before, 4)


def test_a_killed_command_leaves_nothing_behind(tmp_path, nodes, local):
    study = Study(tmp_path, *on(nodes), *SOME)
    process = study.start()
    wait_for(lambda: begun(study), process)
    process.kill()
    study.ended(process, -signal.SIGKILL)
    wait_for(lambda: not study.left())
    before = study.finished()
    study.run()
    check(study, local, before, 4)


def test_a_folder_that_nodes_do_not_see_is_one_clear_error(tmp_path, nodes):
    Study(tmp_path)
    hidden = ["unshare", "--mount", "sh", "-c", 'mkdir -p runs && mount -t tmpfs none runs && exec "$@"', "sh"]
    if os.geteuid() != 0 or subprocess.run([*hidden, "true"], cwd=tmp_path, capture_output=True).returncode:
        pytest.skip("a folder that only one process sees needs root")
    words = [sys.executable, "-P", "-m", "ablate", "run", "study.yaml", "--no-mlflow", *on(nodes)]
    environment = {**os.environ, **ENVIRONMENT}
    done = subprocess.run(
        [*hidden, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=WAIT
    )
    assert done.returncode == 2
    assert "must be shared" in done.stderr
    assert "Traceback" not in done.stderr


def test_jobs_of_a_killed_node_go_on_elsewhere(tmp_path, nodes, local):
    study = Study(tmp_path, *on(nodes), *SOME)
    process = study.start()
    wait_for(lambda: begun(study), process)
    before = study.finished()
    nodes.kill_node(wait_for(lambda: node_half_way(study, nodes), process))
    assert "Retrying from the last checkpoint" in study.ended(process)
    check(study, local, before, 4)


def listening(pids: set[int]) -> list[str]:
    """The addresses, in the kernel's own form, on which processes accept connections."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                sockets[f"socket:[{words[9]}]"] = words[1]
    found = []
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if (name := os.readlink(descriptor)) in sockets:
                    found.append(sockets[name])
    return found


LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
"""127.0.0.1, the same in IPv6, and ::1, as a little-endian kernel writes them."""


def test_an_own_cluster_is_closed_to_others(tmp_path):
    require_ray()
    study = Study(tmp_path, "--executor", "ray")
    process = study.start()
    try:
        wait_for(lambda: any("executors.remote" in words for _, words in below(process.pid)), process)
        addresses = listening({pid for pid, _ in below(process.pid)})
        assert addresses
        assert [one for one in addresses if one.partition(":")[0] not in LOOPBACK] == []
        [pid] = [pid for pid, words in below(process.pid) if words.split(" ")[0].endswith("gcs_server")]
        environment = dict(
            line.split("=", 1) for line in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in line
        )
        [port] = Path(environment["RAY_TMPDIR"]).glob("session_latest/gcs_server_port_*")
        connect = f"import ray; ray.init(address='127.0.0.1:{port.read_text()}', log_to_driver=False)"
        for variables, code in ((ENVIRONMENT, 1), ({**ENVIRONMENT, **environment}, 0)):
            done = subprocess.run(
                [sys.executable, "-c", connect], env={**os.environ, **variables}, capture_output=True, timeout=WAIT
            )
            assert done.returncode == code, done.stderr
    finally:
        process.terminate()
        study.ended(process, 130)
    wait_for(lambda: not study.left())


def test_an_own_cluster_whose_head_is_killed_is_started_again(tmp_path, local):
    require_ray()
    study = Study(tmp_path, "--executor", "ray")
    process = study.start()
    wait_for(lambda: begun(study), process)
    before = study.finished()
    [driver] = driver_of(process)
    [head] = [pid for pid, words in below(driver) if words.split(" ")[0].endswith("gcs_server")]
    kill(head)
    wait_for(lambda: driver not in driver_of(process))
    wait_for(lambda: not group(driver))  # all of its cluster
    assert "Ray's driver ended" in study.ended(process)
    check(study, local, before, 8)


def test_a_study_waits_for_a_cluster_whose_head_is_killed(tmp_path, local):
    require_ray()
    first = RayNodes(port(5))
    second = None
    try:
        study = Study(tmp_path, *on(first))
        process = study.start()
        wait_for(lambda: begun(study), process)
        before = study.finished()
        [driver] = driver_of(process)
        first.kill_head()
        wait_for(lambda: driver not in driver_of(process))
        first.close()
        second = RayNodes(port(5))
        assert "Ray's driver ended" in study.ended(process)
        check(study, local, before, 8)
    finally:
        first.close()
        if second is not None:
            second.close()

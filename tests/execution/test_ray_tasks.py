"""Ray's driver and tasks without Ray: a module in its place runs tasks as threads, and dies when told to."""

from __future__ import annotations

import base64
import os
import select
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ablate.execution.events import ProcessExited, encode
from ablate.execution.executors import cluster
from ablate.execution.executors import ray as ray_tasks
from ablate.execution.executors.cluster import ClusterExecutor, Refused, State
from ablate.execution.executors.executor import ExecutorError
from ablate.execution.executors.find import resources_of
from ablate.execution.executors.ray import Ray, Resources
from ablate.execution.executors.ray_driver import Driver, check_node, data_folders, run_command
from ablate.execution.executors.remote import EVENTS, here
from ablate.execution.jobs import make_jobs
from ablate.execution.run_options import wants_gpu
from ablate.planning.helper_process import cores
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.store.provenance import Provenance
from ablate.store.store import Store

FAKE = """
import os, threading, time
from pathlib import Path

MODE = Path(__file__).with_name("mode")

def mode(once=True):
    said = MODE.read_text() if MODE.exists() else ""
    if said and once:
        MODE.unlink()
    return said

class Reference:
    def __init__(self, run, arguments):
        self.thread = threading.Thread(target=self.work, args=(run, arguments), daemon=True)
        self.thread.start()
    def work(self, run, arguments):
        self.result = run(*arguments)

class Task:
    def __init__(self, run):
        self.run = run
    def options(self, **given):
        return self
    def remote(self, *arguments):
        return Reference(self.run, arguments)

def init(**given):
    match mode(once=False):
        case "silent": time.sleep(1000)
        case "refuses": raise ConnectionError("no head\\nhere")
        case "no node": raise Exception("cannot find the matched Raylet address")
        case "too large": raise RuntimeError("Package size (600.00MiB) exceeds the maximum size of 512.00 MiB.")

def remote(**given):
    return Task

def cluster_resources():
    return {"CPU": 2.0}

def nodes():
    return []

def wait(references, num_returns, timeout, fetch_local=True):
    if mode() == "head dies":
        os._exit(1)
    if timeout == 0.0:
        return [one for one in references if not one.thread.is_alive()], []
    return [], references

def get(reference, timeout=None):
    return reference.result

def cancel(reference, force):
    pass

def shutdown():
    pass
"""

RECIPE = """
data: digits
seeds: 1
baseline: {name: one, model: mlp, loss: cross_entropy, optimizer: sgd, epochs: 1}
"""

COUNT = "import sys; print(sum(1 for line in iter(lambda: sys.stdin.readline().strip(), str()))); sys.exit(int(sys.argv[1]))"
"""Prints how many lines come before an empty one, with the input still open."""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """The file that tells Ray's double what to do; a command's and a driver's."""
    folder = tmp_path / "double" / "ray"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))
    monkeypatch.setattr(ray_tasks, "PACKAGE", "json")  # what is asked for in this process
    return folder / "mode"


@pytest.fixture
def ray(tmp_path, fake):
    """Makes what runs tasks, and closes it."""
    made = []

    def make(**options):
        made.append(Ray(options, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def job(tmp_path):
    """A job of a recipe in a folder of its own."""
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "study.yaml").write_text(RECIPE)
    store = Store(tmp_path / "runs")
    plan = make_plan(Recipe.load(folder / "study.yaml"), store)
    [job] = make_jobs(plan.to_do(), plan, store, Provenance())
    return job


def ended(ray: Ray, name: str) -> State:
    """How a task ends."""
    while (state := ray.states([name])[name]).fate == "running":
        assert ray._driver is not None
        select.select([ray._driver.stdout], [], [], 60)
    return state


def submit(ray: Ray, name: str, folder: Path, code: int = 0) -> None:
    ray.submit(name, [sys.executable, "-c", COUNT, str(code)], b"one\ntwo\n", folder / name, [])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"gpus": "1"}, "gpus=1"),
        ({"num_gpus": "-1"}, "num_gpus=-1"),
        ({"num_gpus": "nan"}, "num_gpus=nan"),
        ({"num_gpus": "1.5"}, "whole number"),
        ({"num_cpus": "0"}, "greater than 0"),
        ({"num_cpus": "many"}, "num_cpus=many"),
        ({"num_cpus": ""}, "num_cpus="),
        ({"address": ""}, "host:port"),
        ({"address": "auto"}, "host:port"),
        ({"address": "ray://head:10001"}, "host:port"),
        ({"address": "head"}, "host:port"),
        ({"working_dir": ""}, "folder"),
        ({"working_dir": "/no/such/folder"}, "folder"),
    ],
)
def test_wrong_options_are_one_line(options, said):
    with pytest.raises(ValueError, match=r"^--ray \(=.*\) must .*\.$") as error:
        Resources.of(options, 1)
    assert said in str(error.value)


def test_options_come_from_the_file_the_environment_and_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("ablate.toml").write_text('[ray]\nnum_gpus = 0.5\nnum_cpus = 2\naddress = "head:6379"\n')
    monkeypatch.setenv("ABLATE_RAY", "num_cpus=3")
    found = Resources.of(resources_of("ray", ["address=other:1"]), 4)
    assert (found.num_gpus, found.num_cpus, found.address) == (0.5, 3.0, "other:1")
    assert Resources.of({"address": "head:1"}, 4).num_cpus == 4
    assert Resources.of({}, 1000).num_cpus == cores()


@pytest.mark.parametrize(
    ("options", "gpu"),
    [({"num_gpus": "0.5"}, True), ({"num_gpus": "0"}, False), ({"num_gpus": "0.0"}, False), ({"gpus": ""}, True)],
)
def test_a_task_without_a_part_of_a_gpu_trains_on_a_cpu(options, gpu):
    assert wants_gpu(options) == gpu


def test_ray_has_to_be_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_tasks, "PACKAGE", "no_such_package")
    with pytest.raises(ExecutorError, match=r"pip install 'ablate-runner\[ray\]'\.$"):
        Ray({}, tmp_path)


@pytest.mark.parametrize("words", [("--ray", "num_gpus=-1"), ("--ray", "gpus=1"), ("--ray", "address=127.0.0.1:9")])
def test_the_command_ends_with_one_line(own, ablate, fake, words):
    done = ablate("run", own, "--executor", "ray", *words)
    assert done.code == 2
    assert words[1] in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


def test_an_option_for_ray_requires_it(own, ablate):
    done = ablate("run", own, "--ray", "num_gpus=1")
    assert (done.code, done.out) == (2, "")
    assert "--executor ray" in done.err


def test_a_task_gets_its_jobs_and_its_exit_code_is_told(tmp_path, ray):
    made = ray()
    for name, code in (("good", 0), ("bad", 3)):
        submit(made, name, tmp_path, code)
    assert ended(made, "good") == State("done", "exit code 0")
    assert ended(made, "bad") == State("failed", "exit code 3")
    assert (tmp_path / "good").read_text() == "2\n"
    assert "unknown" not in made.states(["good", "unknown"])


def test_tasks_are_lost_with_the_head_and_the_next_one_gets_a_new_driver(tmp_path, ray, fake):
    made = ray()
    submit(made, "first", tmp_path)
    assert ended(made, "first").fate == "done"
    driver = made._driver.pid
    fake.write_text("head dies")
    submit(made, "second", tmp_path)
    state = ended(made, "second")
    assert state.fate == "lost"
    assert "exit code 1" in state.word
    assert made.states(["first"])["first"].fate == "done"
    with pytest.raises(ProcessLookupError):
        os.killpg(driver, 0)
    submit(made, "third", tmp_path)
    assert ended(made, "third").fate == "done"


def test_a_cluster_that_was_there_may_come_back(tmp_path, ray, fake):
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        made = ray(address=address)
        submit(made, "first", tmp_path)
        fake.write_text("head dies")
        submit(made, "second", tmp_path)
        assert ended(made, "second").fate == "lost"
    with pytest.raises(Refused, match=address):
        submit(made, "third", tmp_path)


@pytest.mark.parametrize("port", ["9", "99999"])
def test_an_address_without_a_cluster_is_one_line(tmp_path, ray, port):
    with pytest.raises(ExecutorError, match=rf"^Cannot connect to a Ray cluster at .*127\.0\.0\.1:{port}.*\.$"):
        submit(ray(address=f"127.0.0.1:{port}"), "first", tmp_path)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("silent", "not ready"),
        ("refuses", "cannot be used: no head here"),
        ("no node", "must be a node of Ray's cluster"),
        ("too large", "too large to be sent"),
    ],
)
def test_what_is_no_cluster_is_one_line_in_time(tmp_path, ray, fake, monkeypatch, mode, said):
    monkeypatch.setattr(ray_tasks, "START", 3.0 if mode == "silent" else 60.0)
    fake.write_text(mode)
    with socket.create_server(("127.0.0.1", 0)) as other:
        made = ray(address=f"127.0.0.1:{other.getsockname()[1]}", working_dir=str(tmp_path))
        with pytest.raises(ExecutorError, match=said) as error:
            submit(made, "first", tmp_path)
    assert "\n" not in str(error.value)
    assert made._driver is None


def test_a_task_that_fits_no_machine_is_refused(tmp_path, ray):
    with pytest.raises(ExecutorError, match=r"num_gpus=1\) must be at most 0"):
        submit(ray(num_gpus="1"), "first", tmp_path)


def test_an_address_in_the_environment_is_not_used(tmp_path, ray, monkeypatch):
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(name, "theirs")
    own, other = ray()._environment(), ray(address="head:1")._environment()
    assert "RAY_ADDRESS" not in own.keys() | other.keys()
    assert own["RAY_AUTH_TOKEN"] not in ("theirs", ray()._environment()["RAY_AUTH_TOKEN"])
    assert (other["RAY_AUTH_TOKEN"], other["RAY_AUTH_MODE"]) == ("theirs", "theirs")
    assert own["RAY_USAGE_STATS_ENABLED"] == other["RAY_USAGE_STATS_ENABLED"] == "0"


def exception(name: str, *, cause: BaseException | None = None) -> Exception:
    """An exception with the name of one of Ray's."""
    made = type(name, (Exception,), {})("for this reason")
    made.cause = cause
    return made


@pytest.mark.parametrize(
    ("result", "fate"),
    [
        (0, "done"),
        (3, "failed"),
        (-9, "failed"),
        (exception("WorkerCrashedError"), "lost"),
        (exception("NodeDiedError"), "lost"),
        (exception("LocalRayletDiedError"), "lost"),
        (exception("ObjectLostError"), "lost"),
        (exception("OutOfMemoryError"), "out_of_memory"),
        (exception("TaskCancelledError"), "cancelled"),
        (exception("RayTaskError", cause=KeyboardInterrupt()), "cancelled"),
        (exception("RayTaskError", cause=FileNotFoundError()), "failed"),
        (exception("RuntimeEnvSetupError"), "failed"),
    ],
)
def test_only_what_ray_itself_loses_counts_as_lost(result, fate):
    told = []

    def get(reference, timeout):
        if isinstance(result, Exception):
            raise result
        return result

    task = SimpleNamespace(options=lambda name: SimpleNamespace(remote=lambda *words: name))
    module = SimpleNamespace(
        remote=lambda **given: lambda run: task,
        wait=lambda references, **given: (references, []),
        get=get,
        cancel=lambda reference, force: None,
    )
    driver = Driver(
        module, {"num_cpus": 1, "num_gpus": 0, "working_dir": "", "where": ""}, lambda **said: told.append(said)
    )
    driver.submit("one", ["true"], "", "output")
    driver.look()
    driver.submit("two", ["true"], "", "output")
    driver.cancel(["two"])
    driver.look()
    assert [(one["ended"], one["fate"]) for one in told] == [
        ("one", fate),
        ("two", "cancelled" if fate == "lost" else fate),
    ]


def state_of(pid: int) -> str:
    """The kernel's letter for the state of a process, which has been killed; empty once it is gone."""
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return ""
        if state == "Z":
            return state


def test_a_cancelled_command_is_asked_to_end_and_then_killed_with_its_group(tmp_path):
    """It interrupts whoever started it, as Ray does, and has a child; both ignore what asks them to end."""
    program = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
if (child := os.fork()) == 0:
    time.sleep(1000)
print(child, flush=True)
os.kill(os.getppid(), signal.SIGINT)
while True:
    signal.pause()
"""
    output = tmp_path / "output"
    with pytest.raises(KeyboardInterrupt):
        run_command([sys.executable, "-c", program], b"", str(output), "", {}, 1.0)
    child, *rest = output.read_text().split()
    assert rest == ["asked"]
    assert state_of(int(child)) in ("", "Z")


def test_a_command_ends_when_the_process_of_its_task_does(tmp_path):
    """A task that is killed cannot end its command."""
    jobs = base64.b64encode(b"").decode()
    program = f"""
import base64
from ablate.execution.executors.ray_driver import run_command
code = "import os, sys; print(os.getpid(), flush=True); sys.stdin.readline(); sys.stdin.read()"
run_command([{sys.executable!r}, "-c", code], base64.b64decode({jobs!r}), {str(tmp_path / "output")!r}, "", {{}}, 1.0)
"""
    task = subprocess.Popen([sys.executable, "-c", program])
    try:
        while not (tmp_path / "output").exists() or not (text := (tmp_path / "output").read_text()).endswith("\n"):
            assert task.poll() is None
        command = os.pidfd_open(int(text))
        task.kill()
        assert select.select([command], [], [], 60)[0]
        os.close(command)
    finally:
        task.kill()
        task.wait()


def test_a_command_runs_where_the_study_was_started_and_imports_nothing_from_there(tmp_path, monkeypatch):
    """Ray puts the folder with its copy of the code first among those that are searched for modules."""
    (tmp_path / "copy").mkdir()
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'copy'}{os.pathsep}/theirs")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    program = "import os; print(os.getcwd(), os.environ['PYTHONPATH'], os.environ.get('RAY_AUTH_TOKEN'))"
    for where, there in ((str(tmp_path), tmp_path), (str(tmp_path / "gone"), tmp_path / "copy")):
        output = tmp_path / f"{there.name}.txt"
        assert run_command([sys.executable, "-c", program], b"", str(output), where, {}, 1.0) == 0
        assert output.read_text().split() == [str(there), "/theirs", "None"]


def test_a_node_has_to_see_the_folder_of_runs_and_python(tmp_path):
    (tmp_path / "token").write_text("a")
    assert check_node(str(tmp_path / "token"), "a", sys.executable) == ""
    assert check_node(str(tmp_path / "token"), "b", sys.executable) == "runs"
    assert check_node(str(tmp_path / "none"), "a", sys.executable) == "runs"
    assert check_node(str(tmp_path / "token"), "a", str(tmp_path / "python")) == "python"


def test_a_folder_of_data_is_not_sent_but_a_package_of_that_name_is(tmp_path):
    assert data_folders(tmp_path) == []
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "table.csv").write_text("")
    assert data_folders(tmp_path) == ["/data"]
    (tmp_path / "data" / "__init__.py").write_text("")
    assert data_folders(tmp_path) == []


class Everything:
    """A cluster whose jobs end with the command, and which forgets them."""

    title, lasting = "test", False

    def __init__(self, refusals=0):
        self.refusals = refusals

    def submit(self, name, command, jobs, output, after):
        self.refusals -= 1
        if self.refusals >= 0:
            raise Refused("not now")
        (output.parent / EVENTS).write_bytes(encode(ProcessExited(job=0, code=0)))

    def states(self, names):
        return {}

    def cancel(self, names): ...

    def close(self): ...


def test_jobs_that_end_with_the_command_do_not_claim_their_runs_before_they_begin(job):
    store = Store(job.root)
    executor = ClusterExecutor(Everything(), store, "study")
    assert executor.submit_all([job]) == 1
    assert not any(store.is_claimed(name) for name in job.fingerprints)
    assert executor.waiting(["another's"]) == {"another's"}
    assert executor.waiting(["another's"]) == {"another's"}


def test_a_job_that_is_refused_is_submitted_again_while_nothing_else_happens(job, monkeypatch):
    monkeypatch.setattr(cluster, "REFUSED_FOR", 0.0)
    executor = ClusterExecutor(Everything(refusals=2), Store(job.root), "study")
    executor.submit(job)
    assert executor.poll(30.0) == [ProcessExited(job=0, code=0)]


def test_a_recipe_whose_folder_is_missing_or_not_in_the_copy_is_one_line(tmp_path, monkeypatch, job):
    assert here([job], None) == [job]
    monkeypatch.chdir(tmp_path)
    [moved] = here([job], job.assignment.folder)
    assert moved.assignment.folder == tmp_path
    with pytest.raises(SystemExit, match="is outside of working_dir"):
        here([job], tmp_path / "elsewhere")
    shutil.rmtree(job.assignment.folder)
    with pytest.raises(SystemExit, match="is missing on"):
        here([job], None)


def test_a_command_says_that_it_does_not_use_the_address_in_the_environment(own, ablate, fake):
    words = ("run", own, "--executor", "ray", "--ray")
    assert "RAY_ADDRESS (=theirs:1) is ignored" in ablate(*words, "num_gpus=1", RAY_ADDRESS="theirs:1").err
    assert "RAY_ADDRESS" not in ablate(*words, "address=127.0.0.1:9", RAY_ADDRESS="theirs:1").err

"""A folder of runs may come from a stranger: no command follows a link out of it, waits for a pipe in it, or changes
anything outside.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
from pathlib import Path

import pytest

from ablate.cli.app import run_command
from ablate.planning.cleaning import clean, find_spare
from ablate.store import locks
from ablate.store.descriptors import LinkError
from ablate.store.disk import Disk, DiskError, StoreWarning
from ablate.store.store import Store

pytestmark = pytest.mark.filterwarnings("ignore::ablate.store.disk.StoreWarning")

OF_RUN = (
    *("status.json", "metrics.jsonl", "provenance.json", "identity.json", "settings.yaml", "log.txt", "lock.1"),
    *("best.pt", "last.pt", "checkpoint.pt", "checkpoint.old.pt", ".status.json.77", "sub", ""),
)
"""What is planted in a run's folder, one in each run; the last one is the folder itself."""

OF_STUDY = (
    *("study.json", "recipe.yaml", "study.lock.1", "looks.jsonl", "prior.jsonl", "published.json", "published.lock.1"),
    *("networks.json", "ensembles.json", "threads.json"),
)
KINDS = ("link to a file", "pipe", "hard link", "link to a folder", "dangling link", "link to a device", "folder")
SOME = [*KINDS[:2], *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[2:])]

READING = (
    ["table", "{recipe}"],
    ["table", "{recipe}", "--format", "json"],
    ["plan", "{recipe}", "--quick"],
    ["status", "{recipe}"],
    ["logs", "{recipe}", "one"],
    ["diff", "{recipe}", "one", "two"],
    ["export", "{recipe}", "-o", "{folder}/table.csv"],
    ["plot", "{recipe}", "--kind", "curves", "-o", "{folder}/curves.svg"],
    ["report", "{recipe}", "-o", "{folder}/report.html"],
    ["explain", "{recipe}"],
    ["examples", "{recipe}", "one", "two"],
    ["ensemble", "{recipe}"],
    ["predict", "{recipe}", "one", "--data", "{folder}/new.npz", "-o", "{folder}/out.csv"],
)
CLEANING = (["clean", "--dry-run"], ["clean"], ["clean", "{recipe}"])


@pytest.fixture(autouse=True)
def in_time():
    """A command that waits for a pipe must not stop the tests."""

    def late(*_):
        raise AssertionError("a command waits")

    earlier = signal.signal(signal.SIGALRM, late)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, earlier)


class Outside:
    """A folder beside the folder of runs, in which nothing may change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "victim").mkdir()
        (folder / "victim" / "inner").write_text("keep me")
        self.count = 0

    def plant(self, path: Path, kind: str) -> None:
        """Put something in place of a path, which leads to the same contents outside if it is a link to a file."""
        self.count += 1
        target = self.folder / f"target{self.count}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.move(path, target) if kind in ("link to a file", "link to a folder") else shutil.rmtree(path)
        elif path.exists():
            shutil.move(path, target)
        elif kind != "link to a folder":
            target.write_text("victim")
        if kind == "dangling link":
            path.symlink_to(self.folder / "nothing")
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "link to a device":
            path.symlink_to("/dev/zero")
        elif kind == "folder":
            path.mkdir()
            (path / "link").symlink_to(self.folder / "victim")
        elif kind == "link to a folder":
            path.symlink_to(target if target.is_dir() else self.folder / "victim")
        elif kind == "hard link" and target.is_file():
            os.link(target, path)
        else:
            path.symlink_to(target)

    def state(self) -> dict[str, object]:
        """Mode, time of the last change and contents of everything."""
        found: dict[str, object] = {}
        for path in [self.folder, *sorted(self.folder.rglob("*"))]:
            status = path.lstat()
            contents = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
            found[str(path)] = (status.st_mode, status.st_mtime_ns, contents)
        return found


TWO = "variants:\n  - {name: two, set: {optimizer.lr: 0.2}}\n"


@pytest.fixture
def made(stub_study, tmp_path, monkeypatch):
    """A finished study, a folder outside, and `commands`, which all must end in a line at most and change nothing
    there.
    """
    study = stub_study(more=TWO, seeds=7)
    study.command(stack=1)
    outside = Outside(tmp_path / "outside")
    monkeypatch.chdir(tmp_path)

    def commands(capsys, *which):
        before = outside.state()
        for words in which:
            given = [word.format(recipe=study.recipe.path, folder=tmp_path) for word in words]
            given += [] if words[0] == "clean" else ["--seeds", "7"]
            given += [] if words[0] == "diff" else ["--runs", str(study.root)]
            code = run_command(given)
            err = capsys.readouterr().err
            assert code in (0, 1, 2), words
            assert "bug in ablate" not in err, (words, err)
            assert "Traceback" not in err, (words, err)
            assert outside.state() == before, words
            yield words, code, err

    return study, outside, commands


def flags(study):
    return [run.fingerprint for run in study.plan().runs]


@pytest.mark.parametrize("kind", SOME)
def test_in_a_run(made, kind, capsys, stub):
    study, outside, commands = made
    names = flags(study)
    results = study.results()
    assert len(names) == len(OF_RUN)
    for name, place in zip(names, OF_RUN, strict=True):
        outside.plant(study.root / "store" / name / place if place else study.root / "store" / name, kind)
    before = outside.state()
    told = "".join(err for _, _, err in commands(capsys, *READING[:7], *CLEANING))
    if "link to" in kind:
        assert f"symbolic link (={study.root / 'store' / names[0]}/status.json) is not followed" in told
    elif kind == "pipe":
        assert "special file" in told
    # a run whose status or folder is not its own is trained again, and no other
    lost = {names[OF_RUN.index("status.json")], names[OF_RUN.index("")]} if kind != "hard link" else {names[-1]}
    training = stub()
    study.command(training=training, stack=1)
    assert {name for [name] in training.trained} == lost
    assert outside.state() == before
    for again in ({"fresh": True}, {"retry_failed": True}):
        study.command(stack=1, **again)
        assert outside.state() == before
    assert study.finished() == set(names)
    assert {name: one[:3] for name, one in study.results().items()} == {name: one[:3] for name, one in results.items()}
    for folder in (study.root / "store").iterdir():
        assert not [path for path in folder.iterdir() if path.name != "sub" and not is_own(path)]


def is_own(path: Path) -> bool:
    return (stat.S_ISREG(path.lstat().st_mode) and path.lstat().st_nlink == 1) or path.name == "lock.1"


@pytest.mark.parametrize("kind", SOME)
def test_in_a_study(made, kind, capsys, stub):
    study, outside, commands = made
    for place in OF_STUDY:
        outside.plant(study.root / "stub" / place, kind)
    for words, code, err in commands(capsys, *READING[:7], *CLEANING):
        # a study that cannot be read is named, and nothing is removed
        unread = kind != "hard link" and words[0] == "clean"
        assert code == (2 if unread else 0), (words, err)
        assert ("study.json) cannot be read" in err) == unread
    before = outside.state()
    training = stub()
    study.command(training=training)
    assert training.trained == []
    assert outside.state() == before
    assert clean(Store(study.root)) == []
    assert is_own(study.root / "stub" / "study.json") or kind == "hard link"


@pytest.mark.parametrize("place", ["store", "stub", "foreign"])
@pytest.mark.parametrize("kind", ["link to a folder", pytest.param("dangling link", marks=pytest.mark.slow)])
def test_at_the_top(made, place, kind, capsys):
    """What needs the folder ends with one line; a link beside it may be a study, and stops cleaning."""
    study, outside, commands = made
    outside.plant(study.root / place, kind)
    for words, code, err in commands(capsys, *READING[:7], *CLEANING):
        needed = words[0] != "diff" and (place != "foreign" or words[0] == "clean")
        assert code == (2 if needed else 0), (words, err)
        assert ("is a symbolic link, which is not followed" in err) == needed
        assert not needed or len(err.splitlines()) == 1
    before = outside.state()
    if place != "foreign":
        with pytest.raises(LinkError):
            study.command()
    assert outside.state() == before


def test_a_root_that_is_a_link_is_followed(made, tmp_path):
    study, _, _ = made
    link = tmp_path / "disk"
    link.symlink_to(study.root)
    assert len(study.finished()) == len(type(study)(link, study.recipe).finished()) == 14


def test_cleaning_removes_links_but_not_what_they_lead_to(made):
    study, outside, _ = made
    folder = study.root / "store"
    for i, kind in enumerate(KINDS):
        outside.plant(folder / f"unused{i}", kind)
    outside.plant(folder / ".gone-0", "link to a folder")
    (folder / "unused").mkdir()
    for kind in ("link to a file", "link to a folder", "dangling link"):
        outside.plant(folder / "unused" / kind, kind)
    before = outside.state()
    assert len(find_spare(Store(study.root))) == len(KINDS) + 2
    assert len(clean(Store(study.root))) == len(KINDS) + 2
    assert len(list(folder.iterdir())) == 14
    assert outside.state() == before


def test_fingerprints_and_names_that_are_paths_are_refused(made, tmp_path):
    study, _, _ = made
    disk = Store(study.root).disk
    for path in (study.root / ".." / "outside" / "x", Path("/etc/passwd"), tmp_path / "outside" / "victim" / "inner"):
        for use in (disk.read, disk.kind, disk.remove, lambda path: disk.replace(path, b"")):
            with pytest.raises(ValueError, match="must be in the folder of runs"):
                use(path)
    file = study.root / "stub" / "study.json"
    text = file.read_text()
    for bad in ("../../outside/victim", "/etc", "", ".", "a/b"):
        file.write_text(text.replace(flags(study)[0], bad, 1))
        with pytest.warns(StoreWarning, match="must be the name of a folder"):
            assert Store(study.root).study("stub") == {"rows": []}
        with pytest.raises(ValueError, match="cannot be determined"):
            clean(Store(study.root))


def test_a_lock_with_another_name_still_locks(made, tmp_path):
    """A backup by `cp -al` shares the lock's file; the runs stay those of one writer."""
    study, _, _ = made
    store = Store(study.root)
    path = store.lock_file(flags(study)[0])
    with locks.held(store.disk, path):
        os.link(max(path.parent.glob("lock.*")), tmp_path / "backup")
        assert locks.take(store.disk, path, wait=False) is None
        assert store.is_claimed(flags(study)[0])
    assert not store.is_claimed(flags(study)[0])


def test_a_file_without_a_folder_is_told_in_one_line(tmp_path):
    disk = Disk()
    disk.root = tmp_path
    (tmp_path / "store").write_text("no folder")
    with pytest.raises(DiskError, match="Not a directory"):
        disk.replace(tmp_path / "store" / "a" / "status.json", b"")


REAL = """
study: real
data: digits
seeds: 2
baseline:
  name: one
  model: {name: mlp, hidden: [4]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  epochs: 1
variants:
  - {name: two, set: {optimizer.lr: 0.2}}
  - {name: three, add: [{from_weights: {source: one}}]}
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS[:2])
def test_every_command_on_a_trained_study(ablate, tmp_path, kind):
    (tmp_path / "real.yaml").write_text(REAL)
    assert ablate("run", "real.yaml").code == 0
    outside = Outside(tmp_path / "outside")
    data = ["--tracking-uri", "sqlite:///mlflow.db"]
    training = [["run", "real.yaml", "--retry-failed"], ["run", "real.yaml"], ["run", "real.yaml", "--fresh"]]
    others = [
        *[[word.format(recipe="real.yaml", folder=tmp_path) for word in words] for words in (*READING, *CLEANING)],
        ["plan", "real.yaml"],
        ["sync", "real.yaml", *data],
        ["plot", "real.yaml", "--kind", "effects", "-o", "effects.svg"],
    ]
    for places in (("best.pt", "last.pt", "log.txt", "lock.1"), ("status.json", "metrics.jsonl", "")):
        for folder, place in zip(sorted((tmp_path / "runs" / "store").iterdir()), places * 6, strict=False):
            outside.plant(folder / place if place else folder, kind)
        for place in OF_STUDY:
            outside.plant(tmp_path / "runs" / "real" / place, kind)
        before = outside.state()
        for words in (*others, *training):
            done = ablate(*words)
            assert "bug in ablate" not in done.err, (words, done.err)
            assert "Traceback" not in done.err, (words, done.err)
            assert outside.state() == before, words
        assert done.code == 0, done.err

"""``ablate report``, and the report that ``ablate run`` refreshes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RECIPE = """
study: tiny
seeds: 3
data: digits
metrics: [accuracy]
baseline:
  name: net1
  model: {name: mlp, hidden: [4]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  epochs: 2
variants:
  - {name: net2, description: wider, set: {model.hidden: [8]}}
"""

SLOW = """
import time
def main(run, wait=0.0):
    run.log(epoch=1, valid_loss=1.0 + run.seed / 100)
    while wait and not __import__("os").path.exists("go"):
        time.sleep(0.02)
    run.log(epoch=2, valid_loss=0.5 + run.seed / 100)
"""

SLOW_RECIPE = """
study: slow
seeds: 3
trainer: {target: "train:main"}
baseline: {name: quick, args: {wait: 0.0}}
variants:
  - {name: waits, set: {args.wait: 1.0}}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory, warm):
    folder = tmp_path_factory.mktemp("report")
    (folder / "tiny.yaml").write_text(RECIPE)
    done = warm(folder, "run", "tiny.yaml", "--no-mlflow", "--jobs", "1")
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def at(trained, warm):
    return lambda *words: warm(trained, *map(str, words))


def test_a_report_for_each_suffix(at, trained, tmp_path):
    starts = {"html": b"<!doctype html>", "md": b"# tiny", "pdf": b"%PDF"}
    for suffix, start in starts.items():
        done = at("report", "tiny.yaml", "-o", tmp_path / f"r.{suffix}")
        assert (done.code, done.out, done.err) == (0, "", f"Wrote {tmp_path}/r.{suffix}.\n")
        assert (tmp_path / f"r.{suffix}").read_bytes().startswith(start)
    assert sorted(path.name for path in (tmp_path / "r_files").iterdir()) == ["curves.svg", "effects.svg", "ladder.svg"]
    assert at("report", "tiny.yaml", "-o", tmp_path / "r", "--format", "html").code == 0
    assert (tmp_path / "r").read_bytes() == (tmp_path / "r.html").read_bytes()


def test_the_page_has_costs_and_provenance(at, trained, tmp_path):
    assert at("report", "tiny.yaml", "-o", tmp_path / "r.html").code == 0
    page = (tmp_path / "r.html").read_text()
    terms = dict(re.findall(r"<dt>(.*?)</dt>\n<dd>(.*?)</dd>", page))
    assert terms["Recipe"] == "tiny.yaml"
    assert "run tiny.yaml --no-mlflow --jobs 1" in terms["Command"]
    assert terms["Data"] == "train 1,438, valid 359 samples"
    assert re.fullmatch(r"[0-9a-f]{32}", terms["Data key"])
    assert terms["Device"] == "cpu"
    assert {"Python", "PyTorch", "ablate", "Trained"} <= set(terms)
    assert re.search(r"All runs together: \d[\d.]* device seconds", page)
    assert "model.hidden</td><td>[4]</td><td>[8]" in page


def test_options_choose_the_metric_the_columns_and_the_variants(at, trained, tmp_path):
    words = ["--metric", "accuracy", "--columns", "variant,accuracy,verdict", "--sort", "-accuracy"]
    assert at("report", "tiny.yaml", "-o", tmp_path / "r.md", *words).code == 0
    text = (tmp_path / "r.md").read_text()
    assert re.search(r"\| Name +\| +Accuracy \| Verdict +\|", text)
    assert "## Learning curves: accuracy" in text
    assert at("report", "tiny.yaml", "-o", tmp_path / "one.md", "--only", "net1").code == 0
    assert "net2" not in (tmp_path / "one.md").read_text().partition("## Recipe")[0]


@pytest.mark.slow
def test_two_reports_are_equal(at, trained, tmp_path):
    for name in ("one.html", "two.html"):
        command = [sys.executable, "-P", "-m", "ablate", "report", "tiny.yaml", "-o", str(tmp_path / name)]
        subprocess.run(command, cwd=trained, check=True, capture_output=True)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


WRONG = {
    "suffix": (["-o", "r.docx"], "--output (=r.docx) must end in one of .html, .md, .pdf, or pass --format."),
    "format": (["-o", "r.html", "--format", "htm"], "--format (=htm) must be one of html, md, pdf. Did you mean 'html'?"),
    "folder": (["-o", "old.html"], "--output (=old.html) must be a file, not a folder."),
    "no folder": (["-o", "no/r.html"], "--output (=no/r.html) must be in an existing folder. Create the folder 'no' first."),
    "column": (["-o", "kept.html", "--columns", "x"], "--columns (=x) is not a column of this table."),
    "nothing trained": (["-o", "kept.html", "--set", "epochs=3"], "tiny has no results: no run has started."),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_and_overwrites_nothing(at, trained, case):
    (trained / "kept.html").write_text("mine")
    (trained / "old.html").mkdir(exist_ok=True)
    words, hint = WRONG[case]
    done = at("report", "tiny.yaml", *words)
    assert done.code == 2
    [line] = done.err.strip().splitlines()
    assert hint in line
    assert (trained / "kept.html").read_text() == "mine"
    assert not (trained / "r.html").exists()


def test_a_folder_that_cannot_be_written_is_said(trained, at, tmp_path, monkeypatch):
    from ablate.cli.options import check_output

    monkeypatch.setattr("os.access", lambda path, mode: False)  # the tests may run as root
    with pytest.raises(ValueError, match=r"--report \(=.*r\.html\) must be in a folder that you can write to\."):
        check_output(tmp_path / "r.html", flag="--report")


# while a study trains


@pytest.fixture
def slow(tmp_path) -> Path:
    (tmp_path / "train.py").write_text(SLOW)
    (tmp_path / "slow.yaml").write_text(SLOW_RECIPE)
    return tmp_path


def state_of(page: Path) -> str:
    """What a page says about missing runs."""
    found = re.findall(r'<p class="state">(.*?)</p>', page.read_text()) if page.exists() else []
    return found[0] if found else ""


def training(folder: Path) -> subprocess.Popen[str]:
    """The command that trains, once its first report is there."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "ablate",
        "run",
        "slow.yaml",
        "--no-mlflow",
        "--jobs",
        "1",
        "--report",
        "r.html",
    ]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not state_of(folder / "r.html"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return process


@pytest.mark.slow
def test_run_refreshes_the_report_and_writes_it_at_the_end(slow):
    process = training(slow)
    assert re.match(
        "This study is (still running|not complete): [1-5] of 6 runs have finished. Missing: ",
        state_of(slow / "r.html"),
    )
    (slow / "go").touch()
    _, error = process.communicate()
    assert process.returncode == 0, error
    assert error.count("Wrote r.html.") == 1
    assert state_of(slow / "r.html") == ""


@pytest.mark.slow
def test_run_writes_the_report_after_ctrl_c(slow):
    process = training(slow)
    (slow / "r.html").unlink()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130, error
    assert "Interrupted. Finished runs are kept." in error
    assert state_of(slow / "r.html").startswith("This study is not complete: ")
    assert "interrupted" in state_of(slow / "r.html")


def test_a_report_that_breaks_stops_no_run(ablate, slow):
    (slow / "go").touch()
    (slow / "to").mkdir()
    (slow / "train.py").write_text(
        SLOW + "\n    import shutil; shutil.rmtree('to', ignore_errors=True); open('to', 'w').close()\n"
    )
    done = ablate("run", "slow.yaml", "--report", "to/r.html", "--jobs", "1")
    assert done.code == 0
    [line] = [line for line in done.err.splitlines() if "report" in line]
    assert line.startswith("The report could not be written: ")


def test_the_runs_of_a_search_start_no_report(tmp_path, monkeypatch):
    from ablate.cli.app import run_command
    from ablate.cli.live_report import LiveReport

    seen = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LiveReport, "event", lambda self, event: seen.append(type(event).__name__))
    tuned = RECIPE.partition("variants:")[0].replace("seeds: 3", "seeds: 1")
    (tmp_path / "t.yaml").write_text(f"{tuned}tune: {{optimizer.lr: {{values: [0.1, 0.2]}}, seeds: 1}}\n")
    assert run_command(["run", "t.yaml", "--report", "r.md", "--jobs", "1", "--no-mlflow"]) == 0
    assert seen.count("RunEnded") == 1, "not those of the candidates: a report would have no results yet"


@pytest.mark.parametrize(
    ("output", "hint"),
    [("x.docx", "--report (=x.docx) must end in one of .html, .md, .pdf.\n"), ("no/x.md", "--report (=no/x.md)")],
)
def test_run_checks_the_report_before_it_trains(ablate, slow, output, hint):
    done = ablate("run", "slow.yaml", "--report", output)
    assert done.code == 2
    assert hint in done.err
    assert not (slow / "runs").exists()

"""Variants trained by a command: command lines, metrics from files and output, resuming, and how scripts end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablate.execution.shutdown import EndAsked
from ablate.planning.networks import ask
from ablate.recipe import Recipe, RecipeError, identity
from ablate.store.records import RunRecord
from ablate.trainers.shared.command_line import Template
from ablate.trainers.shared.script import end_leftovers
from tests.trainers.listening import Listening, train

SCRIPT = """
import json, os, sys
from pathlib import Path
import extra

args = dict(word.split("=") for word in sys.argv[1:])
out, last = Path(args["out"]), Path(args["out"], "last.json")
done = json.loads(last.read_text())["epoch"] if "--resume" in os.environ.get("WORDS", "") else 0
if os.environ["ABLATE_RESUME"]:
    done = json.loads(last.read_text())["epoch"]
for epoch in range(done + 1, int(args["epochs"]) + 1):
    loss = extra.SCALE / (float(args["lr"]) * epoch + int(args["seed"]))
    with open(out / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"epoch": epoch, "train_loss": loss, "note": "x"}) + "\\n")
        file.write(json.dumps({"epoch": epoch, "valid_loss": 2 * loss}) + "\\n")
    last.write_text(json.dumps({"epoch": epoch}))
"""

RECIPE = """
study: own
trainer:
  command: [PYTHON, train.py, "lr={lr}", "seed={seed}", "epochs={epochs}", "out={out}"]
seeds: 2
baseline: {name: base, epochs: 4, args: {lr: 0.5}}
variants:
  - {name: fast, set: {args.lr: 1.0}}
"""


@pytest.fixture
def write(tmp_path):
    """Write a recipe and a script beside it; returns the recipe's path."""

    def written(script=SCRIPT, recipe=RECIPE, name="train.py"):
        (tmp_path / name).write_text(script)
        (tmp_path / "extra.py").write_text("SCALE = 1.0\n")
        (tmp_path / "own.yaml").write_text(recipe.replace("PYTHON", sys.executable))
        return tmp_path / "own.yaml"

    return written


def python(code, read="", more=""):
    """A recipe that runs a program, and its script."""
    return code, f"trainer:\n  command: [PYTHON, train.py]\n  {read}\n{more}baseline: {{name: base}}\n"


# command lines


@pytest.mark.parametrize(
    ("command", "style", "expected"),
    [
        ("run --lr {lr} --seed {seed}", "--key=value", ["run", "--lr", "0.1", "--seed", "3"]),
        ("run {augment:flag} {off:flag} end", "--key=value", ["run", "--augment", "end"]),
        ("run --name={name} {{lr}}", "--key=value", ["run", "--name=a b", "{lr}"]),
        ("run '{name} and' \"{name}\"", "--key=value", ["run", "a b and", "a b"]),
        ("run --sizes {sizes}", "--key=value", ["run", "--sizes", "[1, 2]"]),
        (["run", "{augment}", "$HOME", "a;b"], "--key=value", ["run", "true", "$HOME", "a;b"]),
        ("run {args}", "--key=value", ["run", "--lr=0.1", "--augment", "--name=a b", "--sizes=[1, 2]"]),
        (
            "run {args} --lr {lr}",
            "--key value",
            ["run", "--augment", "--name", "a b", "--sizes", "[1, 2]", "--lr", "0.1"],
        ),
        (
            "run {args}",
            "key=value",
            ["run", "lr=0.1", "augment=true", "off=false", "name=a b", "sizes=[1, 2]"],
        ),
    ],
)
def test_fields_become_words(command, style, expected):
    args = {"lr": 0.1, "augment": True, "off": False, "name": "a b", "sizes": [1, 2]}
    assert Template(command, style).filled(args, {"seed": "3"}) == expected


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "must not be empty."),
        ("run 'a", "cannot be split into words: no closing quotation."),
        ("run {lr", "has a single '{' in '{lr'. Write '{{' for a brace."),
        ("run lr}", "has a single '}' in 'lr}'. Write '}}' for a brace."),
        ("run {lr:int}", "has an invalid field '{lr:int}'. Write '{name}' or '{name:flag}'."),
        ("run {}", "has an invalid field '{}'."),
        ("run --x={augment:flag}", "has '{augment:flag}' inside the word '--x={augment:flag}'."),
        ("run x{args}", "has '{args}' inside the word 'x{args}'."),
    ],
)
def test_a_wrong_template_is_told_in_one_line(command, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Template(command, "--key=value")


def test_a_dry_run_lists_the_commands(write, ablate, tmp_path):
    path = write(recipe=RECIPE.replace("[PYTHON, train.py, ", '[python, "my train.py", '), name="my train.py")
    done = ablate("run", path, "--dry-run", "--runs", "runs")
    assert done.code == 0
    lines = done.out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["base seed 0", "base seed 1", "fast seed 0", "fast seed 1"]
    assert lines[3].startswith("fast seed 1: python 'my train.py' lr=1.0 seed=1 epochs=4 out=")
    assert not (tmp_path / "runs").exists()


def test_a_field_needs_a_value():
    with pytest.raises(ValueError, match=r"has the field '\{width\}', but there is no args.width."):
        Template("run {width}", "--key=value").filled({}, {})
    with pytest.raises(ValueError, match=r"args.lr \(=0.1\) must be true or false."):
        Template("run {lr:flag}", "--key=value").filled({"lr": 0.1}, {})


# metrics


def test_json_lines_are_the_default(write):
    report = train(write(), seed=1)
    assert report.lines == [
        {"epoch": epoch, "train_loss": 1 / (0.5 * epoch + 1), "valid_loss": 2 / (0.5 * epoch + 1)}
        for epoch in range(1, 5)
    ]
    assert report.outcomes[0].status == "finished"


def test_ablate_log_in_a_script(write):
    code = "import ablate\nfor epoch in (1, 2):\n    ablate.log(epoch=epoch, valid_loss=1 / epoch, accuracy=epoch)"
    report = train(write(*python(code)))
    assert report.lines == [
        {"epoch": 1, "valid_loss": 1.0, "accuracy": 1.0},
        {"epoch": 2, "valid_loss": 0.5, "accuracy": 2.0},
    ]


def test_a_copy_of_log_needs_only_the_standard_library(write, tmp_path):
    from ablate.trainers.shared import log

    (tmp_path / "copied.py").write_text(Path(log.__file__).read_text())
    code = "import sys\nfrom copied import log\nlog(valid_loss=3)\nassert 'ablate' not in sys.modules"
    assert train(write(*python(code))).lines == [{"epoch": 1, "at": {}, "valid_loss": 3.0}]


def test_csv_with_names(write):
    code = "import os\nwith open(os.environ['ABLATE_OUT'] + '/log.csv', 'w') as file:\n"
    code += "    file.write('Epoch,loss/val,text,lr\\n1,0.5,\"a, b\",\\n2,0.25,c,0.1\\n')"
    read = 'read: {csv: "{out}/log.csv", names: {epoch: Epoch, valid_loss: loss/val}}'
    report = train(write(*python(code, read)))
    assert report.lines == [{"epoch": 1, "valid_loss": 0.5}, {"epoch": 2, "valid_loss": 0.25, "lr": 0.1}]


def test_patterns_in_the_output(write):
    code = "print('epoch 1 of 2')\nprint('loss 0.5, val 0.25')\nprint('nothing')\n"
    code += "print('epoch 2 of 2', end='\\r')\nprint('loss 0.125, val 1e-3', end='')"
    read = "read: {regex: {epoch: 'epoch (\\d+)', train_loss: 'loss ([\\d.]+)', valid_loss: 'val ([\\d.e-]+)'}}"
    assert train(write(*python(code, read))).lines == [
        {"epoch": 1, "train_loss": 0.5, "valid_loss": 0.25},
        {"epoch": 2, "train_loss": 0.125, "valid_loss": 0.001},
    ]


def test_patterns_without_epochs(write):
    read = "read: {regex: {valid_loss: 'val ([\\d.]+)', accuracy: 'acc ([\\d.]+)'}}"
    report = train(write(*python("for i in (1, 2):\n    print('val', 1 / i)\n    print('acc', i)", read)))
    assert report.lines == [
        {"epoch": 1, "at": {}, "valid_loss": 1.0, "accuracy": 1.0},
        {"epoch": 2, "at": {}, "valid_loss": 0.5, "accuracy": 2.0},
    ]


def test_all_of_a_large_output_is_read(write, capfd):
    code = "for i in range(300):\n    print('x' * 9999)\n    print('val', i)\nprint('val 300', end='')"
    report = train(write(*python(code, "read: {regex: {valid_loss: 'val (.+)'}}")))
    assert [line["valid_loss"] for line in report.lines] == list(range(301))
    assert len(capfd.readouterr().out) > 300 * 9999


def test_a_process_that_a_script_leaves_behind_is_not_waited_for(write):
    code = "import subprocess, sys\nprint('val 1')\n"
    code += "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    path = write(*python(code, "read: {regex: {valid_loss: 'val (.+)'}}"))
    assert train(path).lines == [{"epoch": 1, "at": {}, "valid_loss": 1.0}]
    end_leftovers(path.parent / "work")


def test_a_script_in_another_language(write):
    script = 'for e in 1 2 3; do awk -v e=$e -v s="$1" \'BEGIN { print "loss", s / e }\'; done\n'
    recipe = "trainer: {command: 'bash train.sh {scale}', read: {regex: {valid_loss: 'loss ([\\d.]+)'}}}\n"
    path = write(script, recipe + "baseline: {name: base, args: {scale: 6}}", "train.sh")
    assert [line["valid_loss"] for line in train(path).lines] == [6.0, 3.0, 2.0]


# environment


def test_what_a_script_is_given(write, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("SECRET_TOKEN", "hush")
    code = "import json, os, sys\nnames = ('ABLATE_SEED', 'ABLATE_OUT', 'ABLATE_EPOCHS', 'ABLATE_DEVICE', 'ABLATE_RESUME', 'SECRET_TOKEN')\n"
    code += "given = {name: os.environ[name] for name in names} | {'cwd': os.getcwd(), 'stdin': sys.stdin.read()}\n"
    code += "open(os.environ['ABLATE_OUT'] + '/given.json', 'w').write(json.dumps(given))\nimport ablate\nablate.log(valid_loss=1)"
    recipe = "trainer: {command: [PYTHON, ../train.py], cwd: below}\n"
    recipe += "baseline: {name: base, epochs: 3, args: {token: {env: SECRET_TOKEN}}}"
    (tmp_path / "below").mkdir()
    train(write(code, recipe), seed=7)
    given = json.loads((tmp_path / "work" / "given.json").read_text())
    assert given == {
        "ABLATE_SEED": "7",
        "ABLATE_OUT": str(tmp_path / "work"),
        "ABLATE_EPOCHS": "3",
        "ABLATE_DEVICE": "cpu",
        "ABLATE_RESUME": "",
        "SECRET_TOKEN": "hush",
        "cwd": str(tmp_path / "below"),
        "stdin": "",
    }


def test_python_is_that_of_ablate_unless_another_environment_is_active(write, monkeypatch, tmp_path):
    code = "import os, sys, ablate\nablate.log(valid_loss=os.path.samefile(sys.executable, sys.argv[1]))"
    path = write(code, f"trainer: {{command: [python, train.py, {sys.executable}]}}\nbaseline: {{name: base}}")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    assert train(path).lines == [{"epoch": 1, "at": {}, "valid_loss": 1.0}]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("#!/bin/sh\necho from the environment\nexit 3\n")
    (tmp_path / "bin" / "python").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))
    with pytest.raises(ValueError, match="exit code 3: from the environment"):
        train(path)


def test_a_configuration_is_copied_with_the_arguments(write, tmp_path):
    (tmp_path / "conf.yaml").write_text("optimizer:\n  lr: 0.1  # tuned\n  name: sgd\ndepth: 3\n")
    code = "import sys, ablate\ntext = open(sys.argv[1]).read()\nassert '# tuned' in text\n"
    code += "ablate.log(valid_loss=float(text.split('lr: ')[1].split()[0]), depth=int(text.split('depth: ')[1]))"
    recipe = (
        "trainer: {command: [PYTHON, train.py, '{out}/conf.yaml'], config: {file: conf.yaml, to: '{out}/conf.yaml'}}\n"
    )
    recipe += "baseline: {name: base, args: {optimizer: {lr: 0.5}, depth: 4}}\n"
    recipe += "variants: [{name: faster, set: {args.optimizer.lr: 0.75}}]"
    path = write(code, recipe)
    assert train(path, "faster").lines == [{"epoch": 1, "at": {}, "valid_loss": 0.75, "depth": 4.0}]
    path.write_text(path.read_text().replace("depth: 4", "width: 4"))
    [network] = ask(Recipe.load(path), [Recipe.load(path).variant("base").settings])
    assert network.error == "args.width is not a key of conf.yaml. Add it there, or remove it"


# how it ends


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('no such data')\nraise SystemExit(3)", "its command ended with exit code 3: no such data"),
        ("import os\nos.kill(os.getpid(), 9)", "its command ended with signal 9, possibly because the machine ran out"),
        ("import undefined_module", "exit code 1: ModuleNotFoundError: No module named 'undefined_module'"),
        ("pass", "it reported no metrics."),
    ],
)
def test_a_failure_is_one_line(write, code, message):
    with pytest.raises(ValueError, match=re.escape(message)) as found:
        train(write(*python(code)))
    assert "\n" not in str(found.value)


def test_a_loss_that_is_not_a_number_ends_the_script(write):
    code = "import ablate, time\nablate.log(epoch=1, valid_loss=1.0)\nablate.log(epoch=2, valid_loss=float('nan'))\ntime.sleep(600)"
    [ended] = train(write(*python(code))).outcomes
    assert (ended.status, ended.reason) == ("diverged", "valid_loss (=nan) is not finite at epoch 2")


def test_an_end_reaches_the_script_and_its_folder_stays(write, tmp_path):
    code = "import ablate, os, signal, sys, time\n"
    code += "signal.signal(signal.SIGTERM, lambda *_: (open(os.environ['ABLATE_OUT'] + '/heard', 'w').close(), sys.exit(0)))\n"
    code += "ablate.log(epoch=1, valid_loss=1.0)\nablate.log(epoch=2, valid_loss=1.0)\ntime.sleep(600)"
    path = write(*python(code))
    with pytest.raises(EndAsked):
        train(path, end_at=1)
    assert (tmp_path / "work" / "heard").exists()


def test_resuming_continues_from_the_scripts_own_checkpoint(write, tmp_path):
    recipe = RECIPE.replace("seeds: 2", "  resume_args: [more=1]\nseeds: 2")
    path = write(SCRIPT, recipe)
    whole = train(path, seed=1)
    for file in (tmp_path / "work").iterdir():
        file.unlink()
    slow = SCRIPT.replace("    last.write_text", "    import time; time.sleep(0.3)\n    last.write_text")
    path = write(slow, recipe)
    first = Listening(tmp_path, end_at=2)
    with pytest.raises(EndAsked):
        train(path, seed=1, report=first)
    again = train(path, seed=1, state=first.saved[-1])
    kept = first.saved[-1]["epoch"]
    assert [*first.lines[:kept], *again.lines] == whole.lines
    assert again.outcomes == whole.outcomes


def test_what_was_left_behind_is_ended(tmp_path):
    out = tmp_path / "work"
    out.mkdir()
    program = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
    mine = subprocess.Popen(program, env={**os.environ, "ABLATE_OUT": str(out)}, stdout=subprocess.PIPE)
    other = subprocess.Popen(program, env={**os.environ, "ABLATE_OUT": f"{out}2"}, stdout=subprocess.PIPE)
    try:
        for process in (mine, other):
            assert process.stdout.readline() == b"up\n"
        waiting = time.monotonic() + 60
        end_leftovers_in_a_process(out, mine)
        assert time.monotonic() < waiting
        assert mine.returncode == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (mine, other):
            process.kill()
            process.wait()
            process.stdout.close()


def end_leftovers_in_a_process(out, process):
    """`end_leftovers` waits until a process is gone; ours is gone only when it is waited for."""
    import threading

    thread = threading.Thread(target=process.wait)
    thread.start()
    end_leftovers(out)
    thread.join()


# what is checked when planned


PLAIN = "trainer: {command: [PYTHON, train.py, '{lr}', '{seed}']}\nbaseline: {name: base, args: {lr: 0.1}}\n"


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (PLAIN.replace("'{lr}'", "'{lr'"), "has a single '{' in '{lr'."),
        (PLAIN.replace("'{seed}']", "'{seed}'], style: -k"), "trainer.style (=-k) must be"),
        (PLAIN.replace("'{seed}']", "'{seed}'], read: {}"), "must have one of jsonl, csv and regex."),
        (PLAIN.replace("'{seed}']", "'{seed}'], read: {csv: log.csv}"), "must have {out} in csv (=log.csv), because"),
        (
            PLAIN.replace("'{seed}']", "'{seed}'], read: {regex: {loss: '('}}"),
            "has an invalid regular expression for loss",
        ),
        (PLAIN.replace("'{seed}']", "'{seed}'], read: {regex: {loss: x}}"), "must have one group in the regular"),
        (
            PLAIN.replace("'{seed}']", "'{seed}'], resume_args: [x], read: {regex: {loss: '(x)'}}"),
            "must have a regular expression for 'epoch' in read.regex.",
        ),
        (PLAIN.replace("'{seed}']", "'{seed}'], shell: true"), "trainer.shell is not a setting of command."),
        (
            PLAIN.replace("name: base", "epochs: 3"),
            "epochs (=3) is not used by the command. Add {epochs} to it, or remove",
        ),
        (PLAIN.replace("name: base", "model: mlp"), "model cannot be used with trainer (=command)"),
    ],
)
def test_a_wrong_recipe_is_told_in_one_line_each(write, recipe, message):
    with pytest.raises(RecipeError) as found:
        Recipe.load(write("pass", recipe))
    assert message in str(found.value)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (
            PLAIN.replace("lr: 0.1", "lr: 0.1, width: 3"),
            "args.width is not used by the command. Add {width} or {args} to it",
        ),
        (PLAIN.replace("lr: 0.1", "rate: 0.1"), "trainer.command has the field '{lr}', but there is no args.lr"),
        (
            PLAIN.replace("lr: 0.1", "lr: 0.1, out: x"),
            "args.out has the name of a built-in field of commands. Rename it",
        ),
        (PLAIN.replace("lr: 0.1", "lr: {env: LR}"), "args.lr is secret, and command lines can be seen by others."),
        (PLAIN.replace("PYTHON", "no-such-program"), "trainer.command (=no-such-program) was not found."),
        (
            PLAIN.replace("PYTHON,", "PYTHON,").replace("'{seed}']", "'{seed}'], cwd: nowhere"),
            "trainer.cwd (=nowhere) must be a folder",
        ),
        (PLAIN.replace("'{seed}']", "'{seed}'], code: [src]"), "trainer.code (=src) does not exist"),
        (PLAIN, None),
    ],
)
def test_commands_are_checked_when_planned(write, recipe, message):
    recipe = Recipe.load(write("pass", recipe))
    [network] = ask(recipe, [recipe.variant("base").settings])
    assert message in network.error if message else network.error is None


@pytest.mark.parametrize(
    ("words", "code", "noted"),
    [
        ("'{lr}', '{seed}'", "pass", False),
        ("'{lr}'", "import os\nseed = os.environ['ABLATE_SEED']", False),
        ("'{lr}'", "seed = 0", True),
    ],
)
def test_a_seed_that_does_not_reach_the_code_is_noted(write, words, code, noted):
    path = write(code + "\nimport ablate\nablate.log(valid_loss=1)", PLAIN.replace("'{lr}', '{seed}'", words))
    notes = tuple(train(path).facts.notes)
    assert [note.kind for note in notes] == ["ignores_seed"] * noted
    record = RunRecord("name", 0, notes=notes)
    assert RunRecord.from_status("name", json.loads(json.dumps(record.to_status()))) == record


def test_a_plan_says_what_is_read_again_and_which_code_counts(write, ablate):
    path = write()
    assert ablate("run", path).code == 0
    planned = ablate("plan", path)
    assert f"Code in the fingerprint: extra.py, train.py, {sys.executable}." in planned.out.splitlines()
    assert ablate("plan", path, "--json").json()["code"] == ["extra.py", "train.py", sys.executable]
    read = "  read: {jsonl: '{out}/metrics.jsonl', names: {accuracy: train_loss}}\n"
    path.write_text(path.read_text().replace("seeds: 2", f"{read}seeds: 2"))
    planned = ablate("plan", path)
    assert "0 runs to train; 4 runs to read again." in planned.out
    assert "without training" in planned.err
    assert [row["runs"] for row in ablate("plan", path, "--json").json()["rows"]] == [{"read_again": 2}] * 2
    rows = ablate("run", path, "--format", "json").rows()
    assert rows["base"]["train_loss"] is None
    assert rows["base"]["accuracy"] == pytest.approx(rows["base"]["valid_loss"] / 2)
    assert ablate("table", path, "--format", "json").rows() == rows
    assert "0 runs to train.\n" in ablate("plan", path).out


def test_a_plan_says_that_no_code_counts(write, ablate):
    path = write("true", "trainer: {command: sh -c true}\nbaseline: {name: base}\n")
    assert "Code in the fingerprint: none." in ablate("plan", path, "--quick").out


# identity


def identity_of(path, variant="base"):
    return identity(Recipe.load(path).variant(variant).settings, folder=path.parent)


def test_the_identity_is_command_code_and_arguments(write, tmp_path):
    path = write()
    before = identity_of(path)
    assert identity_of(path, "fast") != before
    (tmp_path / "train.py").write_text(SCRIPT + "\n# a comment")
    assert identity_of(path) == before
    text = path.read_text()
    path.write_text(text.replace("seeds: 2", '  read: {csv: "{out}/x.csv"}\n  cwd: .\nseeds: 2'))
    assert identity_of(path) == before
    path.write_text(text.replace('"lr={lr}"', '"lr={lr}", "x=1"'))
    assert identity_of(path) != before
    path.write_text(text)
    (tmp_path / "extra.py").write_text("SCALE = 2.0\n")
    assert identity_of(path) != before


def test_the_code_can_be_named(write, tmp_path):
    path = write(recipe=RECIPE.replace("seeds: 2", "  code: [train.py, data]\nseeds: 2"))
    (tmp_path / "data" / "__pycache__").mkdir(parents=True)
    (tmp_path / "data" / "words.txt").write_text("a")
    before = identity_of(path)
    (tmp_path / "data" / "__pycache__" / "x.pyc").write_text("x")
    assert identity_of(path) == before
    (tmp_path / "data" / "words.txt").write_text("b")
    assert identity_of(path) != before

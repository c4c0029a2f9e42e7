"""torch's compiler takes as long to import as torch itself: only trainings that use it wait for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ablate.execution.executors.compiler import METHODS, uses_compiler
from ablate.recipe import Recipe

RECIPE = """
data: digits
seeds: 2
baseline:
  name: base
  model: {target: "a_module:Net"}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1, momentum: 0.9}
  batch_size: 128
  epochs: 1
"""

CODE = """
import sys
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10), torch.nn.BatchNorm1d(10))

    def forward(self, inputs):
        print("compiler there:", "torch._dynamo" in sys.modules)
        return self.layers(inputs)
"""

PUT_OFF = f"""
import sys, torch
from ablate.execution.executors.compiler import import_compiler, put_off
weight = torch.nn.Parameter(torch.zeros(1))
put_off()
optimizer = torch.optim.SGD([weight], lr=0.1)
optimizer.load_state_dict(optimizer.state_dict())
optimizer.zero_grad()
print("torch._dynamo" in sys.modules)
import_compiler()
print("torch._dynamo" in sys.modules)
methods = [getattr(torch.optim.Optimizer, name).__wrapped__ for name in {METHODS}]
print(any(hasattr(method, "__dynamo_disable") for method in methods))
torch.optim.SGD([weight], lr=0.1)
print(methods[-1].__dynamo_disable is methods[-1])
"""


def test_optimizers_are_made_without_it_until_it_is_imported():
    found = subprocess.run([sys.executable, "-c", PUT_OFF], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True", "False", "False"]


@pytest.mark.parametrize(
    ("setting", "used"),
    [
        ("batch_size=128", False),
        ("optimizer={name: adam, lr: 0.001}", False),
        ("optimizer={name: adadelta, lr: 0.1}", True),
        ("compile=true", True),
    ],
)
def test_settings_that_use_it(tmp_path, setting, used):
    (tmp_path / "a_module.py").write_text(CODE)
    path = tmp_path / "own.yaml"
    path.write_text(RECIPE)
    assert uses_compiler(Recipe.load(path, sets=[setting]).variants[0].settings) is used


# eight seeds are trained as stacks, if the compute cost of a network that nobody knows says so
@pytest.mark.parametrize(
    ("optimizer", "seeds"), [("sgd", 2), ("sgd", 8), pytest.param("adadelta", 2, marks=pytest.mark.slow)]
)
def test_only_trainings_that_use_it_have_it(tmp_path, optimizer, seeds):
    (tmp_path / "a_module.py").write_text(CODE)
    path = tmp_path / "own.yaml"
    path.write_text(RECIPE.replace("sgd, lr: 0.1, momentum: 0.9", f"{optimizer}, lr: 0.1"))
    # a server that has imported nothing before, unlike those of other tests
    command = [sys.executable, "-c", "import sys; from ablate.cli import main; sys.exit(main())"]
    words = ["run", str(path), "--runs", str(tmp_path / "runs"), "--no-mlflow", "--seeds", str(seeds)]
    subprocess.run([*command, *words], capture_output=True, check=True)
    logs = "".join(Path(log).read_text() for log in (tmp_path / "runs" / "store").glob("*/log.txt"))
    assert f"compiler there: {optimizer == 'adadelta'}" in logs
    assert f"compiler there: {optimizer != 'adadelta'}" not in logs

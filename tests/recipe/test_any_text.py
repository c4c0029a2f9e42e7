"""Whatever a file holds, reading it gives a recipe or lines that say what is wrong: never a traceback."""

from __future__ import annotations

import random

import pytest

from ablate.recipe import Recipe, RecipeError

SEED = """\
study: s
description: d
data: {name: digits, valid: 0.2}
metrics: [accuracy]
seeds: 3
compare: {metric: accuracy, better: higher, at: last}
baseline:
  name: net1
  model: {name: convnet, channels: [4, 8], kernels: 3, hidden: [10]}
  init: he_normal
  loss: cross_entropy
  optimizer: {name: sgd, lr: {warmup: 5%, then: {cosine: [0.1, 0]}}, groups: [{match: 1d, weight_decay: 0}]}
  monitor: {metric: accuracy, better: higher}
  epochs: 40
  published: {valid_loss: 0.1}
  add: [flip]
tricks:
  mine: {set: {optimizer.lr: {linear: [0.03, 1e-4], per: epoch}}, add: [{weight_decay: 0.1}], description: x}
variants:
  - {name: a, from: net1, description: words, add: [mine, {dropout: {conv: [0.1, 0.2], hidden: 0.5}}]}
  - {name: b, remove: [flip], set: {epochs: 9, model.hidden: [3], tricks.dropout.hidden: 0.1}}
  - {name: 'c-{p}', from: a, for: {p: [0.1, 0.2], q: [1, 2]}, zip: true, add: [{dropout: $p}], set: {batch_size: $q}}
  - {name: d, set: {loss: {target: 'mine:loss', x: [1, {y: ~}]}}}
"""
TOKENS = [
    *"{}[]:,-&*!|>'\"%@`#?\n\t \\$~<=.",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    ".nan",
    "-1",
    "0",
    "1e999",
    "true",
    "null",
    "[]",
    "{}",
]
TOKENS += [
    "name",
    "target",
    "from",
    "for",
    "zip",
    "$p",
    "{p}",
    "a",
    "net1",
    "flip",
    "mine",
    "set: ",
    "add: ",
    "'",
    "é",
    "\ud83d\ude00",
    "\x07",
    "\x85",
]
TOKENS += ["99999999999999999999", "design: {ladder: [flip]}\n", "tricks", "monitor", "epochs", "5%", "[[", "]]", "{{"]  # fmt: skip
TOKENS += ["}}", "- ", "\n  - ", "---\n", "...\n"]  # fmt: skip


def mutate(chance: random.Random) -> str:
    text = SEED
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        lines, at = text.split("\n"), chance.randrange(len(text) + 1)
        match chance.randrange(7):
            case 0:
                text = text[:at] + chance.choice(TOKENS) + text[at:]
            case 1:
                text = text[:at] + text[at + chance.randrange(1, 12) :]
            case 2:
                text = text[:at] + chance.choice(TOKENS) + text[at + chance.randrange(1, 8) :]
            case 3:
                i = chance.randrange(len(lines))
                text = "\n".join(lines[:i] + lines[i + 1 :])
            case 4:
                i, j = chance.randrange(len(lines)), chance.randrange(len(lines))
                text = "\n".join([*lines[:i], lines[j], *lines[i:]])
            case 5:
                words = text.split(" ")
                i, j = chance.randrange(len(words)), chance.randrange(len(words))
                words[i], words[j] = words[j], words[i]
                text = " ".join(words)
            case 6:
                text = text[:at]
    return text


def problems_of(path, **flags):
    """What is wrong with a recipe; anything but a RecipeError passes through and fails the test."""
    try:
        Recipe.load(path, **flags)
    except RecipeError as error:
        return error.problems
    return []


@pytest.mark.parametrize("part", range(3))
def test_mutations_of_a_good_recipe(tmp_path, monkeypatch, part):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def loss(p, t): ...\n")
    path = tmp_path / "r.yaml"
    path.write_text(SEED)
    assert len(Recipe.load(path).variants) == 6
    read = 0
    for number in range(200):
        text = mutate(random.Random(f"{part}/{number}"))
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        flags = {"sets": ["epochs=3"], "scale": 0.5} if number % 3 == 0 else {}
        found = problems_of(path, **flags)
        read += not found
        assert all("\n" not in str(problem) and problem.text for problem in found), text
    assert 0 < read < 200  # some mutations are harmless, most are not


def test_random_bytes(tmp_path):
    chance = random.Random(3)
    path = tmp_path / "r.yaml"
    for _ in range(150):
        path.write_bytes(chance.randbytes(chance.randrange(60)))
        with pytest.raises(RecipeError):
            Recipe.load(path)

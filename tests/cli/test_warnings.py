"""Schedules that are likely a slip are warned of in one line each, by ``plan`` and once by ``run``, and never on
stdout.
"""

from __future__ import annotations

import pytest

TEXT = """
study: slip
data: digits
baseline:
  name: plain
  model: {name: mlp, hidden: [4]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: {exponential: {start: 0.1, gamma: 0.01}}}
  epochs: 1
variants:
  - {name: drop, add: [{dropout: {hidden: {formula: "0.1 * 2"}}}]}
  - {name: sound, set: {optimizer.lr: 0.1}}
"""
EXPECTED = [
    "warning: plain, drop: optimizer.lr exponential: gamma (=0.01) reduces the value to a millionth or less after 3 epochs.",
    "warning: drop, sound: tricks.dropout.hidden formula (=0.1 * 2) is constant: it contains none of step, epoch, progress, epochs.",
]


@pytest.mark.parametrize("words", [("plan", "--quick", "--json"), ("run", "--format", "json")])
def test_a_slip_is_told_once_with_the_rows_that_have_it(words, tmp_path, ablate):
    (tmp_path / "slip.yaml").write_text(TEXT)
    done = ablate(words[0], "slip.yaml", *words[1:])
    assert done.code == 0, done.err
    assert [line for line in done.err.splitlines() if line.startswith("warning")] == EXPECTED
    assert list(done.rows()) == ["plain", "drop", "sound"]

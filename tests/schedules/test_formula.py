"""Formulas: what may be said in them, what may not, and that nothing else gets through."""

from __future__ import annotations

import math

import pytest

from ablate.registry import lookup
from ablate.schedules import parse_schedule
from ablate.schedules.schedule import Time


def formula(text, **more):
    return parse_schedule({"formula": text, **more})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1 * 0.95 ** epoch", 0.1 * 0.95**7),
        ("2 ** -epoch", 2.0**-7),
        ("-epoch ** 2", -49),
        ("step // 4 + step % 4", 73 // 4 + 73 % 4),
        ("(1 - progress) / epochs", (1 - 73 / 199) / 20),
        ("max(0, 1 - epoch / 5)", 0),
        ("min(3, epoch, 9)", 3),
        ("sqrt(4) + exp(0) + log(1) + cos(pi)", 2),
        ("1e-3 + 1_000", 1000.001),
        ("+epoch", 7),
    ],
)
def test_it_is_arithmetic(text, expected):
    # 20 epochs of 10 steps: step 73 is in epoch 7
    assert formula(text).at_step(73, 20, 10) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_over_epochs_it_holds_its_value():
    schedule = formula("0.1 * 0.5 ** epoch + progress", per="epoch")
    values = [schedule.at_step(i, 5, 4) for i in range(20)]
    assert values == [pytest.approx(0.1 * 0.5**epoch + epoch / 4) for epoch in range(5) for _ in range(4)]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "epoch.real",
        "epoch.__class__",
        "[1][0]",
        "'a' * 3",
        "lambda: 1",
        "1 if epoch else 2",
        "epoch < 3",
        "epoch and 1",
        "not epoch",
        "1 << 3",
        "1 | 2",
        "~1",
        "1j",
        "True",
        "None",
        "eval('1')",
        "open(epoch)",
        "max(*epoch)",
        "min(1, key=2)",
        "(lambda: 1)()",
        "f'{epoch}'",
        "{epoch}",
        "(step := 3)",
        "epoch[0]",
        "seed",
        "min",
    ],
)
def test_nothing_else_gets_through(text):
    with pytest.raises(ValueError, match=r"^formula \(=") as error:
        formula(text)
    assert "is not allowed. Use numbers" in str(error.value) or "it takes 2 or more." in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "0.1 *", "1; 2", "x = 1", "import os", "(", "(" * 250, "1 2", "\0", "@"])
def test_what_cannot_be_read_is_said_in_one_line(text):
    with pytest.raises(ValueError, match=r"is not a valid arithmetic expression: .*Write it as in 0\.1") as error:
        formula(text)
    assert "\n" not in str(error.value)


def test_a_formula_has_an_end():
    with pytest.raises(ValueError, match=r"has 601 characters\. A formula must have at most 300"):
        formula("1" + "+1" * 300)
    assert formula("-" * 298 + "1").at_step(0, 2, 1) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / epoch", r"cannot be computed at step 0 of epoch 0 \(division by zero\)"),
        ("1 / (epochs - 30)", r"cannot be computed at step 0 of epoch 0 in a training of 30 epochs \(division"),
        ("1 % epoch", "division by zero"),
        ("(epoch - 3) ** 0.5", "a root of a negative number"),
        ("sqrt(-1)", "a root or log of a negative number"),
        ("log(progress)", "a root or log of a negative number"),
        ("10.0 ** 400 - 10.0 ** 400", "infinity minus infinity"),
        ("9 ** 9 ** 9 ** 9", "is infinite at step 0 of epoch 0"),
        ("0 ** -1", "division by zero"),
    ],
)
def test_what_cannot_be_computed_is_refused_before_any_training(text, reason):
    with pytest.raises(ValueError, match=reason) as error:
        formula(text)
    assert "\n" not in str(error.value)


def test_what_overflows_late_is_found_when_it_does():
    schedule = formula("10 ** epoch")
    assert schedule.extremes() == (1.0, math.inf)
    assert schedule.at(Time(5, 10)) == 1e5
    with pytest.raises(ValueError, match=r"^formula \(=10 \*\* epoch\) is infinite at step 0 of epoch 400"):
        schedule.at(Time(400, 1000))


def test_its_range_is_checked_where_it_stands():
    sgd = lookup("optimizer", "sgd").settings
    assert sgd(lr={"formula": "0.1 * (1 - epoch / epochs)"})
    assert sgd(lr={"formula": "max(0, 0.1 - 0.001 * epoch)"})
    with pytest.raises(ValueError, match=r"at least 0 .*-9.899"):
        sgd(lr={"formula": "0.1 - 0.001 * epoch"})
    with pytest.raises(ValueError, match="less than 1"):
        sgd(momentum={"formula": "0.5 + 0.5 * progress"})


def test_over_epochs_it_knows_no_step():
    with pytest.raises(ValueError, match=r"^formula \(=0.1 \+ step\) contains step, .*'per: epoch'"):
        formula("0.1 + step", per="epoch")

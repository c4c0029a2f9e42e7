"""A custom schedule, written as a formula: numbers, + − * / // % **, some functions and named variables only."""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from pydantic import Field, ValidationInfo, field_validator

from ablate.registry import Card, register
from ablate.schedules.schedule import Per, Schedule, Time

Values = Mapping[str, float]
Term = Callable[[Values], float]

LONGEST = 300
"""Maximum length of a formula; it also limits the nesting depth."""

FUNCTIONS: dict[str, tuple[Callable[..., float], int]] = {
    "min": (min, 2),
    "max": (max, 2),
    "sqrt": (math.sqrt, 1),
    "exp": (lambda x: _or_infinity(math.exp, x), 1),
    "log": (math.log, 1),
    "cos": (math.cos, 1),
}
"""The number of arguments of each function; min and max accept more."""


def _power(base: float, exponent: float) -> float:
    if base < 0 and not exponent.is_integer():
        raise ArithmeticError("a root of a negative number")
    return _or_infinity(operator.pow, base, exponent)


def _or_infinity(function: Callable[..., float], *numbers: float) -> float:
    try:
        return function(*numbers)
    except OverflowError:
        odd = len(numbers) == 2 and numbers[0] < 0 and numbers[1] % 2 == 1
        return -math.inf if odd else math.inf


BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
UNARY: dict[type[ast.unaryop], Callable[[float], float]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


@dataclass(frozen=True)
class Arithmetic:
    """A parsed formula: the variables that it uses, and its value for given variables."""

    names: frozenset[str]
    term: Term

    def __call__(self, values: Values) -> float:
        """The value. Raises ValueError if it cannot be computed, such as ``division by zero``; overflow is infinite."""
        try:
            value = self.term(values)
        except ZeroDivisionError:
            raise ValueError("division by zero") from None
        except (ValueError, ArithmeticError) as error:
            raise ValueError(
                str(error) if isinstance(error, ArithmeticError) else "a root or log of a negative number"
            ) from None
        if math.isnan(value):
            raise ValueError("infinity minus infinity")
        return value


@lru_cache(maxsize=256)
def read(text: str, variables: tuple[str, ...]) -> Arithmetic:
    """Parse a formula over ``variables`` and ``pi``. Raises ValueError (one sentence) if it contains anything else."""
    if len(text) > LONGEST:
        raise ValueError(f"has {len(text)} characters. A formula must have at most {LONGEST}.")
    try:
        with warnings.catch_warnings(action="ignore"):  # hide Python's warnings about code that is rejected below
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ValueError(
            f"is not a valid arithmetic expression: {reason or 'it cannot be read'}. "
            "Write it as in 0.1 * 0.95 ** epoch."
        ) from None
    names: set[str] = set()
    term = _term(tree, variables, names)
    return Arithmetic(frozenset(names), term)


def _term(node: ast.expr, variables: tuple[str, ...], names: set[str]) -> Term:
    """Evaluates a node; adds its variables to ``names``."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            value = _or_infinity(float, number)
            return lambda values: value
        case ast.Name(id="pi"):
            return lambda values: math.pi
        case ast.Name(id=name) if name in variables:
            names.add(name)
            return lambda values: values[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in UNARY:
            unary, inner = UNARY[type(op)], _term(operand, variables, names)
            return lambda values: unary(inner(values))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            binary, a, b = BINARY[type(op)], _term(left, variables, names), _term(right, variables, names)
            return lambda values: binary(a(values), b(values))
        case ast.Call(func=ast.Name(id=called), args=args, keywords=[]) if called in FUNCTIONS:
            function, count = FUNCTIONS[called]
            if len(args) != count and (count == 1 or len(args) < count):
                raise ValueError(
                    f"calls {called} with {len(args)} numbers, but it takes {count}{' or more' if count > 1 else ''}."
                )
            terms = [_term(arg, variables, names) for arg in args]
            return lambda values: function(*(term(values) for term in terms))
    raise ValueError(
        f"contains '{ast.unparse(node)}', which is not allowed. Use numbers, + - * / // % **, "
        f"{', '.join(variables)}, pi, {', '.join(FUNCTIONS)}."
    )


VARIABLES = ("step", "epoch", "progress", "epochs")


@register(
    "schedule",
    "formula",
    card=Card(
        "Computes any arithmetic formula of step, epoch and progress.",
        source="torch.optim.lr_scheduler.LambdaLR",
        helps="For custom shapes, and different schedules per parameter group.",
        costs="The check only ensures that values can be computed and are in the setting's range.",
        interacts="Epochs in a formula do not scale with --scale; use progress or epochs instead.",
    ),
)
class Formula(Schedule):
    """``{formula: "0.1 * 0.95 ** epoch"}``: the value, from ``step`` and ``epoch`` (both from 0), ``progress`` (0 to 1)
    and ``epochs`` (the total number).

    Numbers, + − * / // % **, min, max, sqrt, exp, log, cos and pi are allowed. With ``per: epoch``, the value is
    constant within an epoch, and ``step`` is not available. For 2 to 10,000 epochs, the value must be defined and in
    the range of the setting: bound it with ``max(…, 0)`` if necessary.
    """

    shorthand = "formula"
    formula: str = Field(description="arithmetic formula, such as 0.1 * 0.95 ** epoch")

    def at(self, time: Time) -> float:
        """Raises ValueError (one line) if the formula has no finite value."""
        try:
            return _finite(self.formula, time)
        except ValueError as error:
            raise ValueError(f"formula (={self.formula}) {error}") from None

    def extremes(self) -> Iterable[float]:
        """The minimum and maximum value over trainings of 2 to 10,000 epochs with 1 or 100 steps each, at evenly spaced
        times.
        """
        return _extremes(self.formula, self.per)

    def times(self, factor: float) -> Self:
        return type(self)(formula=f"{factor!r} * ({self.formula})", per=self.per)

    def advice(self) -> str | None:
        if read(self.formula, VARIABLES).names:
            return None
        return f"formula (={self.formula}) is constant: it contains none of {', '.join(VARIABLES)}."

    @field_validator("formula")
    @classmethod
    def computable(cls, formula: str, info: ValidationInfo) -> str:
        names = read(formula, VARIABLES).names
        per = info.data.get("per", "step")
        if per == "epoch" and "step" in names:
            raise ValueError("contains step, which is not available with 'per: epoch'. Use epoch, or remove 'per'.")
        _extremes(formula, per)
        return formula


def _value(formula: str, time: Time) -> float:
    epoch = time.i // time.per_epoch
    values = {"step": time.i, "epoch": epoch, "progress": time.progress, "epochs": time.epochs}
    try:
        return read(formula, VARIABLES)({name: float(value) for name, value in values.items()})
    except ValueError as error:
        raise ValueError(f"cannot be computed {_moment(formula, time)} ({error}).") from None


def _finite(formula: str, time: Time) -> float:
    value = _value(formula, time)
    if math.isinf(value):
        raise ValueError(f"is infinite {_moment(formula, time)}.")
    return value


def _moment(formula: str, time: Time) -> str:
    length = (
        f" in a training of {time.epochs:g} epochs" if read(formula, VARIABLES).names & {"epochs", "progress"} else ""
    )
    return f"at step {time.i % time.per_epoch} of epoch {time.i // time.per_epoch}{length}"


@lru_cache(maxsize=256)
def _extremes(formula: str, per: Per) -> tuple[float, float]:
    # unbounded growth is allowed for long trainings, whose length is not known here
    values = [(_finite if time.epochs <= 10 else _value)(formula, time) for time in _moments(per)]
    return min(values), max(values)


def _moments(per: Per, most: int = 200) -> Iterator[Time]:
    for epochs in (2, 3, 10, 30, 100, 1000, 10_000):
        for per_epoch in (1, 100) if per == "step" else (1,):
            n = epochs * per_epoch
            for i in range(n) if n <= most else sorted({round(k * (n - 1) / most) for k in range(most + 1)}):
                yield Time(i, n, per_epoch)

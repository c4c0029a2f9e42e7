"""Checks what is read from the store against types: a file that is damaged or a stranger's can hold anything.

Keys of later versions are left out. Keys that earlier versions did not write are not required.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from functools import cache
from typing import Annotated, Any, NotRequired, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import from_json
from typing_extensions import TypedDict

Kind = TypeVar("Kind")

LARGEST = 2**64

MOST_EPOCHS = 10**8


Count = Annotated[int, Field(ge=0)]

Place = Annotated[float, Field(ge=-1e15, le=1e15)]
"""An epoch or step of the user's own training."""

Time = Annotated[float, Field(ge=0, le=1e11)]
"""Seconds since 1970, up to a year of four digits."""


def name_of_folder(name: str) -> str:
    """The name of a folder in the store. Raises ValueError for a path."""
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise ValueError("must be the name of a folder")
    return name


Fingerprint = Annotated[str, AfterValidator(name_of_folder)]

StudyRow = TypedDict(
    "StudyRow",
    {
        "variant": str,
        "from": NotRequired[str | None],
        "description": NotRequired[str],
        "changes": NotRequired[list[str]],
        "flags": NotRequired[list[str]],
        "identity": str | None,
        "runs": dict[str, Fingerprint],
        "before": NotRequired[dict[str, Fingerprint]],
    },
)
"""A variant in a ``study.json``. ``runs``, and ``before`` its settings changed, are fingerprints by seed (and fold)."""


class TrialRow(TypedDict):
    """A candidate of a variant that is tuned or selected, in a ``study.json``: its settings, its runs on the reserved
    seeds, and the sampler that took it, if one did.
    """

    variant: str
    flags: NotRequired[list[str]]
    identity: str
    values: dict[str, float]
    sampler: NotRequired[str]
    chosen: bool
    runs: dict[str, Fingerprint]


class StudyFile(TypedDict):
    """A ``study.json``."""

    study: NotRequired[str]
    recipe: NotRequired[str | None]
    selection: NotRequired[list[str]]
    rows: list[StudyRow]
    trials: NotRequired[list[TrialRow]]


class Look(TypedDict):
    """A line of ``looks.jsonl``: the variant, metric and epoch that were compared, and the fingerprints of its runs.

    ``family`` identifies the comparisons that p-values were corrected over. At a declared ``look`` (from 1), the ``p``
    of the comparison with its parent.
    """

    variant: str
    metric: str
    at: str
    runs: list[str]
    family: NotRequired[str]
    look: NotRequired[int]
    p: NotRequired[float]


EarlierScatter = TypedDict(
    "EarlierScatter",
    {
        "study": str,
        "variant": str,
        "from": str,
        "variance": Annotated[float, Field(ge=1e-200, le=1e200)],
        "degrees": Annotated[int, Field(ge=1, le=10**6)],
    },
)
"""A comparison of an earlier study: the variance of its differences, with its degrees of freedom."""


class Prior(TypedDict):
    """A line of ``prior.jsonl``: the comparisons of earlier studies that verdicts on this metric and epoch use.

    ``data`` identifies the data and what the metric measures.
    """

    metric: str
    at: str
    data: str
    comparisons: list[EarlierScatter]


@with_config(ConfigDict(extra="allow"))
class IdentitySettings(TypedDict):
    """The settings in an ``identity.json``."""

    tricks: NotRequired[list[dict[str, Any]]]


@with_config(ConfigDict(extra="allow"))
class Identity(TypedDict):
    """An ``identity.json``: everything that a fingerprint was computed from."""

    settings: NotRequired[IdentitySettings]


@with_config(ConfigDict(extra="allow"))
class MetricLine(TypedDict):
    """A line of ``metrics.jsonl``. Other keys are metrics."""

    epoch: int
    time: NotRequired[Time]
    seconds: NotRequired[float | None]
    train_loss: NotRequired[float | None]
    valid_loss: NotRequired[float | None]
    at: NotRequired[dict[str, Place]]


def checked(kind: type[Kind], value: object) -> Kind:
    """A decoded value as a type. Raises ValueError (one line) if it has another shape."""
    try:
        found: Kind = adapter(kind).validate_python(value)  # type: ignore[arg-type]  # mypy: no type is hashable
        return found
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        text = str(first["msg"]).replace("Input should be", "must be").removeprefix("Value error, ")
        text = re.sub("valid dictionary|dictionary or an instance of .*", "mapping", text)
        raise ValueError(f"{where} {text}" if where else text) from None


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def decoded(contents: bytes, decoder: json.JSONDecoder | None = None) -> Any:
    """JSON whose numbers are finite and fit into 64 bits. Raises ValueError (one line)."""
    if decoder is None and ordinary(contents):
        # several times as fast; what it refuses, the other decoder explains
        with suppress(ValueError):
            return from_json(contents, allow_inf_nan=False)
    try:
        return (decoder or STRICT).decode(contents.decode())
    except UnicodeDecodeError:
        raise ValueError("contains bytes that are not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON ({error})") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def metric_line(contents: bytes, after: int) -> dict[str, Any]:
    """A line of metrics, of an epoch ``after`` another one. Raises ValueError (one line)."""
    line: dict[str, Any] = dict(checked(MetricLine, decoded(contents, FAST)))
    if not after < line["epoch"] <= MOST_EPOCHS:
        raise ValueError(f"epoch (={line['epoch']}) must be greater than that of the line before ({after})")
    for value in line.values():
        if isinstance(value, int) and abs(value) >= LARGEST:
            raise ValueError("contains a number that is too large")
    return line


TWENTY = 20 * b"0"

ZEROS = bytes.maketrans(b"123456789E", b"000000000e")


def ordinary(contents: bytes) -> bool:
    """Whether no number in JSON can be infinite or over 64 bits: none has 20 digits, or an exponent of three."""
    shape = contents.translate(ZEROS)
    return not (TWENTY in shape or b"e000" in shape or b"e+000" in shape)


def finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def bounded(text: str) -> int:
    value = int(text) if len(text) <= 21 else LARGEST
    if abs(value) >= LARGEST:
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def refused(text: str) -> float:
    raise ValueError(f"contains {text}, which is not a finite number")


FAST = json.JSONDecoder()
"""For the lines of metrics, which others may have written: a metric that is not finite is left out where it is used."""

STRICT = json.JSONDecoder(parse_float=finite, parse_int=bounded, parse_constant=refused)

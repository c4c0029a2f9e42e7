"""Types of unquoted scalars by YAML 1.2's core schema."""

from __future__ import annotations

import math
import re

Scalar = str | int | float | bool | None

INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
CONSTANTS: dict[str, Scalar] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
CONSTANTS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def plain_scalar(text: str) -> Scalar:
    """The value of an unquoted scalar by YAML 1.2's core schema: ``1e-3`` is a number, ``yes`` is a string.

    Raises ValueError with the broken rule for NaN, infinity, and integers that do not fit into 64 bits.
    """
    if text in CONSTANTS:
        return CONSTANTS[text]
    if INTEGER.fullmatch(text):
        bases = {"0o": 8, "0x": 16}
        if len(text) > 30 or not -(2**63) <= (number := int(text, bases.get(text[:2], 10))) < 2**63:
            raise ValueError("must fit into 64 bits.")
        return number
    if NOT_FINITE.fullmatch(text):
        raise ValueError("must be a finite number.")
    if FLOAT.fullmatch(text):
        if not math.isfinite(real := float(text)):
            raise ValueError("must be a finite number.")
        return real
    return text

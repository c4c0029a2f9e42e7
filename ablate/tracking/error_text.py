"""One-line messages for errors of MLflow, the network and the disk."""

from __future__ import annotations

import re
from textwrap import shorten

from ablate.tracking.address import Address

SILENCE = {"ConnectionError", "NewConnectionError", "MaxRetryError", "ConnectTimeout", "ReadTimeout"}


def trouble(error: Exception, address: Address) -> str:
    """A one-line message for an error of the tracker, without passwords."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    codes = [found[1] for each in chain if (found := re.search(r"too many (\d{3}) error responses", str(each)))]
    if codes:
        what = f"responds with error {codes[0]}"
    elif {type(each).__name__ for each in chain} & SILENCE:
        what = "does not respond"
    elif isinstance(error, TimeoutError) and type(error).__module__.startswith("filelock"):
        what = "is locked by another process"
    else:
        lines = str(error).replace(address.uri, address.shown).strip().splitlines()
        text = shorten(lines[0], 200, placeholder=" …") if lines else type(error).__name__
        what = f"could not be written: {text.rstrip('.')}"
    return f"MLflow (={address.shown}) {what}."


def out_of_time(address: Address, seconds: float) -> str:
    """A one-line message for a publication that was stopped after ``seconds``."""
    return f"MLflow (={address.shown}) timed out after {seconds:g} s."

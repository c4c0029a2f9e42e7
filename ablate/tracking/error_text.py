"""Errors of MLflow, of the network and of the disk in one line."""

from __future__ import annotations

import re

from ablate.tracking.address import Address

SILENCE = {"ConnectionError", "NewConnectionError", "MaxRetryError", "ConnectTimeout", "ReadTimeout"}


def trouble(error: Exception, address: Address) -> str:
    """One line on what went wrong with the tracker, without passwords."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    codes = [found[1] for each in chain if (found := re.search(r"too many (\d{3}) error responses", str(each)))]
    if codes:
        what = f"answers with error {codes[0]}"
    elif {type(each).__name__ for each in chain} & SILENCE:
        what = "does not answer"
    elif isinstance(error, TimeoutError) and type(error).__module__.startswith("filelock"):
        what = "is being written by another process, which does not end"
    else:
        lines = str(error).replace(address.uri, address.shown).strip().splitlines()
        what = f"could not be written: {lines[0][:200].rstrip('.') if lines else type(error).__name__}"
    return f"MLflow (={address.shown}) {what}."


def out_of_time(address: Address, seconds: float) -> str:
    """One line on a publication that was left before its end."""
    return f"MLflow (={address.shown}) took longer than {seconds:g} s."

"""The module path that this command started with."""

from __future__ import annotations

STARTED_WITH: tuple[str, ...] | None = None
"""The module path of a process that is nothing but this command, without its script's folder: what any other process
starts with.
"""

"""The version of `ablate`: on the lowest floor, so that every room can read it."""

__version__ = "0.2.0"

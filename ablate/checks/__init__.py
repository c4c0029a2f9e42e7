"""Checks of a training before it is started (kind ``check``)."""

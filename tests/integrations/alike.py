"""What all integrations have in common: how they resume, end and diverge."""

from __future__ import annotations

import pytest

from ablate.execution.shutdown import EndAsked


def resumes_alike(train, recipe, sets=()):
    """A run that resumes after its first or third epoch equals an uninterrupted one."""
    whole = train(recipe, sets=sets, due_at=(1, 3))
    assert [state["epoch"] for state in whole.saved] == [1, 3]
    for state in whole.saved:
        again = train(recipe, sets=sets, state=state)
        assert again.lines == whole.lines[state["epoch"] :]
        assert again.outcomes == whole.outcomes


def ends_when_asked(train, report, recipe, sets=(), *, saved):
    """It ends at the latest after the next epoch, with a checkpoint of these epochs."""
    heard = report(end_at=2)
    with pytest.raises(EndAsked):
        train(recipe, sets=sets, into=heard)
    assert heard.outcomes == []
    assert [state["epoch"] for state in heard.saved] == saved
    assert len(heard.lines) <= 3


def diverges(train, recipe, sets):
    """A loss that is not finite ends the run as diverged."""
    [ended] = train(recipe, sets=sets).outcomes
    assert ended.status == "diverged"
    assert "loss (=" in ended.reason

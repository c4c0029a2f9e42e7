"""A measurement that is written takes the place of the earlier one, and leaves all others."""

from __future__ import annotations

import pytest

from bench.__main__ import PATH, SECTIONS, placed

PAGE = "# Measurements\n\nThese machines are shared.\n\n## One\n\nold\n\n## Two\n\nkept\n\n## Three\n\nlast\n"


@pytest.mark.parametrize(("heading", "old"), [("One", "old"), ("Two", "kept"), ("Three", "last")])
def test_a_section_is_replaced_where_it_was(heading, old):
    assert placed(PAGE, f"## {heading}\n\nnew\n") == PAGE.replace(old, "new")


def test_one_measurement_may_give_several_sections():
    measured = "## Three\n\nnew\n\n## Two\n\nalso new\n"
    assert placed(PAGE, measured) == PAGE.replace("last", "new").replace("kept", "also new")


def test_a_new_section_comes_last():
    assert placed(PAGE, "## Four\n\nnew\n\n") == PAGE + "\n## Four\n\nnew\n"


def test_the_page_stays_as_it_is_if_nothing_changes():
    page = PATH.read_text(encoding="utf-8")
    for part in page.split("\n## ")[1:]:
        assert placed(page, f"## {part}") == page
    assert SECTIONS.keys() >= {"start", "own", "store"}

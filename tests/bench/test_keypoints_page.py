"""The page on real faces: tables between its marks, nothing else touched."""

from __future__ import annotations

import re

import pytest

from bench import keypoints

PAGE = """# Faces

Said before.

<!-- table: leak -->

| old |

<!-- end -->

<!-- table: ladder -->
<!-- end -->

Said after.
"""


def test_only_the_named_table_is_replaced():
    found = keypoints.with_table(PAGE, "leak", "| new \\1 |\n\n- a note\n")
    assert found == PAGE.replace("| old |", "| new \\1 |\n\n- a note")
    assert keypoints.with_table(found, "leak", "| old |") == PAGE
    assert "| first |" in keypoints.with_table(PAGE, "ladder", "| first |")


@pytest.mark.parametrize("page", [PAGE.replace("table: leak", "table: other"), PAGE + PAGE])
def test_a_page_without_one_place_for_it_is_left_alone(page):
    with pytest.raises(ValueError, match=r"has (0|2) places for the table leak"):
        keypoints.with_table(page, "leak", "| new |")


def test_a_study_that_is_not_there_is_named(capsys, tmp_path):
    assert keypoints.main([str(tmp_path / "faces.npz"), "leaks", "--runs", str(tmp_path)]) == 2
    assert capsys.readouterr().out == "study (=leaks) must be one of ladder, specialists, leak.\n"


def test_the_page_has_a_place_for_every_study_and_shows_its_picture():
    page = keypoints.PAGE.read_text(encoding="utf-8")
    assert sorted(re.findall(r"<!-- table: (\w+) -->\n\n\| Name", page)) == sorted(keypoints.STUDIES)
    for name in keypoints.STUDIES:
        assert f"(keypoints-{name}.svg)" in page
        assert keypoints.PAGE.with_name(f"keypoints-{name}.svg").exists()

"""MLflow's page on a published study, in a real browser. ABLATE_SCREENSHOTS names a folder to look at it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ablate.tracking.ui import page

pytestmark = pytest.mark.slow

PATIENCE = 60_000  # milliseconds until a missing element fails the test; nothing waits so long otherwise
POINTS = """() => Object.fromEntries([...document.querySelectorAll(".js-plotly-plot")].map(
    plot => [plot.data[0].metricKey ?? plot.data[0].name, [...plot.data[0].x]]))"""

MEANS = """() => { const found = {}; for (const plot of document.querySelectorAll(".js-plotly-plot"))
    for (const curve of plot.data) if (curve.metricKey) (found[curve.metricKey] ??= []).push([...curve.x]);
    return found; }"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, trained: Path, prepared: Path, give: Any) -> Iterator[str]:
    """The address of the page on the tiny study."""
    folder = tmp_path_factory.mktemp("page") / "desk"
    shutil.copytree(trained, folder)
    shutil.copy(prepared, folder / "mlflow.db")
    assert give(folder, "run", "recipe.yaml").returncode == 0
    with page(f"sqlite:///{folder}/mlflow.db", 0, "tiny") as shown:
        yield shown.url


@pytest.fixture(scope="module")
def window(browser: Any) -> Iterator[Any]:
    """Loads MLflow's scripts once for all tests."""
    window = browser.new_context(viewport={"width": 1700, "height": 1000})
    window.set_default_timeout(PATIENCE)
    yield window
    window.close()


@pytest.fixture
def tab(window: Any, study: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The browser on the study's page, with nothing remembered. What the page did not find on its server fails the test."""
    tab = window.new_page()
    tab.goto(study)
    yield tab
    if "ABLATE_SCREENSHOTS" in os.environ:
        tab.screenshot(path=str(Path(os.environ["ABLATE_SCREENSHOTS"], f"{request.node.name}.png")))
    tab.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
    tab.close()


def row(tab: Any, name: str) -> Any:
    """The row of the table of runs that a run has."""
    return tab.get_by_role("row").filter(has=tab.get_by_role("link", name=name, exact=True))


def unfold(tab: Any, name: str) -> None:
    row(tab, name).get_by_role("gridcell").get_by_role("button").click()


def test_row_of_the_study_unfolds_to_variants_and_these_to_seeds(tab):
    row(tab, "tiny").wait_for()
    assert row(tab, "net1").count() == 0
    unfold(tab, "tiny")
    for name in ("net1", "net2"):
        row(tab, name).wait_for()
    assert row(tab, "net1 · seed 0").count() == 0
    for name in ("net1", "net2"):
        unfold(tab, name)
        for seed in (0, 1):
            row(tab, f"{name} · seed {seed}").wait_for()


def test_chart_of_a_seed_has_its_epochs(tab):
    unfold(tab, "tiny")
    unfold(tab, "net2")
    tab.get_by_role("link", name="net2 · seed 1", exact=True).click()
    tab.get_by_role("tab", name="Model metrics").click()
    for name in ("train_loss", "valid_loss"):
        tab.get_by_text(name, exact=True).first.wait_for()
    tab.wait_for_function("() => document.querySelectorAll('.js-plotly-plot .scatterlayer .js-line').length >= 2")
    curves = tab.evaluate(POINTS)
    assert len(curves) >= 2
    for name, epochs in curves.items():
        assert epochs == [1, 2, 3, 4, 5], name


def test_note_of_the_study_shows_the_table(tab):
    row(tab, "tiny").get_by_role("link").click()
    table = tab.get_by_role("table").filter(has=tab.get_by_role("columnheader", name="Validation loss"))
    table.wait_for()
    assert [cell.strip() for cell in table.get_by_role("columnheader").all_inner_texts()][:3] == [
        "Name",
        "Description",
        "Epochs",
    ]
    cells = table.get_by_role("cell").all_inner_texts()
    assert {"net1", "one hidden layer", "net2", "wider", "5"} <= {cell.strip() for cell in cells}
    assert sum(bool(re.fullmatch(r"\d\.\d+", cell.strip())) for cell in cells) >= 4


def test_view_of_the_table_has_a_line_for_each_variant(tab):
    row(tab, "tiny").wait_for()
    tab.get_by_role("button", name="Views").click()
    tab.get_by_text("Table", exact=True).last.click()
    row(tab, "net1").wait_for()
    row(tab, "net2").wait_for()
    assert row(tab, "tiny").count() == 0
    tab.get_by_role("columnheader").filter(has_text="valid_loss").first.wait_for()


def test_view_of_the_curves_draws_the_mean_of_each_variant(tab):
    row(tab, "tiny").wait_for()
    tab.get_by_role("button", name="Views").click()
    tab.get_by_text("Curves, mean over seeds", exact=True).click()
    tab.get_by_text("ablate.variant").first.wait_for()
    tab.locator("label").filter(has=tab.locator("input[name=runs-view-mode][value=CHART]")).click()
    for name in ("net1", "net2"):
        tab.get_by_text(f"{name} (train_loss)").first.wait_for()
    tab.wait_for_function(f"() => 'valid_loss' in ({MEANS})()")
    drawn = tab.evaluate(MEANS)
    assert drawn["valid_loss"] == drawn["train_loss"] == [[1, 2, 3, 4, 5]] * len(drawn["valid_loss"])

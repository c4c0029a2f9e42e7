"""The report in a real browser without a network. ABLATE_SCREENSHOTS names a folder to look at it."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import pytest

from ablate.evidence.gather import table_of
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.report.columns import select_columns
from ablate.report.document import Document
from ablate.report.page import Page, contents
from ablate.store.store import Store
from bench.store import fill

pytestmark = pytest.mark.slow

WIDE, PHONE = {"width": 1200, "height": 900}, {"width": 390, "height": 800}
A4 = (595.92, 842.88)
"""Points, as Chromium rounds them."""

DIAGNOSIS = {"baseline": ["overfits: <b>validation</b> loss rises after epoch 40."]}


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """The page of a study of twenty variants, ten seeds and a thousand epochs, one seed of which has not finished."""
    folder = tmp_path_factory.mktemp("page")
    path = fill(folder, (1000,), 20, 10)
    recipe = Recipe.load(path)
    store = Store(next(folder.glob("large*x1000")))
    last = make_plan(recipe, store).runs[-1].fingerprint
    status = store.run_folder(last) / "status.json"
    store.write_text(status, re.sub('"status": "finished"', '"status": "interrupted"', status.read_text()))
    study = make_plan(recipe, store).record()
    table, columns = select_columns(table_of(study, store))
    document = Document(table=table, columns=columns, notes=True)
    page = Page(study=study, store=store, table=table, document=document, diagnosis=DIAGNOSIS)
    output = folder / "report.html"
    output.write_bytes(contents(page, "html", output.name)[output.name])
    return output


@pytest.fixture
def opened(browser: Any, file: Path, request: pytest.FixtureRequest) -> Any:
    """Opens the page with the network cut. A request for anything else, and a message on the console, fails the test."""
    problems: list[str] = []
    contexts = []

    def tab(**options: Any) -> Any:
        context = browser.new_context(offline=True, **{"viewport": WIDE, **options})
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("request", lambda asked: problems.append(asked.url) if asked.url != file.as_uri() else None)
        tab.goto(file.as_uri())
        return tab

    yield tab
    if "ABLATE_SCREENSHOTS" in os.environ:
        for i, context in enumerate(contexts):
            path = Path(os.environ["ABLATE_SCREENSHOTS"], f"{request.node.name}-{i}.png")
            context.pages[0].screenshot(path=str(path), full_page=True)
    for context in contexts:
        context.close()
    assert problems == []


def names(tab: Any) -> list[str]:
    return tab.locator("table.sortable tbody tr > th").all_inner_texts()


def test_the_file_is_small(file):
    """With curves of two losses; a metric would add half of that."""
    assert file.stat().st_size < 3_400_000


def test_columns_sort_by_click_and_by_keyboard(opened):
    tab = opened()
    before = names(tab)
    head = tab.get_by_role("columnheader", name="Validation loss")
    place = tab.get_by_role("columnheader").all_inner_texts().index(head.inner_text())
    assert head.get_attribute("aria-sort") is None

    def values() -> list[float]:
        cells = tab.locator(f"table.sortable tbody tr > :nth-child({place + 1})").all()
        return [float(found) for cell in cells if (found := cell.get_attribute("data-value"))]

    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert values() == sorted(values())
    assert names(tab) != before
    tab.keyboard.press("Enter")  # the button has the focus
    assert head.get_attribute("aria-sort") == "descending"
    assert values() == sorted(values(), reverse=True)
    tab.get_by_role("columnheader", name="Name").get_by_role("button").press("Space")
    assert head.get_attribute("aria-sort") is None
    assert sorted(names(tab)) == sorted(before)
    ordered = names(tab)
    assert ordered == ["baseline", *sorted(ordered[1:], key=lambda name: float(name[3:]))]
    tab.keyboard.press("Enter")
    assert names(tab) == ordered[::-1]


def test_unknown_values_come_last_in_both_directions(opened):
    tab = opened()
    head = tab.get_by_role("columnheader", name="Δ parent")
    for _ in range(2):
        head.get_by_role("button").click()
        assert names(tab)[-1] == "baseline"


def test_sections_fold(opened):
    tab = opened()
    heading = tab.get_by_role("heading", name="Cost")
    text = tab.get_by_text("device seconds.", exact=False)
    assert text.is_visible()
    heading.click()
    assert not text.is_visible()
    tab.get_by_role("button", name="Fold all").click()
    assert not tab.locator("table.sortable").is_visible()
    tab.get_by_role("link", name="Table").click()  # a link unfolds its section
    assert tab.locator("table.sortable").is_visible()


def test_a_row_lights_its_variant_in_the_pictures(opened):
    tab = opened()
    tab.locator("table.sortable tbody tr").nth(3).hover()
    lit = tab.evaluate(
        "[...document.querySelectorAll('svg .lit > title')].map(title => title.textContent.split(' ')[0])"
    )
    assert set(lit) == {"lr-0.06"}
    assert tab.locator(".verdicts .lit").inner_text().startswith("lr-0.06 ")


def test_downloads_work_without_a_network(opened, tmp_path):
    tab = opened()
    with tab.expect_download() as waiting:
        tab.get_by_role("link", name="large.csv").click()
    waiting.value.save_as(tmp_path / "large.csv")
    assert (tmp_path / "large.csv").read_text().startswith("variant,from,description,")


def test_the_study_is_not_complete(opened):
    tab = opened()
    assert (
        tab.locator(".state")
        .inner_text()
        .startswith("This study is not complete: 199 of 200 runs have finished. Missing: lr-0.38")
    )


def test_it_prints_on_a4(opened):
    tab = opened()
    tab.get_by_role("button", name="Fold all").click()
    data = tab.pdf(prefer_css_page_size=True)
    boxes = {tuple(map(float, box)) for box in re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", data)}
    assert list(boxes) == [pytest.approx(A4, abs=1)]
    assert len(re.findall(rb"/Type /Page\b", data)) >= 5  # folded sections are printed, too
    tab.emulate_media(media="print")
    tab.set_viewport_size({"width": 688, "height": 1000})  # A4 without margins
    assert tab.evaluate("document.documentElement.scrollWidth") <= 688
    widths = tab.evaluate("[...document.querySelectorAll('table, svg')].map(one => one.getBoundingClientRect().right)")
    assert max(widths) <= 688


def test_tables_and_pictures_are_there_without_javascript(opened):
    tab = opened(java_script_enabled=False)
    assert tab.locator("table").count() >= 3
    assert len(names(tab)) == 20
    assert tab.locator("svg").count() == 3
    assert all(svg.is_visible() for svg in tab.locator("svg").all())
    assert tab.get_by_role("columnheader").get_by_role("button").count() == 0


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}], ids=["light", "dark", "phone"])
def test_axe_finds_no_violation(opened, options, required):
    if importlib.util.find_spec("axe_core_python") is None:
        required("axe-core (the package's extra 'dev')")
    from axe_core_python.sync_playwright import Axe

    tab = opened(**options)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(tab)
    assert len(found["passes"]) > 20
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]] == []


def test_dark_mode_changes_page_and_pictures(opened):
    def colours(scheme: str) -> list[str]:
        tab = opened(color_scheme=scheme)
        return tab.evaluate(
            "[document.body, document.querySelector('svg path')].map(one => getComputedStyle(one)).map((s, i) => i ? s.fill : s.backgroundColor)"
        )

    light, dark = colours("light"), colours("dark")
    assert light == ["rgb(255, 255, 255)"] * 2
    assert dark[0] == dark[1] != light[0]

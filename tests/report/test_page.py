"""The report: its sentences and sections, that nothing of a study is markup, and that equal studies give equal bytes."""

from __future__ import annotations

import base64
import re
from dataclasses import replace

import html5lib
import pytest
from markdown_it import MarkdownIt

from ablate.evidence.gather import table_of
from ablate.evidence.seeds import Tally
from ablate.evidence.table import Row, Table
from ablate.notes.note import Note
from ablate.recipe.settings import differences
from ablate.recipe.variant import Compare
from ablate.report.columns import ArgumentError, select_columns
from ablate.report.document import Document
from ablate.report.formats import contents as table_contents
from ablate.report.page import Page, contents, page_format
from ablate.report.page.html import asset
from ablate.report.page.provenance import provenance
from ablate.report.page.sentences import sentences
from ablate.report.wording import plain
from ablate.store.records import VariantRecord

HOSTILE = [
    "<script>alert(1)</script>",
    "]]> --> <!-- x",
    "\"quotes\" 'and' `ticks`",
    "</title></svg><img src=x onerror=alert(1)>",
    "a&amp;b &lt; c",
    "größe Δλ 漢字",
    "**bold** [link](http://x) | cell",
]


def page_of(lab, text="study: faces\nseeds: 3\n", diagnosis=None) -> Page:
    study = replace(lab.study, recipe=replace(lab.study.recipe, text=text))
    table = table_of(study, lab.store)
    table, columns = select_columns(table)
    document = Document(table=table, columns=columns, notes=True)
    return Page(study=study, store=lab.store, table=table, document=document, diagnosis=diagnosis or {})


def html_of(page: Page) -> str:
    return contents(page, "html", "r.html")["r.html"].decode()


def parsed(text):
    page = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)
    for one in page.iter():
        if isinstance(one.tag, str):
            one.tag = one.tag.rpartition("}")[2]
    return page


def text_of(element):
    return " ".join("".join(element.itertext()).split())


def said(table: Table) -> list[str]:
    return [str(one) for one in sentences(table)]


# sentences


def test_a_verdict_is_a_sentence(keypoints):
    assert said(keypoints()) == [
        "net1 (single hidden) is the baseline: validation loss 0.003255 ± 0.000031, 5 seeds.",
        "net2 (convolutions) helps: it lowers validation loss by 0.001732 (95% CI 0.001650 to 0.001810) compared with "
        "net1, p < 0.001.",
        "net3 (augmentation) is unclear: it changes validation loss by +0.000077 (95% CI −0.000100 to +0.000300) "
        "compared with net2, p = 0.400.",
    ]


def test_a_metric_that_rises_is_raised(keypoints):
    row = Row("net4", "net3", "", (), "finished", 5, valid_loss=0.0046, valid_loss_sd=0.00003, delta_parent=0.003, ci_low=0.002,
              ci_high=0.004, p_adjusted=0.01, verdict="hurts", tally=Tally(5, 5))  # fmt: skip
    assert said(keypoints(row))[3] == (
        "net4 hurts: it raises validation loss by 0.003000 (95% CI 0.002000 to 0.004000) compared with net3, p = 0.010."
    )


def test_other_states_are_sentences_too(keypoints):
    running = Row("a", "net1", "", (), "running", 2, tally=Tally(5, 2, epoch=3, epochs=9))
    failed = Row("b", "net1", "", (), "failed", 0, tally=Tally(5, 0, 2, "CUDA error"))
    unstable = Row("c", "net1", "", (), "diverged", 3, verdict="unstable", tally=Tally(5, 3, 2))
    same = Row("d", "net1", "", (), "finished", 5, valid_loss=0.003255, valid_loss_sd=0.00003, delta_parent=0.0, ci_low=0.0, ci_high=0.0,
               p_adjusted=1.0, verdict="no difference", tally=Tally(5, 5))  # fmt: skip
    single = Row("e", "net1", "", (), "finished", 1, valid_loss=0.002, delta_parent=-0.001255, tally=Tally(1, 1))
    rows = said(keypoints(running, failed, unstable, same, single))[3:]
    assert rows[0] == "a has no verdict yet: 2/5 seeds finished, others running 3/9."
    assert rows[1] == "b did not finish: 2/5 failed: CUDA error."
    assert rows[2] == "c is unstable: 2/5 diverged."
    assert rows[3].startswith("d makes no difference: it changes validation loss by 0.000000 (95% CI ")
    assert rows[3].endswith("compared with net1, p = 1.000; all seeds give the same results.")
    assert re.match(
        r"e has no verdict: it changes validation loss by −0\.00125\d compared with net1; verdicts require", rows[4]
    )


def test_ratios_multiply(keypoints):
    table = keypoints(compare=Compare(scale="log"))
    rows = list(table.rows)
    rows[1] = replace(rows[1], delta_parent=-0.105361, ci_low=-0.2231436, ci_high=0.0, verdict="unclear")
    assert (
        "it multiplies validation loss by 0.90 (95% CI 0.80 to 1.00) compared with net1"
        in said(replace(table, rows=tuple(rows)))[1]
    )


def test_what_else_differs_from_the_parent_is_said(keypoints):
    table = keypoints()
    rows = list(table.rows)
    rows[2] = replace(rows[2], unlike=(Note("text", values={"text": "epochs differ"}),))
    assert said(replace(table, rows=tuple(rows)))[2].endswith("p = 0.400. Other differences: epochs differ.")


# the page


def test_sections_follow_each_other_and_fold(lab):
    lab.row("a")
    lab.row("b", epochs=9, parent="a")
    page = parsed(html_of(page_of(lab)))
    assert page.get("lang") == "en"
    assert [text_of(head) for head in page.iter("h1")] == ["faces"]
    titles = [text_of(head) for head in page.iter("h2")]
    assert titles == [
        "Verdicts",
        "Table",
        "Ladder",
        "Effects",
        "Learning curves",
        "Settings that differ",
        "Cost",
        "Provenance",
        "Recipe",
    ]
    sections = page.findall(".//main/details")
    assert len(sections) == len(titles)
    assert all("open" in one.attrib for one in sections)
    links = [link.get("href") for link in page.findall(".//nav//a")]
    assert links == [f"#{head.get('id')}" for head in page.iter("h2")]


def test_the_table_has_captions_headers_and_values(lab):
    page = page_of(lab.ladder(3, 3))
    first = parsed(html_of(page)).find(".//table")
    assert text_of(first.find("caption")) == "Results of faces"
    assert {head.get("scope") for head in first.findall("thead/tr/th")} == {"col"}
    rows = first.findall("tbody/tr")
    assert [(row[0].tag, row[0].get("scope"), text_of(row[0])) for row in rows] == [
        ("th", "row", f"net{i}") for i in (1, 2, 3)
    ]
    place = [column.key for column in page.document.columns].index("valid_loss")
    assert [float(row[place].get("data-value")) for row in rows] == [row.valid_loss for row in page.table.rows]


def test_pictures_are_described_and_have_tooltips(lab):
    page = parsed(html_of(page_of(lab.ladder(3, 3))))
    drawn = page.findall(".//svg")
    assert len(drawn) == 3
    for svg in drawn:
        assert svg.get("role") == "img"
        assert svg.get("aria-label").endswith("The table has the values.")
    tips = {text_of(title) for svg in drawn for title in svg.iter("title")}
    assert {tip.split(" ")[0] for tip in tips} == {"net1", "net2", "net3"}
    of_rows = {text_of(row[0]): row.get("data-variant") for row in page.find(".//table").findall("tbody/tr")}
    of_pictures = {
        text_of(g.find("title")).split(" ")[0]: g.get("data-variant") for g in page.iter("g") if g.get("data-variant")
    }
    assert of_pictures == of_rows
    ids = [one.get("id") for one in page.iter() if isinstance(one.tag, str) and one.get("id")]
    assert len(ids) == len(set(ids))


def test_nothing_of_a_study_is_markup(lab):
    for i, name in enumerate(HOSTILE):
        lab.row(name, 3, description=name, parent=HOSTILE[i - 1] if i else None)
    lab.name = HOSTILE[0]
    text = "\n".join(f"# {name}" for name in [*HOSTILE, "</code></pre><script>alert(1)</script>"])
    page = page_of(lab, text, {HOSTILE[0]: [f"{HOSTILE[3]} overfits"], HOSTILE[1]: []})
    found = parsed(html_of(page))
    assert [one.text for one in found.iter("script")] == [asset("page.js")]
    assert not list(found.iter("img"))
    assert not any(name.lower().startswith("on") for one in found.iter() for name in one.attrib)
    assert [text_of(row[0]) for row in found.find(".//table").findall("tbody/tr")] == [plain(name) for name in HOSTILE]
    assert found.find(".//pre/code").text == text
    assert text_of(found.find(".//h1")) == HOSTILE[0]
    tips = {text_of(title) for title in found.findall(".//svg//title")}
    assert {name for name in HOSTILE if any(tip.startswith(plain(name)) for tip in tips)} == set(HOSTILE)
    diagnosed = found.findall(".//main/details")[[text_of(head) for head in found.iter("h2")].index("Diagnosis")]
    assert [text_of(one) for one in diagnosed.iter("dt")] == [HOSTILE[0]]
    assert [text_of(one) for one in diagnosed.iter("dd")] == [f"{HOSTILE[3]} overfits"]


def test_the_page_asks_for_nothing(lab):
    text = html_of(page_of(lab.ladder(2, 3)))
    links = set(re.findall(r"""(?:src|href)=["']([^"']*)""", text))
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "default-src &#x27;none&#x27;" in text
    assert not re.search(
        r"https?:|//[a-z]|@import|@font-face|url\((?!#)",
        re.sub(r'href="data:[^"]*"', "", text.replace(asset("page.js"), "")),
    )
    assert len(asset("page.js").encode()) < 10_000


def test_downloads_are_the_files(lab):
    page = page_of(lab.ladder(2, 3))
    links = {link.get("download"): link.get("href") for link in parsed(html_of(page)).findall(".//a[@download]")}
    files = {name: base64.b64decode(link.partition("base64,")[2]) for name, link in links.items()}
    assert set(files) == {"faces.csv", "faces.tex", "faces.json", "faces.yaml"}
    assert files["faces.csv"] == table_contents(page.table, "csv")
    assert files["faces.json"] == table_contents(page.table, "json")
    assert rb"\begin{table" in files["faces.tex"]
    assert files["faces.yaml"] == page.study.recipe.text.encode()


def test_settings_that_differ_are_those_of_diff(lab):
    lab.row("a", 3, epochs=6)
    lab.row("b", 3, epochs=9, parent="a")
    page = page_of(lab)
    known = [record.variant.settings for record in page.study.rows]
    assert [(path, str(one), str(two)) for path, one, two in differences(*known)] == [("epochs", "6", "9")]
    assert page.settings().rows == [["b", "a", "epochs", "6", "9"]]


def test_a_study_that_is_not_complete_says_what_is_missing(lab):
    lab.row("a", 3)
    lab.row("b", 3, parent="a", statuses={1: "running", 2: "queued"}, lasts={1: 2})
    lab.row("c", 3, parent="a", statuses={0: "failed", 1: "failed", 2: "failed"})
    state = page_of(lab).state()
    assert state[0].startswith(
        "This study is still running: 4 of 9 runs have finished. Missing: b (1/3 seeds finished, others running"
    )
    assert state[1] == "Not finished: c (3/3 failed)."
    assert f'<p class="state">{state[0]}</p>' in html_of(page_of(lab))
    lab.rows = [lab.rows[0], VariantRecord(lab.rows[1].variant, lab.rows[0].runs)]
    assert page_of(lab).state() == []


def test_costs_and_provenance_of_runs_without_a_record_are_not_made_up(lab):
    page = page_of(lab.ladder(2, 3))
    assert [title for title in page.costs()[0].titles if title in ("Seconds", "Peak memory")] == []
    assert provenance(page) == []


# formats


def test_equal_studies_give_equal_bytes(lab, tmp_path):
    lab.ladder(2, 3)
    other = type(lab)(tmp_path / "other").ladder(2, 3)
    for format in ("html", "md", "pdf"):
        assert contents(page_of(lab), format, "r") == contents(page_of(other), format, "r")


def test_markdown_has_its_pictures_beside_it(lab):
    lab.row(HOSTILE[0], 3)
    lab.row(HOSTILE[6], 3, parent=HOSTILE[0])
    files = contents(page_of(lab, "a: '```'\n"), "md", "my report.md")
    assert list(files) == [f"my report_files/{name}.svg" for name in ("ladder", "effects", "curves")] + ["my report.md"]
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(files["my report.md"].decode())
    inline = [part for token in tokens for part in token.children or ()]
    assert not [one for one in (*tokens, *inline) if one.type in ("html_block", "html_inline", "link_open")]
    images = [part.attrs["src"] for part in inline if part.type == "image"]
    assert images == [f"my%20report_files/{name}.svg" for name in ("ladder", "effects", "curves")]
    assert [token.content for token in tokens if token.type == "fence"] == ["a: '```'\n"]


def test_pdf_has_text_pages_around_its_figures(lab):
    data = contents(page_of(lab.ladder(3, 3)), "pdf", "r.pdf")["r.pdf"]
    assert data.startswith(b"%PDF")
    boxes = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", data)
    a4 = [abs(float(width) - 595.4) < 1 and abs(float(height) - 841.7) < 1 for width, height in boxes]
    assert a4 == [True, False, False, False, True]
    assert b"/CreationDate" not in data


@pytest.mark.parametrize(
    ("name", "format"), [("a.html", "html"), ("a.HTM", "html"), ("a.md", "md"), ("b/a.pdf", "pdf")]
)
def test_format_by_suffix(name, format, tmp_path):
    assert page_format(tmp_path / name) == format
    with pytest.raises(ArgumentError, match=r"output \(=.*x.docx\) must end in one of .html, .md, .pdf, or pass"):
        page_format(tmp_path / "x.docx")
    with pytest.raises(ArgumentError, match=r"format \(=htm\) must be one of html, md, pdf. Did you mean 'html'"):
        page_format(tmp_path / name, "htm")

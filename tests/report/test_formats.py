from __future__ import annotations

import csv
import html.parser
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.evidence.gather import Row
from ablate.evidence.seeds import Tally
from ablate.notes.note import Note
from ablate.printable import visible
from ablate.report.formats import FORMATS, PRINTED, contents, format_from_suffix, render
from ablate.report.formats.json import table_tree
from ablate.report.formats.latex import escape
from ablate.report.wording import plain


def split_pipes(line: str) -> list[str]:
    """A line of a GitHub table as GitHub splits it: at pipes without a backslash before them."""
    return [part.strip() for part in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def shown(markdown: str) -> str:
    """What a reader of Markdown sees: any ASCII punctuation after a backslash is itself."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown)


def test_markdown_is_aligned(keypoints):
    lines = render(keypoints(), "md").splitlines()
    table = lines[: lines.index("")]
    assert len(table) == 5
    assert len({len(line) for line in table}) == 1
    assert table[2].startswith("| net1   | single hidden |      400 |     0.002200 |          0.003255 |")
    points = {line.index(".", 40) for line in table[2:]}
    assert len(points) == 1


def test_markdown_escapes(hostile):
    lines = render(hostile, "md", columns=["name", "description", "notes"]).splitlines()
    table = lines[: lines.index("")]
    assert len(table) == 2 + len(hostile.rows)
    for line, row in zip(table[2:], hostile.rows, strict=True):
        parts = split_pipes(line)
        assert len(parts) == 3
        assert shown(parts[0]) == plain(row.variant)
    text = "\n".join(lines)
    assert not re.search(r"(?<!\\)<script", text)
    assert not re.search(r"(?<!\\)\]\(", text)
    assert not re.search(r"(?<!\\)[*`~$]", text)
    assert "$" in text


def test_text_is_aligned_and_escapes_nothing(keypoints):
    table = keypoints(Row("my_model_*_a", status="finished", train_loss=0.001, valid_loss=0.0012, tally=Tally()))
    lines = render(table, "text").splitlines()
    assert lines[0].split()[:2] == ["Name", "Description"]
    assert len({line.index(".", 30) for line in lines[2:6]}) == 1
    assert lines[5].startswith("my_model_*_a ")
    assert lines[6] == ""
    assert lines[7].startswith("± sd (n)")
    assert not any("\\" in line or "|" in line or line != line.rstrip() for line in lines)


def test_notes_are_given_in_full_on_request(keypoints):
    table = keypoints()
    noted = tuple(
        replace(row, notes=tuple(Note("text", values={"text": f"{row.variant} {i}"}) for i in range(9)))
        for row in table.rows
    )
    table = replace(table, rows=noted)
    for format in ("text", "md", "html", "tex"):
        assert "net3 8" not in render(table, format)
        assert "net3 8" in render(table, format, notes=True)


def test_html_cells_have_no_padding(keypoints):
    text = render(keypoints(), "html")
    assert "<td>net1</td>" in text
    assert '<td style="text-align: right">0.003255</td>' in text


def test_sentences_follow_the_markdown_table(keypoints):
    text = render(keypoints(), "md")
    assert "\n\n- ± sd over 5 seeds. Δ parent: valid_loss minus" in text
    assert "± sd" not in render(keypoints(), "md", columns=["name", "valid_loss"])


class Page(html.parser.HTMLParser):
    """Collects the table's cells, and every tag."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.tags, self.open, self.problems = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            self.problems.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_html_is_one_whole_page(keypoints):
    page = Page(render(keypoints(), "html"))
    assert page.problems == []
    assert page.open == []
    assert [cell.strip() for cell in page.rows[0]][:3] == ["Name", "Description", "Epochs"]
    assert page.rows[2][4].strip() == "0.001523"
    assert page.rows[2][6].strip() == "−0.001732 [−0.001810, −0.001650]"


def test_html_escapes(hostile):
    page = Page(render(hostile, "html", columns=["name", "description", "notes"]))
    assert page.problems == []
    assert [row[0].strip() for row in page.rows[1:]] == [plain(row.variant) for row in hostile.rows]
    assert set(page.tags) == {"html", "head", "meta", "title", "style", "body", "h1", "table", "thead", "tbody"} | {
        "tr",
        "th",
        "td",
        "ul",
        "li",
    }


def test_csv_reads_back_at_full_precision(keypoints):
    third = Row("net4", valid_loss=1 / 3, published={"valid_loss": 0.1}, tally=Tally())
    rows = list(csv.DictReader(io.StringIO(render(keypoints(third), "csv"))))
    assert float(rows[3]["valid_loss"]) == 1 / 3
    assert rows[3]["published_valid_loss"] == "0.1"
    assert rows[1]["delta_parent"] == "-0.001732"
    assert rows[0]["delta_parent"] == ""
    assert (rows[0]["epochs"], rows[1]["from"], rows[1]["changes"]) == ("400", "net1", "add convolutions")
    assert list(rows[0])[:4] == ["variant", "from", "description", "changes"]
    chosen = list(csv.reader(io.StringIO(render(keypoints(), "csv", columns=["name", "spread"], sort="name"))))
    assert chosen[:2] == [["variant", "spread"], ["net1", "3.12e-05"]]


def test_csv_runs_no_formula_and_loses_no_text(hostile):
    rows = list(csv.DictReader(io.StringIO(render(hostile, "csv"), newline="")))
    assert [row["variant"].removeprefix("'") for row in rows] == [visible(row.variant) for row in hostile.rows]
    assert "\x1b" in "".join(row.variant for row in hostile.rows)  # but no terminal that shows the file obeys it
    assert not {"\x1b", "\x07"} & set(render(hostile, "csv") + render(hostile, "json"))
    assert [row["variant"][0] for row in rows if row["variant"].removeprefix("'")[:1] in tuple("=+-@")] == ["'", "'"]
    guarded = replace(hostile, rows=tuple(Row(n) for n in ("=1", "+1", "-1", "@x", "\t=1", " =1", "＝1", "ok")))
    names = [row["variant"] for row in csv.DictReader(io.StringIO(render(guarded, "csv"), newline=""))]
    assert [name.startswith("'") for name in names] == [True] * 7 + [False]


def test_csv_names_join_with_json(keypoints):
    names = ["-rf", "+flip", "-v0.2 no-dropout", "net2"]
    table = replace(keypoints(), rows=tuple(Row(n, changes=("+ flip", "− crop", "lr = -0.1")) for n in names))
    rows = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    assert [row["variant"] for row in rows] == [row["variant"] for row in json.loads(render(table, "json"))["rows"]]
    assert rows[0]["changes"] == "add flip; remove crop; lr = -0.1"


@pytest.mark.parametrize(
    "text", ["-cmd|' /C calc'!A0", "+HYPERLINK(1)", "-a!b", "-rf=1", "+x*2", "-x\n=1", "-", "+ =1", "-[x]y", "-rf@b"]
)
def test_csv_leaves_no_sign_before_anything_but_words(keypoints, text):
    table = replace(keypoints(), rows=(Row(text),))
    [row] = csv.DictReader(io.StringIO(render(table, "csv"), newline=""))
    assert row["variant"] == "'" + text


def test_json_is_the_table_exactly(keypoints):
    table = keypoints(Row("größe"))
    text = render(table, "json")
    assert json.loads(text) == table_tree(table)
    assert "größe" in text
    assert json.loads(render(table, "json", sort="-valid_loss"))["rows"][1]["variant"] == "net3"


def test_json_keys_are_the_same_for_every_row_and_every_state(keypoints):
    rows = json.loads(render(keypoints(Row("a", status="diverged", verdict="unstable"), Row("b")), "json"))["rows"]
    assert len({tuple(row) for row in rows}) == 1
    assert rows[-1]["valid_loss"] is None


def test_latex(keypoints):
    text = render(keypoints(), "tex")
    assert r"\caption{Fifteen points on a face.}" in text
    assert r"\label{tab:facial-keypoints}" in text
    assert r"\begin{tabular}{@{}llrrrrrl@{}}" in text
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    assert (
        r"net2 & convolutions & 1000 & 0.001010 & 0.001523 & $\pm$0.000031 & $-$0.001732 $\pm$0.000080 & helps \tabularnewline"
        in text
    )
    assert "|" not in text
    assert r"$\pm$ sd over 5 seeds." in text
    assert text.startswith(r"% needs \usepackage{booktabs,graphicx}")


def test_latex_folds_long_text_and_says_how_many_seeds_where_rows_differ(keypoints):
    fewer = Row(
        "net4",
        "net3",
        "a description " * 4,
        (),
        "finished",
        3,
        9,
        valid_loss=0.001,
        valid_loss_sd=0.0001,
        tally=Tally(5, 3),
    )
    text = render(keypoints(fewer), "tex")
    assert r"\begin{tabular}{@{}lp{0.26\linewidth}rrrrrl@{}}" in text
    assert r"net4 & \raggedright a description a description" in text
    assert "(3/5)" in text
    assert "over n finished seeds" in text


def test_latex_powers_of_ten(keypoints):
    row = Row("net4", status="finished", valid_loss=1.5e-9, delta_parent=-2e7, tally=Tally())
    line = next(line for line in render(keypoints(row), "tex").splitlines() if "net4" in line)
    assert r"1.500$\times10^{-9}$" in line
    assert r"$-$2.000$\times10^{7}$" in line


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("50%_&#$", r"50\%\_\&\#\$"),
        ("^~\\{}", r"\textasciicircum{}\textasciitilde{}\textbackslash{}\{\}"),
        ("a|b<c>", r"a\textbar{}b$<$c$>$"),
        ("Δλ αΩ ς", r"$\Delta$$\lambda$ $\alpha$$\Omega$ ς"),
        ("a---b", "a-{}-{}-b"),
        ("1 – 2 ± 3 × 4 → 5", r"1 -- 2 $\pm$ 3 $\times$ 4 $\to$ 5"),
        ("größe", "größe"),
    ],
)
def test_latex_escape(text, printed):
    assert escape(text) == printed


def test_latex_has_as_many_cells_in_every_row(hostile):
    body = render(hostile, "tex", columns=["name", "description", "notes"])
    body = body[body.index(r"\midrule") : body.index(r"\bottomrule")]
    lines = body.splitlines()[1:-1]
    assert len(lines) == len(hostile.rows)
    assert all(len(re.findall(r"(?<!\\)&", line)) == 2 for line in lines)
    # A bracket or star that opens a row would be taken as an option of the \\ before it.
    assert not any(line.lstrip().startswith(("[", "*")) for line in lines)
    assert not re.search(r"(?<!\\)[%#]", body)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(keypoints, hostile, tmp_path):
    latin = replace(hostile, rows=tuple(row for row in hostile.rows if row.variant.isascii()))
    document = "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\begin{document}\n%s\n%s\n\\end{document}\n"
    (tmp_path / "t.tex").write_text(document % (render(keypoints(), "tex"), render(latin, "tex")), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize("format", PRINTED)
def test_every_format_takes_an_empty_table(keypoints, format):
    text = render(replace(keypoints(), rows=()), format)
    assert text.endswith("\n")


def test_formats_are_known_by_suffix():
    names = ["t.md", "t.markdown", "a.b/T.TEX", "t.html", "t.htm", "t.csv", "t.json", "t.xlsx", "t.txt"]
    known = ["md", "md", "tex", "html", "html", "csv", "json", "xlsx", "text"]
    assert [format_from_suffix(name) for name in names] == known
    with pytest.raises(ValueError, match=re.escape("output (=t.doc) must end in one of ")) as caught:
        format_from_suffix("t.doc")
    assert all(format.suffixes[0] in str(caught.value) for format in FORMATS.values())


def test_an_unknown_format_names_the_nearest(keypoints):
    with pytest.raises(ValueError, match=r"^format \(=jsn\) must be one of .* Did you mean 'json'\?$"):
        render(keypoints(), "jsn")
    with pytest.raises(ValueError, match=r"^format \(=xlsx\) must be one of "):
        render(keypoints(), "xlsx")


def test_an_unknown_column_is_an_error_in_every_format(keypoints):
    for format in FORMATS:
        with pytest.raises(ValueError, match="is not a column"):
            contents(keypoints(), format, columns=["nope"])


def test_a_file_in_the_folder_is_a_format_without_another_edit(tmp_path, keypoints):
    """One new file: the command line lists it, takes its name and its suffix, and exports with it."""
    (tmp_path / "shout.py").write_text(
        "from ablate.report.document import Format\n"
        "FORMAT = Format('shout', ('.loud',), lambda document: document.title.upper() + chr(10))\n"
    )
    driver = (
        "import sys, ablate.report as report\n"
        "import pkgutil, importlib.machinery\n"
        "spec = importlib.machinery.PathFinder.find_spec('ablate.report.formats', report.__path__)\n"
        "spec.submodule_search_locations.append(sys.argv[1])\n"
        "import importlib.util\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['ablate.report.formats'] = module\n"
        "spec.loader.exec_module(module)\n"
        "from ablate.cli.app import run_command\n"
        "run_command(['table', sys.argv[2], '--format', 'shout'])\n"
        "run_command(['export', sys.argv[2], '-o', 't.loud'])\n"
        "try:\n    run_command(['table', '--help'])\nexcept SystemExit:\n    pass\n"
    )
    digits = Path(__file__).parents[2] / "recipes" / "digits.yaml"
    command = [sys.executable, "-c", driver, str(tmp_path), str(digits)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("DIGITS\n")
    assert (tmp_path / "t.loud").read_text() == "DIGITS\n"
    assert "shout" in done.stdout.split("DIGITS\n")[1]


def test_plain_text_is_not_escaped(keypoints):
    table = keypoints()
    rows = (replace(table.rows[0], description="a_b *c* [d](e) <f> `g` ~h~"), *table.rows[1:])
    lines = render(replace(table, rows=rows), "text").splitlines()
    assert lines[0].split()[:2] == ["Name", "Description"]
    assert set(lines[1]) == {"-", " "}
    assert "a_b *c* [d](e) <f> `g` ~h~" in lines[2]
    assert not any(line.startswith("|") or line != line.rstrip() for line in lines)

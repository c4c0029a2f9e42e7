"""The book of claims: every claim has its recipe, the page is what the runs found, and answers follow from verdicts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ablate.api import RunOptions
from ablate.planning.compatibility import check_fit
from ablate.recipe import Recipe
from ablate.recipe.measured import metrics_of
from bench.claims import book as book_file
from bench.claims.__main__ import DOCS, draws, main
from bench.claims.again import ask, drawn, other_seeds, read_draws, section, with_draw
from bench.claims.answers import agreement, answer, verdict
from bench.claims.book import FOLDER, ROOT, Claim, Part, read_book
from bench.claims.page import answered, counted, current, page
from bench.claims.picture import picture
from bench.claims.results import recipe_key, recipe_of, train_claim

pytestmark = pytest.mark.slow

BOOK = read_book()
RESULTS = json.loads((DOCS / "claims.json").read_text(encoding="utf-8"))

ASKED_FOR = """dropout_sweep dropout_rate_decay dropout_2d depth_activation activation_init optimizers_early optimizers_late sgd_against_adam four_rates
batch_size lstm_clipping embedding_init curve_overfit whitening cross_entropy focal smooth_l1 data_size label_noise norms_small_batches residual_depth
drop_path context_heads masked_targets split_leak l1_sparsity warmup smooth_loss"""
"""What must not be missing, whatever else the book has."""


def test_every_claim_has_its_recipe_and_every_recipe_its_claim():
    names = [claim.name for claim in BOOK]
    assert len(set(names)) == len(names)
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(names)
    assert set(ASKED_FOR.split()) <= set(names)


@pytest.mark.parametrize("claim", BOOK, ids=lambda claim: claim.name)
def test_parts_ask_for_rows_that_the_recipe_compares(claim):
    recipe = Recipe.load(claim.recipe)
    assert len(recipe.seeds) >= 5
    assert recipe.study == f"claims-{claim.name.replace('_', '-')}"
    assert recipe.description
    for part in claim.parts:
        variant = recipe.variant(part.row)
        assert variant.parent is not None, "the baseline stands beside nothing"
        assert part.metric is not None or (part.over, part.better, part.smallest_effect) == (None, None, None)
        if part.metric is not None and part.over is None and part.better is None:
            assert part.metric in metrics_of(variant.settings)
        if "no difference" in part.says and part.metric is None:
            assert recipe.compare.smallest_effect is not None, "nothing is too small to matter otherwise"
    for grid in claim.rates:
        for row in grid.rows:
            assert recipe.variant(row).name == row


@pytest.mark.parametrize("claim", [claim for claim in read_book() if claim.gpu], ids=lambda claim: claim.name)
def test_the_larger_scale_is_one_of_every_row(claim):
    rows = recipe_of(claim, sets=claim.gpu)
    check_fit(rows)
    for row, plain in zip(rows.variants, recipe_of(claim).variants, strict=True):
        assert row.name == plain.name
        assert row.settings != plain.settings


def test_a_claim_is_asked_at_the_larger_scale_and_the_page_stays(tmp_path, capsys, monkeypatch):
    claim = next(claim for claim in read_book() if claim.name == "norms_small_batches")
    small = claim.model_copy(update={"gpu": ("data.limit=100", "epochs=1")})
    monkeypatch.setattr("bench.claims.__main__.read_book", lambda: [small])
    monkeypatch.setattr(
        "bench.claims.results.recipe_of", lambda claim, seeds=None, sets=(): recipe_of(claim, (0, 1), sets)
    )
    before = (DOCS / "claims.json").read_bytes()
    assert main(["larger", small.name, "--runs", str(tmp_path), "--jobs", "1"]) == 0
    said = capsys.readouterr().out
    assert "| batch norm 2 " in said
    assert f"{small.name} (data.limit=100, epochs=1): " in said
    assert (DOCS / "claims.json").read_bytes() == before


def test_the_page_is_what_the_results_say():
    way = "docs/claims.md is not what the book and docs/claims.json say: python -m bench.claims page"
    assert (DOCS / "claims.md").read_text(encoding="utf-8") == page(BOOK, RESULTS, draws()), way


def test_the_readme_counts_the_answers():
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{len(BOOK)} claims" in readme
    assert counted(BOOK, RESULTS) in readme


def test_the_picture_shows_every_claim():
    drawn = picture(BOOK, RESULTS)
    assert drawn == picture(BOOK, RESULTS)
    parts = sum(len(claim.parts) if current(claim, RESULTS) else 1 for claim in BOOK)
    height = re.search(rb'height="([\d.]+)pt"', drawn)
    # a line of 0.17 inches for each part, or for a claim that was not run, and for each topic
    assert height is not None
    topics = len({claim.section for claim in BOOK})
    assert float(height[1]) / 72 == pytest.approx(0.17 * (parts + topics) + 1.35, abs=0.01)


def test_every_change_that_a_claim_asks_about_acted():
    """A row that equals its parent in every seed tests nothing, unless the claim is that the two are one."""
    for claim in BOOK:
        known = current(claim, RESULTS)
        for part, found in zip(claim.parts, known["parts"] if known else [], strict=False):
            assert verdict(part, found) != "no effect" or "no effect" in part.says, f"{claim.name}: {part.row}"


def test_what_was_not_run_is_said_to_be_so():
    said = page(BOOK, {})
    assert f"**{len(BOOK)} claims: {len(BOOK)} not run yet.**" in said
    assert said.count("**Not run yet.**") == len(BOOK)


def test_results_of_another_recipe_do_not_count():
    claim = next(claim for claim in BOOK if claim.name in RESULTS)
    known = RESULTS[claim.name]
    kept = current(claim, {claim.name: {**known, "recipe": recipe_key(claim)}})
    assert kept is not None
    assert current(claim, {claim.name: {**known, "recipe": "another"}}) is None
    fewer = claim.model_copy(update={"parts": (*claim.parts, Part(row="one more", says="helps"))})
    assert answered(fewer, {claim.name: {**known, "recipe": recipe_key(claim)}}) == "not run yet"


FOUND = {"verdict": "unclear", "low": -1.0, "high": -0.5, "better": "lower"}


@pytest.mark.parametrize(
    ("says", "by", "found", "expected"),
    [
        ("helps", "verdict", {"verdict": "helps"}, "agrees"),
        ("helps", "verdict", {"verdict": "hurts"}, "disagrees"),
        (["hurts", "unstable"], "verdict", {"verdict": "unstable"}, "agrees"),
        ("no difference", "verdict", {"verdict": "helps"}, "disagrees"),
        ("helps", "verdict", {"verdict": "unclear"}, "open"),
        ("helps", "verdict", {"verdict": None}, "open"),
        (["no difference", "helps"], "verdict", {"smallest_effect": 0.1}, "agrees"),
        (["no difference", "hurts"], "verdict", {"smallest_effect": 0.1, "better": "higher"}, "agrees"),
        (["no difference", "helps"], "verdict", {"smallest_effect": 0.1, "better": "higher"}, "open"),
        ("helps", "verdict", {"smallest_effect": 0.1}, "open"),
        (["no difference", "helps"], "verdict", {"smallest_effect": 0.1, "low": -0.5, "high": 0.2}, "open"),
        ("helps", "interval", {"verdict": None}, "agrees"),
        ("helps", "interval", {"better": "higher"}, "disagrees"),
        ("helps", "interval", {"high": 0.1}, "open"),
        ("helps", "interval", {"low": None, "high": None}, "open"),
        ("helps", "verdict", {"verdict": "no difference", "delta": 0.0, "low": 0.0, "high": 0.0}, "open"),
        ("no difference", "verdict", {"verdict": "no difference", "delta": 0.0, "low": 0.0, "high": 0.0}, "open"),
        (
            ["no difference", "no effect"],
            "verdict",
            {"verdict": "no difference", "delta": 0.0, "low": 0.0, "high": 0.0},
            "agrees",
        ),
    ],
)
def test_a_part_agrees_where_its_verdict_is_one_of_those_expected(says, by, found, expected):
    part = Part(row="a", says=says, by=by)
    assert agreement(part, {**FOUND, **found}) == expected
    assert verdict(part, {**FOUND, **found}) in (
        None,
        "helps",
        "hurts",
        "no difference",
        "unstable",
        "unclear",
        "no effect",
        "no worse",
        "no better",
    )


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["agrees", "agrees"], "holds"),
        (["agrees", "open"], "holds partly"),
        (["agrees", "disagrees"], "holds partly"),
        (["disagrees", "open"], "does not hold here"),
        (["open", "open"], "undecided"),
        ([], "not run yet"),
    ],
)
def test_answers_follow_from_parts(parts, expected):
    assert answer(parts) == expected


RECIPE = """
study: claims-small
description: '"A rate of nothing learns nothing."'
data: {name: digits, limit: 300}
metrics: [accuracy]
watch: [gradient_norm]
seeds: 5
baseline:
  name: some
  model: {name: mlp, hidden: [32, 32]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.05}
  batch_size: 16
  epochs: 10
variants:
  - {name: nothing, set: {optimizer.lr: 1e-9}}
  - {name: other data, from: some, set: {data.split_seed: 1}}
"""


def test_a_claim_is_run_read_and_asked_again(tmp_path, monkeypatch):
    """Through the store, with a number that is compared beside the recipe's own, a quotient, and rows on other data."""
    monkeypatch.setattr(book_file, "FOLDER", tmp_path)
    (tmp_path / "small.yaml").write_text(RECIPE, encoding="utf-8")
    parts = (
        Part(row="nothing", says="hurts"),
        Part(row="nothing", says="hurts", metric="accuracy"),
        Part(row="nothing", says="helps", metric="gradient_norm/hidden1", over="gradient_norm/hidden1", better="lower"),
        Part(row="other data", says="helps", by="interval"),
        Part(row="nothing", says="hurts", metric="gradient_norm/hidden2", over="gradient_norm/hidden1", equal=True),
        Part(row="nothing", says="no difference", metric="accuracy", smallest_effect=1.0),
    )
    text = "A rate of nothing learns nothing."
    claim = Claim(name="small", section="one", claim=text, parts=parts, show=("parameters",), beware="It is small.")
    found = train_claim(claim, tmp_path / "runs", RunOptions(jobs=1, device="cpu"))
    json.dumps(found, allow_nan=False)
    first, second, quotient, elsewhere, distance, coarse = found["parts"]
    assert distance["better"] == "lower"
    assert distance["value"] > 0
    assert distance["metric"] == "distance of gradient_norm/hidden2 and gradient_norm/hidden1"
    assert coarse["verdict"] == "no difference"
    assert first["verdict"] == second["verdict"] == "hurts"
    assert first["delta"] == pytest.approx(first["value"] - first["parent_value"])
    assert (second["metric"], second["better"]) == ("accuracy", "higher")
    assert quotient["value"] == quotient["parent_value"] == 1.0
    assert quotient["verdict"] == "no difference"
    assert elsewhere["verdict"] is None
    assert elsewhere["low"] < elsewhere["delta"] < elsewhere["high"]
    assert found["scale"]["seeds"] == 5
    assert found["scale"]["epochs"] == [10, 10]
    assert answered(claim, {"small": found}) == "holds partly"
    written = page([claim], {"small": found})
    assert found["tables"][""] in written
    assert "accuracy" in written
    assert "Other measurements" in written
    assert "| some       |        3,466 |" in written
    assert "It is small." in written
    again = ask(claim, tmp_path / "runs", RunOptions(jobs=1, device="cpu"), 7, {"small": found})
    assert again["seeds"] == [7, 8, 9, 10, 11]
    assert (again["before"]["answer"], again["after"]["parts"][0]["verdict"]) == ("holds partly", "hurts")
    assert again["after"]["parts"][0]["delta"] != first["delta"]
    with pytest.raises(ValueError, match="seeds that small has"):
        other_seeds(claim, 4)
    with pytest.raises(ValueError, match="was not run as its recipe is now"):
        ask(claim, tmp_path / "runs", RunOptions(), 7, {"small": {**found, "recipe": "another"}})


def one_said(agreement, verdict):
    """An answer of one part."""
    return {"answer": "holds", "parts": [{"row": "b", "verdict": verdict, "agreement": agreement}]}


def test_lots_are_drawn_written_down_and_told(tmp_path):
    assert drawn(BOOK, 20261121) == drawn(BOOK[::-1], 20261121)
    assert len({claim.name for claim in drawn(BOOK, 3)}) == 3
    alike = {"claim": "a", "recipe": "x", "seeds": [5, 6], "before": one_said("agrees", "helps")}
    good = {"draw": 1, "claims": [{**alike, "after": one_said("agrees", "helps")}]}
    bad = {"draw": 2, "claims": [{**alike, "after": one_said("open", "unclear")}]}
    both = with_draw([good], bad)
    with pytest.raises(ValueError, match="made before"):
        with_draw(both, good)
    path = tmp_path / "again.json"
    assert read_draws(path) == []
    path.write_text(json.dumps(both), encoding="utf-8")
    said = "\n".join(section(read_draws(path), []))
    assert "**Draw 1: 1 of 1 answers and 1 of 1 parts agree.**" in said
    assert "**Draw 2: 1 of 1 answers and 0 of 1 parts agree.**" in said
    assert "b: as claimed (helps), again unclear (unclear)" in said
    assert section([], []) == []


def test_the_book_is_read_from_its_file(tmp_path):
    path = Path(tmp_path) / "book.yml"
    path.write_text("data:\n  a:\n    claim: It is so.\n    parts: [{row: b, says: helps}]\n", encoding="utf-8")
    (claim,) = read_book(path)
    assert (claim.name, claim.section, claim.parts[0].says) == ("a", "data", ("helps",))
    path.write_text("data:\n  a:\n    claim: It is so.\n    parts: [{row: b, says: maybe}]\n", encoding="utf-8")
    with pytest.raises(ValueError, match="maybe"):
        read_book(path)

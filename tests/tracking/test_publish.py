"""What MLflow holds after publishing from a store."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from ablate.recipe.settings import Choice
from ablate.tracking.publish import Artifacts, needs_publishing

BEGAN = 1_700_000_000.0


def curve(lab: Any, run: Any, key: str) -> list[tuple[int, float, int]]:
    return [(point.step, point.value, point.timestamp) for point in lab.client.get_metric_history(run.info.run_id, key)]


def parent(run: Any) -> str:
    return run.data.tags["mlflow.parentRunId"]


def test_study_holds_variants_hold_seeds(study_of_two):
    lab = study_of_two
    published = lab.sent()
    (study,) = lab.found("study").values()
    variants, seeds = lab.found("variant"), lab.found("seed")
    assert study.info.run_name == "faces"
    assert list(sorted(variants)) == ["net1", "net2"]
    assert {parent(run) for run in variants.values()} == {study.info.run_id}
    assert sorted(seeds) == ["net1 · seed 0", "net1 · seed 1", "net2 · seed 0", "net2 · seed 1"]
    assert {parent(seeds[f"net2 · seed {seed}"]) for seed in (0, 1)} == {variants["net2"].info.run_id}
    assert published.runs == 7


def test_settings_are_params_and_what_a_row_is_are_tags(study_of_two):
    lab = study_of_two
    tricks = (Choice("trick", None, "mine:Flip", {"p": 0.5}), Choice("trick", None, "mine:Flip", {"p": 0.1}))
    lab.row("net2", *lab.rows["net2"].runs, parent="net1", batch_size=32, tricks=tricks)
    lab.sent()
    run = lab.found("variant")["net2"]
    assert run.data.params["model"] == "mine:model"
    assert run.data.params["model.width"] == "3"
    assert run.data.params["batch_size"] == "32"
    assert run.data.params["tricks"] == "Flip, Flip"
    assert run.data.params["tricks.Flip.p"] == "0.5"
    assert run.data.params["tricks.Flip 2.p"] == "0.1"
    assert run.data.params["monitor.metric"] == "valid_loss"
    assert run.data.tags["ablate.description"] == "what net2 is"
    assert run.data.tags["ablate.changes"] == "+ flip"
    assert run.data.tags["ablate.from"] == "net1"
    assert run.data.tags["ablate.status"] == "1 finished, 1 running"
    assert run.data.tags["mlflow.note.content"] == "what net2 is\n\n- + flip\n\nPublished: valid_loss 0.25"


def test_curves_have_a_point_an_epoch_at_the_time_it_happened(study_of_two):
    lab = study_of_two
    lab.sent()
    run = lab.found("seed")["net1 · seed 1"]
    times = [int((BEGAN + 10.5 * epoch) * 1000) for epoch in (1, 2, 3, 4)]
    assert curve(lab, run, "train_loss") == [(n, 1 / n, time) for n, time in zip((1, 2, 3, 4), times, strict=True)]
    assert run.data.params == {"seed": "1", "fingerprint": "a1"}
    assert run.data.metrics == {"train_loss": 0.25, "valid_loss": 0.5, "seconds": 10.5}
    assert run.data.tags["ablate.seconds"] == "42.0"
    assert run.data.tags["ablate.provenance.torch"] == "2.13"
    assert run.data.tags["mlflow.source.git.commit"] == "abc123"
    assert (run.info.start_time, run.info.end_time) == (int(BEGAN * 1000), int((BEGAN + 100) * 1000))


def test_row_that_reports_another_epoch_than_the_last_has_its_values(lab):
    lab.row("net1", lab.run("a0", epoch=4, selected_epoch=2, best_epoch=2, results={"selected": {"valid_loss": 0.125}}))
    lab.sent()
    run = lab.found("seed")["net1 · seed 0"]
    assert [(step, value) for step, value, _ in curve(lab, run, "valid_loss.selected")] == [(2, 0.125)]
    assert run.data.tags["ablate.selected_epoch"] == "2"


def test_experiment_has_views_of_the_table_and_of_the_curves(lab):
    lab.row("net1", lab.run("a0"))
    lab.sent(Artifacts(columns={"net1": {"valid_loss": 0.5, "epochs": 4.0, "other": 1.0}}))
    tags = lab.client.get_experiment_by_name("faces").tags
    view = json.loads(tags["mlflow.sharedViewState.ablate-table"])
    columns = ["tags.`ablate.description`", "metrics.`epochs`", "metrics.`valid_loss`", "tags.`ablate.status`"]
    assert json.loads(view["state"])["selectedColumns"] == columns
    assert "mlflow.sharedViewState.ablate-curves" in tags


def test_publishing_twice_and_after_an_increment_sends_each_epoch_once(study_of_two):
    lab = study_of_two
    first = lab.sent()
    second = lab.sent()
    assert (second.runs, second.points) == (0, 0)
    running = lab.rows["net2"].runs[1]
    lab.write_lines("b1", [{"epoch": n, "time": BEGAN + 10.5 * n, "train_loss": 1 / n} for n in (1, 2, 3)])
    assert needs_publishing(lab.study, lab.store, lab.uri)
    third = lab.sent()
    assert (third.runs, third.points) == (0, 1)
    assert first.points == (4 + 4 + 4 + 2) * 3
    run = lab.found("seed")["net2 · seed 1"]
    assert [step for step, _, _ in curve(lab, run, "train_loss")] == [1, 2, 3]
    assert run.info.status == "RUNNING"
    lab.row(
        "net2",
        lab.rows["net2"].runs[0],
        replace(running, status="finished", finished=BEGAN + 60),
        parent="net1",
        batch_size=32,
    )
    assert lab.sent().runs == 0
    assert lab.found("seed")["net2 · seed 1"].info.status == "FINISHED"
    assert {run.info.status for run in [*lab.found("study").values(), *lab.found("variant").values()]} == {"FINISHED"}


def test_resumed_run_does_not_repeat_epochs_that_were_cut_off(lab):
    lab.row("net1", lab.run("a0", status="running", epochs=3))
    lab.sent()
    lines = [{"epoch": n, "time": BEGAN + 10.5 * n, "train_loss": 1 / n} for n in (1, 2)]
    lab.write_lines("a0", lines + [{"epoch": n, "time": BEGAN + 1000 * n, "train_loss": 1 / n} for n in (3, 4)])
    lab.sent()
    assert [step for step, _, _ in curve(lab, lab.found("seed")["net1 · seed 0"], "train_loss")] == [1, 2, 3, 4]


def test_points_of_own_training_are_at_its_steps_each_once(lab):
    def lines(count):
        places = [{"epoch": 0.5, "step": 100}, {"epoch": 1.0, "step": 200}, {"epoch": 1.0, "step": 200}, {"step": 300}]
        return [
            {"epoch": n, "time": BEGAN + n, "train_loss": 1 / n, "at": at} for n, at in enumerate(places[:count], 1)
        ]

    running = lab.run("a0", status="running", places={"last": {"step": 200}})
    lab.write_lines("a0", lines(2))
    lab.row("net1", running)
    lab.sent()
    ledger = next(lab.root.rglob("published.json"))
    before = ledger.read_bytes()
    lab.write_lines("a0", lines(4))
    results = {"selected": {"valid_loss": 0.125}}
    places = {"last": {"step": 300}, "best": {"step": 200}}
    ended = replace(running, status="finished", epoch=4, selected_epoch=2, best_epoch=2, results=results, places=places)
    lab.row("net1", replace(ended, finished=BEGAN + 60))
    lab.sent()
    tree = json.loads(before)
    next(iter(tree["trackers"].values()))["publication"] = "interrupted"  # the last upload left no trace
    ledger.write_text(json.dumps(tree))
    for _ in range(2):
        lab.sent()
    run = lab.found("seed")["net1 · seed 0"]
    assert [step for step, _, _ in curve(lab, run, "train_loss")] == [100, 200, 201, 300]
    assert {step for step, _, _ in curve(lab, run, "valid_loss.selected")} == {200}
    assert (run.data.tags["ablate.best_epoch"], run.data.tags["ablate.selected_epoch"]) == ("200", "200")


def test_run_trained_anew_replaces_its_curves(lab):
    lab.row("net1", lab.run("a0"))
    lab.sent()
    again = lab.run("a0", started=BEGAN + 500, finished=BEGAN + 900)
    lab.write_lines("a0", [{"epoch": n, "time": BEGAN + 500 + n, "train_loss": 7.0} for n in (1, 2)])
    lab.row("net1", again)
    lab.sent()
    run = lab.found("seed")["net1 · seed 0"]
    assert [(step, value) for step, value, _ in curve(lab, run, "train_loss")] == [(1, 7.0), (2, 7.0)]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("finished", "FINISHED"),
        ("diverged", "FAILED"),
        ("failed", "FAILED"),
        ("out_of_memory", "FAILED"),
        ("timeout", "FAILED"),
        ("interrupted", "KILLED"),
        ("running", "RUNNING"),
    ],
)
def test_status_is_passed_on_all_the_way_up(lab, status, expected):
    lab.row("net1", lab.run("a0"), lab.run("a1", seed=1, status=status, reason="because"))
    lab.sent()
    seed = lab.found("seed")["net1 · seed 1"]
    assert seed.info.status == expected
    assert (seed.data.tags["ablate.status"], seed.data.tags["ablate.reason"]) == (status, "because")
    assert lab.found("variant")["net1"].info.status == expected
    assert lab.found("study")["faces"].info.status == expected


def test_retried_run_loses_its_reason(lab):
    lab.row("net1", lab.run("a0", status="failed", reason="no such file"))
    lab.sent()
    lab.row("net1", lab.run("a0"))
    lab.sent()
    run = lab.found("seed")["net1 · seed 0"]
    assert run.info.status == "FINISHED"
    assert "ablate.reason" not in run.data.tags


def test_values_that_are_not_finite_are_told_and_not_drawn(lab):
    run = lab.run("a0", status="diverged")
    rows = [
        {"epoch": n, "time": BEGAN + n, "train_loss": 1.0, "valid_loss": value}
        for n, value in enumerate([0.5, math.nan, math.inf], 1)
    ]
    lab.write_lines("a0", rows)
    lab.row("net1", run)
    lab.sent()
    seed = lab.found("seed")["net1 · seed 0"]
    assert [step for step, _, _ in curve(lab, seed, "valid_loss")] == [1]
    assert [step for step, _, _ in curve(lab, seed, "train_loss")] == [1, 2, 3]
    assert seed.data.tags["ablate.not_finite"] == "valid_loss from epoch 2"


def test_recipe_with_one_more_variant_adds_it_to_the_same_study(study_of_two):
    lab = study_of_two
    lab.sent()
    before = {name: run.info.run_id for name, run in lab.found("variant").items()}
    lab.row("net3", lab.run("c0"), parent="net2", batch_size=16)
    published = lab.sent()
    after = lab.found("variant")
    assert published.runs == 2
    assert sorted(after) == ["net1", "net2", "net3"]
    assert before.items() <= {name: run.info.run_id for name, run in after.items()}.items()
    assert len(lab.found("study")) == 1


def test_variant_with_other_settings_takes_the_name_and_the_old_one_is_marked(lab):
    lab.row("net1", lab.run("a0"), batch_size=32)
    lab.sent()
    lab.row("net1", lab.run("b0"), batch_size=64)
    lab.sent()
    assert {name: run.data.params["batch_size"] for name, run in lab.found("variant").items()} == {
        "net1": "64",
        "net1 (earlier settings)": "32",
    }
    lab.row("net1", lab.run("a0"), batch_size=32)
    lab.sent()
    assert {name: run.data.params["batch_size"] for name, run in lab.found("variant").items()} == {
        "net1": "32",
        "net1 (earlier settings)": "64",
    }


def test_seed_trained_on_other_data_or_code_is_marked_as_earlier(lab):
    lab.row("net1", lab.run("a0"))
    lab.sent()
    lab.row("net1", lab.run("z0"))
    lab.sent()
    assert {name: run.data.params["fingerprint"] for name, run in lab.found("seed").items()} == {
        "net1 · seed 0": "z0",
        "net1 · seed 0 (earlier)": "a0",
    }


def test_renamed_variant_is_renamed_and_not_sent_again(lab):
    lab.row("net1", lab.run("a0"))
    lab.sent()
    lab.rows.clear()
    lab.row("baseline", lab.run("a0"))
    published = lab.sent()
    assert (published.runs, published.points) == (0, 0)
    assert list(lab.found("variant")) == ["baseline"]
    assert list(lab.found("seed")) == ["baseline · seed 0"]


def test_run_shared_by_two_studies_appears_under_each(lab):
    lab.row("net1", lab.run("a0"))
    lab.sent()
    lab.name = "other faces"
    assert lab.sent().runs == 3
    assert lab.found("seed")["net1 · seed 0"].data.params["fingerprint"] == "a0"
    lab.name = "faces"
    assert lab.sent().runs == 0


def test_artifacts_and_note_are_on_the_study_run_and_sent_when_they_change(lab):
    lab.row("net1", lab.run("a0"))
    rendered = Artifacts("study: faces\n", {"table.md": "| a |", "table.csv": "a"}, "| a |", {"curves.png": b"\x89PNG"})
    lab.sent(rendered)
    assert not needs_publishing(lab.study, lab.store, lab.uri, rendered)
    later = replace(rendered, note="| b |", tables={"table.md": "| b |"})
    assert needs_publishing(lab.study, lab.store, lab.uri, later)
    lab.sent(later)
    study = lab.found("study")["faces"]
    folder = lab.client.download_artifacts(study.info.run_id, "", str(lab.root))
    files = {
        path.name: path.read_bytes()
        for path in (lab.root / folder).rglob("*.*")
        if path.suffix in (".md", ".csv", ".yaml", ".png")
    }
    assert study.data.tags["mlflow.note.content"] == "| b |"
    assert files["table.md"] == b"| b |"
    assert files["table.csv"] == b"a"
    assert files["recipe.yaml"] == b"study: faces\n"
    assert files["curves.png"] == b"\x89PNG"
    assert (lab.root / "mlartifacts" / "faces").is_dir()


def test_note_longer_than_a_tag_ends_after_a_whole_line(lab):
    lab.row("net1", lab.run("a0"))
    note = "\n".join(f"| row {n} | {'x' * 50} |" for n in range(500))
    lab.sent(Artifacts(note=note))
    content = lab.found("study")["faces"].data.tags["mlflow.note.content"]
    *table, empty, last = content.splitlines()
    assert len(content) <= 8000
    assert note.startswith("\n".join(table) + "\n")
    assert (empty, last[:2]) == ("", "… ")


def test_columns_are_metrics_and_unknown_ones_are_taken_back(lab):
    lab.row("net1", lab.run("a0"))
    lab.sent(Artifacts(columns={"net1": {"valid_loss": 0.5, "p_adjusted": math.nan}}))
    assert lab.found("variant")["net1"].data.metrics == {"valid_loss": 0.5}
    lab.sent(Artifacts(columns={"net1": {"valid_loss": 0.25}}))
    run = lab.found("variant")["net1"]
    assert run.data.metrics == {"valid_loss": 0.25}
    assert [(step, value) for step, value, _ in curve(lab, run, "valid_loss")] == [(4, 0.5), (4, 0.25)]
    lab.sent(Artifacts(columns={"net1": {"valid_loss": math.nan}}))
    assert math.isnan(lab.found("variant")["net1"].data.metrics["valid_loss"])


@pytest.mark.parametrize("name", ['net/1: "50%"', "Ünïcode → 网络", "x" * 300, "..", "'; drop table runs; --", "a\nb"])
def test_any_variant_name_and_any_option_is_published(lab, name):
    odd = Choice("model", None, "mine:model", {name: "y" * 7000, "p" * 300: 1, f"{name} ": 2})
    lab.row(name, lab.run("a0"), model=odd, metrics=(Choice("metric", None, "mine:top_1", {}),))
    lab.write_lines("a0", [{"epoch": 1, "time": BEGAN, "top 1 (%)": 50.0, "top 1 [%]": 60.0, "../x": 1.0, name: 2.0}])
    lab.sent(Artifacts(columns={name: {"50% better?": 1.0}}))
    ((shown, run),) = lab.found("variant").items()
    assert len(shown) <= 250
    assert run.data.tags["ablate.variant"] == name
    assert max(map(len, run.data.params.values())) == 6000
    assert list(run.data.metrics.values()) == [1.0]
    (seed,) = lab.found("seed").values()
    assert sorted(seed.data.metrics.values()) == [1.0, 2.0, 50.0, 60.0]


def test_many_settings_and_long_runs_go_in_several_calls(lab):
    wide = Choice("model", None, "mine:model", {f"option_{n}": "é" * 5000 for n in range(250)})
    lab.row("net1", lab.run("a0", epochs=700), model=wide)
    published = lab.sent()
    assert published.points == 700 * 3 + 1
    assert len(lab.found("variant")["net1"].data.params) > 250
    run = lab.found("seed")["net1 · seed 0"]
    assert [step for step, _, _ in curve(lab, run, "seconds")] == list(range(1, 701))


def test_queued_runs_are_nothing_to_publish(lab):
    lab.row("net1", lab.run("a0", status="queued", epochs=0))
    assert not needs_publishing(lab.study, lab.store, lab.uri)
    assert lab.sent().runs == 0
    lab.row("net2", lab.run("b0"), lab.run("b1", seed=1, status="queued", epochs=0))
    lab.sent()
    assert list(lab.found("variant")) == ["net2"]
    assert list(lab.found("seed")) == ["net2 · seed 0"]


def test_nothing_new_imports_no_mlflow(study_of_two):
    lab = study_of_two
    lab.row("net2", lab.run("b0"), parent="net1", batch_size=32)
    lab.sent()
    script = """
import json, pickle, sys
from pathlib import Path
study, store, uri = pickle.load(open(sys.argv[1], "rb"))
from ablate.tracking.publish import needs_publishing, publish
import ablate.tracking.ui
needed = needs_publishing(study, store, uri)
published = publish(study, store, tracking_uri=uri)
heavy = [name for name in ("mlflow", "torch", "sqlalchemy", "pandas") if name in sys.modules]
print(json.dumps([needed, published.ok, heavy]))
"""
    import pickle

    (lab.root / "study.pickle").write_bytes(pickle.dumps((lab.study, lab.store, lab.uri)))
    done = subprocess.run(
        [sys.executable, "-c", script, str(lab.root / "study.pickle")], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [False, True, []]

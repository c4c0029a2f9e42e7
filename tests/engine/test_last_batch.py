"""A last batch of one sample, with which batch norm can do nothing, is refused before an epoch is trained up to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ablate.data.dataset import Part, Parts, Spec
from ablate.engine.assembly import assemble
from ablate.engine.evaluation import measure_norms
from ablate.engine.training import train
from ablate.registry import entries, lookup
from ablate.tricks.trick import NoEffect


@pytest.mark.parametrize("seeds", [(0,), (0, 1)], ids=["alone", "stacked"])
def test_one_sample_under_batch_norm_is_refused_before_training(settings, make_choice, assign, pictures, seeds):
    """40 samples in batches of 13: the last has one."""
    norms = (make_choice("trick", "batch_norm"), make_choice("trick", "dropout", hidden=0.5))
    mlp = make_choice("model", "mlp", hidden=[8])
    chosen = settings(model=mlp, tricks=norms, batch_size=13, stack=len(seeds))
    with pytest.raises(ValueError, match=r"batch_size \(=13\): .* 40 training samples"):
        assemble(replace(assign(chosen), seeds=seeds), pictures)
    for fits in (chosen.replace(batch_size=12), chosen.replace(tricks=norms[1:])):
        assemble(replace(assign(fits), seeds=seeds), pictures)


def test_where_a_sample_has_many_places_it_trains_and_nothing_has_changed(settings, make_choice, assign, pictures):
    convnet = make_choice("model", "convnet", channels=[4], kernels=[3], hidden=[8], batch_norm=True)
    made, other = (
        assemble(assign(settings(model=convnet, batch_size=size)), pictures).network.state_dict() for size in (13, 16)
    )
    assert all(torch.equal(value, other[name]) for name, value in made.items())


@pytest.fixture
def many():
    """1025 pictures in batches that fit: 25 of 41. In the 1024 of a pass without gradients, the last would be alone."""
    draw = torch.Generator().manual_seed(1)
    inputs = torch.rand(1025, 1, 8, 8, generator=draw, dtype=torch.float64)
    inputs[-1] += 30  # what leaves it out has another mean
    part = Part(inputs, torch.arange(1025) % 3)
    return Parts(part, part.take(torch.arange(20)), Spec((1, 8, 8), 3, "classification", ("a", "b", "c")))


AVERAGES = [entry.name for entry in entries("trick") if entry.settings.model_construct().fresh_norms]


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)], ids=["alone", "stacked"])
@pytest.mark.parametrize("name", AVERAGES)
def test_averaged_weights_get_the_statistics_of_every_sample(
    settings, make_choice, assign, many, heard, name, seeds, monkeypatch
):
    seen = []

    def looked(assembly):
        measure_norms(assembly)
        seen.append({key: value.clone() for key, value in assembly.replicas.state().items()})

    monkeypatch.setattr("ablate.engine.evaluation.measure_norms", looked)
    mlp = make_choice("model", "mlp", hidden=[6])
    fields = {"swa": {"start": 1}}.get(name, {})
    chosen = settings(
        model=mlp,
        tricks=(make_choice("trick", "batch_norm"), make_choice("trick", name, **fields)),
        batch_size=41,
        epochs=2,
        precision="float64",
        stack=len(seeds),
    )
    report = heard()
    train(replace(assign(chosen), seeds=seeds), many, report)
    assert report.facts.stack == [list(seeds)]
    assert {outcome.status for outcome in report.outcomes.values()} == {"finished"}
    assert seen
    for state in seen:
        for i in range(len(seeds)):
            own = {key: value[i] for key, value in state.items()} if len(seeds) > 1 else state
            weight = next(value for key, value in own.items() if key.endswith("weight") and value.shape == (6, 64))
            bias = next(value for key, value in own.items() if key.endswith("bias") and value.shape == (6,))
            mean = next(value for key, value in own.items() if key.endswith("running_mean"))
            hidden = many.train.inputs.flatten(1) @ weight.T + (bias if "hidden1.bias" in own else 0)
            torch.testing.assert_close(mean, hidden.mean(0), rtol=1e-12, atol=1e-12)


def test_where_one_sample_is_enough_the_statistics_are_those_of_before(settings, make_choice, assign, many):
    """Of 1024 samples and one, as long as batch norm takes it."""
    convnet = make_choice("model", "convnet", channels=[4], kernels=[3], hidden=[8], batch_norm=True)
    mlp = {"model": make_choice("model", "mlp", hidden=[6]), "tricks": (make_choice("trick", "batch_norm"),)}
    for fields, sizes in (({"model": convnet}, [1024, 1]), (mlp, [1025])):
        made = assemble(assign(settings(batch_size=41, **fields)), many)
        assert [len(inputs) for inputs, _ in made.train_norms.batches(None)] == sizes


@pytest.mark.parametrize("seeds", [(0,), (0, 1)], ids=["alone", "stacked"])
@pytest.mark.parametrize("last", [2, 3])
@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, entry.name) for kind in ("watch", "init") for entry in entries(kind)]
    + [("trick", "sam"), ("trick", "accumulate")],
)
def test_a_small_last_batch_is_enough_for_all_that_looks_at_it(
    settings, make_choice, assign, pictures, heard, kind, name, last, seeds
):
    """Halves of a batch, second passes and initial values that depend on data, with batch norm on hidden units."""
    mlp = make_choice("model", "mlp", hidden=[8])
    tricks = [make_choice("trick", "batch_norm")]
    fields = {"watch": (), "tricks": tricks, "model": mlp}
    if kind == "trick":
        tricks.append(make_choice("trick", name))
    elif kind == "watch":
        fields["watch"] = (
            make_choice(
                "watch", name, **({"every": 1} if "every" in lookup("watch", name).settings.model_fields else {})
            ),
        )
    else:
        fields["init"] = make_choice("init", name)
    fields["tricks"] = tuple(tricks)
    chosen = settings(batch_size=40 - last, epochs=1, stack=len(seeds), **fields)
    report = heard()
    try:
        train(replace(assign(chosen), seeds=seeds), pictures, report)
    except NoEffect:
        return
    assert {outcome.status for outcome in report.outcomes.values()} == {"finished"}

"""Initial values on top of others: zeroed scales, output biases, unit variance on the data; and how a training comes to
them.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from ablate.data.dataset import Part, Spec
from ablate.data.load import load_parts
from ablate.engine.assembly import assemble
from ablate.engine.contract import Assignment
from ablate.inits.lsuv import in_running_order, output_variance
from ablate.recipe import Recipe
from ablate.registry import lookup
from ablate.tricks.trick import NoEffect


def init(name, **fields):
    return lookup("init", name).settings(**fields)


def model_of(name, shape, outputs, **fields):
    return lookup("model", name).settings(**fields).build(shape, outputs)


def values(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("bottleneck", [False, True])
def test_zero_gamma_makes_every_block_its_shortcut(bottleneck):
    model = model_of("resnet", (1, 8, 8), 3, channels=[4, 6], blocks=2, bottleneck=bottleneck).eval()
    init("zero_gamma", of="he_normal").apply(model, 0)
    x = torch.randn(2, model.stage1.block1.branch.conv1.in_channels, 8, 8)
    block = model.stage1.block1
    assert torch.equal(block(x), block.shortcut(x).relu())
    plain = model_of("resnet", (1, 8, 8), 3, channels=[4, 6], blocks=2, bottleneck=bottleneck)
    init("he_normal").apply(plain, 0)
    last = f"norm{3 if bottleneck else 2}.weight"
    for name, value in values(plain).items():
        zeroed = ".branch." in name and name.endswith(last)
        assert torch.equal(values(model)[name], torch.zeros_like(value) if zeroed else value), name


def test_zero_gamma_without_blocks_has_no_effect():
    with pytest.raises(NoEffect, match="zero_gamma has no effect: the network has no residual branch"):
        init("zero_gamma").apply(nn.Linear(2, 2), 0)


NETWORKS = {
    "relu": ("mlp", (20,), {"hidden": [50, 40, 30]}),
    "sigmoid": ("mlp", (20,), {"hidden": [50, 40], "activation": "sigmoid"}),
    "convnet": ("convnet", (2, 12, 12), {"channels": [8, 8], "hidden": [30]}),
    "resnet": ("resnet", (2, 12, 12), {"channels": [4, 6], "batch_norm": False}),
    "lstm": ("lstm", (5, 4), {"hidden": [8, 8]}),
}


@pytest.mark.parametrize("of", ["orthogonal", {"name": "gaussian", "deviation": 3.0}])
@pytest.mark.parametrize("case", NETWORKS)
def test_lsuv_gives_every_layer_unit_variance(case, of):
    name, shape, fields = NETWORKS[case]
    model = model_of(name, shape, 10, **fields)
    x = 5 + 3 * torch.randn(256, *shape, generator=torch.Generator().manual_seed(0))
    made = init("lsuv", of=of, tolerance=0.01, tries=40)
    made.apply(model, 0)
    model.train()
    layers = in_running_order(model, x)
    before = [output_variance(model, layer, x).item() for layer in layers]
    assert any(abs(value - 1) > 0.1 for value in before)
    made.adapt(model, x, torch.zeros(256, 10), Spec(shape, 10, "regression"))
    assert model.training
    # a recurrent layer's own output changes with the weights that are scaled after it
    loops = [layer for name, layer in model.named_modules() if "rnn" in name]
    for layer in layers:
        if layer not in loops:
            assert output_variance(model, layer, x).item() == pytest.approx(1, abs=0.011)
    again = model_of(name, shape, 10, **fields)
    made.apply(again, 0)
    made.adapt(again, x, torch.zeros(256, 10), Spec(shape, 10, "regression"))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_lsuv_leaves_alone_what_does_not_vary():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    made = init("lsuv")
    made.apply(model, 0)
    kept = values(model)
    made.adapt(model, torch.ones(8, 3) * 0, torch.zeros(8, 2), Spec((3,), 2, "regression"))
    assert all(torch.equal(value, kept[name]) for name, value in values(model).items())


def marginal(spec, targets, **fields):
    model = model_of("mlp", spec.input_shape, spec.outputs, hidden=[4])
    made = init("output_bias", of="xavier_uniform", **fields)
    made.apply(model, 0)
    kept = values(model)
    made.adapt(model, torch.zeros(2, *spec.input_shape), targets, spec)
    changed = [name for name, value in values(model).items() if not torch.equal(value, kept[name])]
    assert changed == ["output.bias"]
    return model.output.bias.detach().double()


def test_the_bias_of_numbers_is_their_mean():
    targets = torch.tensor([[1.0, 10.0], [3.0, torch.nan], [5.0, 30.0]])
    assert marginal(Spec((3,), 2, "regression"), targets).tolist() == [3, 20]
    assert marginal(Spec((3,), 1, "regression"), torch.tensor([1.0, 2.0, 6.0])).tolist() == [3]


def test_the_bias_of_classes_gives_their_frequencies():
    targets = torch.tensor([0] * 70 + [1] * 29 + [-100] * 7)
    share = marginal(Spec((3,), 3, "classification"), targets).exp()
    torch.testing.assert_close(share, torch.tensor([71, 30, 1]).double() / 102, rtol=1e-5, atol=0)
    odds = marginal(Spec((3,), 3, "classification"), targets, value="log_odds").sigmoid()
    torch.testing.assert_close(odds[:2], torch.tensor([70, 29]).double() / 99, rtol=1e-5, atol=0)
    answers = marginal(Spec((3,), 2, "regression"), torch.tensor([[0.0, 1], [0, 1], [1, 1], [0, 1]]), value="log_odds")
    torch.testing.assert_close(answers.sigmoid(), torch.tensor([1 / 4, 5 / 6]).double(), rtol=1e-5, atol=0)


def test_a_network_without_such_a_bias_is_refused():
    with pytest.raises(
        ValueError, match=r"init \(=output_bias\) requires a last layer with a bias for each of the 2 outputs"
    ) as error:
        init("output_bias").adapt(
            nn.Linear(3, 2, bias=False), torch.zeros(2, 3), torch.zeros(2, 2), Spec((3,), 2, "regression")
        )
    assert "\n" not in str(error.value)


def test_they_stand_on_any_other_and_on_each_other():
    made = init("output_bias", of={"name": "zero_gamma", "of": {"name": "he_normal", "mode": "fan_out"}})
    assert made.dump()["of"] == {"name": "zero_gamma", "of": {"name": "he_normal", "mode": "fan_out"}}
    assert init("output_bias", **made.dump()) == made
    assert init("lsuv").dump()["of"] == "orthogonal"
    assert init("zero_gamma", of=init("lsuv")).wants_data()
    assert not init("zero_gamma").wants_data()
    for wrong, text in (
        ("he_norml", "Did you mean 'he_normal'"),
        (3, "must be an init"),
        ({"name": "lsuv", "tries": 0}, "tries"),
    ):
        with pytest.raises(ValueError, match=text):
            init("zero_gamma", of=wrong)


def test_embeddings_are_drawn_too_where_asked_for():
    for asked in (False, True):
        model = model_of("lstm", (5,), 50, embedding=40)
        init("uniform", bound=0.1, embeddings=asked).apply(model, 0)
        assert bool(model.embedding.weight.abs().max() <= 0.1) == asked


TEXT = """
baseline:
  {{name: a, data: digits, model: {{name: mlp, hidden: [16]}}, loss: cross_entropy, optimizer: sgd,
    init: {{name: output_bias, of: lsuv}}, add: [{trick}]}}
"""


@pytest.mark.parametrize("seeds", [(3,), (3, 4)])
def test_a_training_shows_them_its_data_after_surgery(tmp_path, seeds):
    (tmp_path / "r.yaml").write_text(TEXT.format(trick="{activation: tanh}"))
    settings = Recipe.load(tmp_path / "r.yaml").variants[0].settings
    data = load_parts(settings.data, tmp_path)
    assembly = assemble(Assignment(settings, seeds, tmp_path), data)
    counts = data.train.targets.bincount().double()
    expected = ((counts + 1) / (counts.sum() + 10)).log().float()
    hidden = assembly.replicas.state()["hidden1.weight"]
    for i in range(len(seeds)):
        one = assembly.replicas.one(assembly.replicas.state(), i)
        torch.testing.assert_close(one["output.bias"], expected)
        network = assembly.network
        network.load_state_dict(one)
        with torch.no_grad():
            assert network.hidden1(data.train.inputs.flatten(1)).var().item() == pytest.approx(1, abs=0.1)
            logits = network(data.train.inputs) - expected
            assert logits.var(correction=0).item() == pytest.approx(1, abs=0.2)
    alone = assemble(Assignment(settings, seeds[:1], tmp_path), data).replicas.state()["hidden1.weight"]
    assert torch.equal(hidden if len(seeds) == 1 else hidden[0], alone)


def test_streamed_data_show_a_batch(tmp_path):
    (tmp_path / "r.yaml").write_text(TEXT.format(trick="dropout"))
    settings = Recipe.load(tmp_path / "r.yaml").variants[0].settings
    data = load_parts(settings.data, tmp_path)
    pairs = list(zip(data.train.inputs[:300], data.train.targets[:300], strict=True))
    streamed = replace(data, train=Part(dataset=pairs))
    bias = assemble(Assignment(settings, (0,), tmp_path), streamed).replicas.state()["output.bias"]
    assert bias.exp().sum().item() == pytest.approx(1, abs=1e-5)

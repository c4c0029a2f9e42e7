"""Recurrent networks against torch's own layers in float64; stacks, shapes, errors."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from ablate.data.dataset import Spec
from ablate.layers.recurrent import BothWays
from ablate.layers.stacked_network import StackedNetwork
from ablate.registry import lookup

TORCH = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def made(name, shape, outputs, **fields):
    return lookup("model", name).settings(**fields).build(shape, outputs)


def copied(reference, layers):
    """Give torch's layers the weights of ours."""
    with torch.no_grad():
        for i, layer in enumerate(layers):
            ways = (layer.forwards, layer.backwards) if isinstance(layer, BothWays) else (layer,)
            for own, suffix in zip(ways, ("", "_reverse"), strict=False):
                for kind, part in (("ih", own.input), ("hh", own.recurrent)):
                    getattr(reference, f"weight_{kind}_l{i}{suffix}").copy_(part.weight)
                    getattr(reference, f"bias_{kind}_l{i}{suffix}").copy_(part.bias)


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("name", TORCH)
def test_equals_torchs_own(name, both_ways):
    model = made(name, (6, 3), 2, hidden=[5, 5], both_ways=both_ways).double()
    reference = TORCH[name](3, 5, num_layers=2, batch_first=True, bidirectional=both_ways, dtype=torch.float64)
    copied(reference, (model.rnn1, model.rnn2))
    assert sum(p.numel() for p in reference.parameters()) + (11 if not both_ways else 21) * 2 - (
        10 if not both_ways else 20
    ) == sum(p.numel() for p in model.parameters())
    x = torch.rand(4, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    states, last = reference(x)
    torch.testing.assert_close(model.rnn2(model.rnn1(model.sequence(x))), states, rtol=1e-12, atol=1e-12)
    hidden = last[0] if name == "lstm" else last
    ends = torch.cat([hidden[-2], hidden[-1]], 1) if both_ways else hidden[-1]
    torch.testing.assert_close(model(x), model.output(ends), rtol=1e-12, atol=1e-12)


def test_relu_and_an_open_forget_gate():
    relu = made("rnn", (6, 3), 2, hidden=[5], activation="relu").double()
    reference = nn.RNN(3, 5, nonlinearity="relu", batch_first=True, dtype=torch.float64)
    copied(reference, (relu.rnn1,))
    x = torch.rand(4, 6, 3, dtype=torch.float64)
    torch.testing.assert_close(relu.rnn1(x), reference(x)[0])
    open_gate = made("lstm", (6, 3), 2, hidden=[5], forget_bias=1.0).double()
    reference = nn.LSTM(3, 5, batch_first=True, dtype=torch.float64)
    copied(reference, (open_gate.rnn1,))
    with torch.no_grad():
        reference.bias_ih_l0[5:10] += 1
    torch.testing.assert_close(open_gate.rnn1(x), reference(x)[0])


def test_initial_values_are_torchs_range():
    model = made("gru", (6, 3), 2, hidden=[100])
    lookup("init", "default").settings().apply(model, 0)
    for parameter in model.rnn1.parameters():
        assert parameter.abs().max() <= 0.1
        assert parameter.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.15)


@pytest.mark.parametrize("name", TORCH)
def test_tokens_and_answers_for_each_step(name):
    model = made(name, (7,), 11, hidden=[5], embedding=4, predict="each")
    tokens = torch.randint(0, 11, (3, 7))
    out = model(tokens)
    assert out.shape == (3, 11, 7)
    later = tokens.clone()
    later[:, 4:] = 0
    torch.testing.assert_close(model(later)[..., :4], out[..., :4])
    assert not torch.allclose(model(later)[..., 4:], out[..., 4:])
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[name]
    assert sum(p.numel() for p in model.parameters()) == 11 * 4 + gates * (4 * 5 + 5 * 5 + 2 * 5) + 5 * 11 + 11
    assert made(name, (7,), 3, embedding=4, tokens=50).embedding.num_embeddings == 50


def test_pictures_are_read_row_by_row_and_numbers_one_by_one():
    model = made("rnn", (2, 5, 4), 3)
    assert model.rnn1.input.in_features == 8
    x = torch.arange(40.0).view(1, 2, 5, 4)
    assert torch.equal(model.sequence(x)[0, 1], torch.cat([x[0, 0, 1], x[0, 1, 1]]))
    assert made("rnn", (9,), 3)(torch.rand(2, 9)).shape == (2, 3)
    with pytest.raises(
        ValueError, match=r"model\.embedding \(=4\) expects inputs of shape \(T,\), tokens, but got \(2, 5, 4\)"
    ):
        made("rnn", (2, 5, 4), 3, embedding=4)


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize(
    "fields", [{"hidden": [4, 3]}, {"hidden": [4], "both_ways": True, "embedding": 3, "tokens": 9}]
)
def test_seeds_stack(name, fields):
    shape = (6,) if "embedding" in fields else (6, 3)
    networks = [made(name, shape, 2, **fields).double() for _ in range(3)]
    for seed, network in enumerate(networks):
        lookup("init", "default").settings().apply(network, seed)
    x = torch.randint(0, 9, (4, *shape)) if "embedding" in fields else torch.rand(4, *shape, dtype=torch.float64)
    stack = StackedNetwork(networks)
    together = stack(x.expand(3, *x.shape).contiguous())
    together.square().sum().backward()
    for i, network in enumerate(networks):
        alone = network(x)
        torch.testing.assert_close(together[i], alone, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(stack(x, shared=True)[i], alone, rtol=1e-10, atol=1e-12)
        alone.square().sum().backward()
        for key, parameter in network.named_parameters():
            torch.testing.assert_close(stack.parameters[key].grad[i], parameter.grad, rtol=1e-9, atol=1e-11)


def test_dropout_stands_between_and_behind_layers():
    model = made("lstm", (6, 3), 2, hidden=[4, 4], dropout=0.3)
    assert list(model._modules) == ["sequence", "rnn1", "rnn1_dropout", "rnn2", "rnn2_dropout", "last", "output"]


def test_tokens_and_answers_are_those_of_the_data():
    text = Spec((5,), 7, "classification", places=(5,), vocabulary=tuple("abcdefg"))
    topics = Spec((5,), 3, "classification", vocabulary=tuple("abcdefg"))

    def fitted(spec, **fields):
        return lookup("model", "gru").settings(**fields).for_data("gru", spec).build(spec.input_shape, spec.outputs)

    x = torch.randint(0, 7, (4, 5))
    assert fitted(text, embedding=2, predict="each")(x).shape == (4, 7, 5)
    model = fitted(topics, embedding=2)
    assert model(x).shape == (4, 3)
    assert model.embedding.weight.shape == (7, 2), "as many as the data's tokens, not as its outputs"
    assert fitted(topics, embedding=2, tokens=9).embedding.weight.shape == (9, 2)
    for spec, name, fields, message in (
        (
            text,
            "gru",
            {"embedding": 2},
            "the whole sample, but the targets are classes for each of 5 positions. Set 'predict: each'.",
        ),
        (
            topics,
            "gru",
            {"embedding": 2, "predict": "each"},
            "predicts classes for each position, but the targets are classes for the whole sample.",
        ),
        (topics, "gru", {}, "model.embedding (=0) must be at least 1, because the data are tokens."),
        (
            topics,
            "gru",
            {"embedding": 2, "tokens": 6},
            "model.tokens (=6) must be at least the data's vocabulary size (7).",
        ),
        (topics, "mlp", {}, "model (=mlp) expects floating-point inputs, but the inputs are tokens."),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            lookup("model", name).settings(**fields).for_data(name, spec)

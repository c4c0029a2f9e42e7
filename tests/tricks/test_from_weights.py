"""Transfer takes exactly the tensors that match, each seed its own; frozen layers stay, and thaw in their epoch."""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from ablate.data.dataset import Spec
from ablate.notes.note import Note
from ablate.registry import lookup
from ablate.tricks.from_weights import FromWeights, read_weights
from ablate.tricks.trick import Context, NoEffect

SPEC = Spec((3,), 2, "regression")


def network(outputs: int = 2, seed: int = 0, **more: nn.Module) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = {"hidden1": nn.Linear(3, 4), "norm1": nn.BatchNorm1d(4), **more, "output": nn.Linear(4, outputs)}
    return nn.Sequential(OrderedDict(layers))


def begin(trick: FromWeights, weights: dict, seeds=(0,), files=None) -> None:
    trick.bind(Context(SPEC, seeds, 1, 1, weights=files or {}))
    trick.between_epochs(0, weights, None)


def test_it_copies_exactly_the_tensors_whose_name_and_shape_match(tmp_path):
    source, target = network(5, seed=1), network(2, seed=2)
    source.norm1.running_mean.fill_(7.0)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    torch.save(source.state_dict(), tmp_path / "net.pt")
    trick = FromWeights(source=tmp_path / "net.pt")
    begin(trick, target.state_dict())
    for name, tensor in target.state_dict().items():
        expected = before[name] if name.startswith("output") else source.state_dict()[name]
        assert torch.equal(tensor, expected), name
    values = {"source": "net.pt", "taken": 7, "total": 9, "left": ["output.weight", "output.bias"], "more": 0}
    assert trick.notes() == [Note("initial_weights", values=values)]
    assert trick._notes is not FromWeights(source=tmp_path / "net.pt")._notes


def test_the_same_name_with_another_shape_is_left_and_so_is_what_is_asked_to_stay(tmp_path):
    source, target = network(2, seed=1), network(2, seed=2)
    torch.save({"epoch": 3, "state_dict": source.state_dict()}, tmp_path / "net.pth")
    begin(
        FromWeights(source=tmp_path / "net.pth", layers=("hidden*", "output*"), but="output.bias"), target.state_dict()
    )
    same = {n for n, t in target.state_dict().items() if torch.equal(t, source.state_dict()[n])}
    fresh = network(2, seed=2).state_dict()
    assert {"hidden1.weight", "hidden1.bias", "output.weight"} <= same
    assert torch.equal(target.state_dict()["output.bias"], fresh["output.bias"])
    assert not torch.equal(fresh["output.bias"], source.state_dict()["output.bias"])


def test_each_seed_of_a_stack_takes_its_own_seeds_weights(tmp_path):
    sources = {seed: network(2, seed=10 + seed) for seed in (3, 8)}
    files = {}
    for seed, source in sources.items():
        torch.save(source.state_dict(), tmp_path / f"{seed}.pt")
        files["net6", seed] = tmp_path / f"{seed}.pt"
    stacked = {name: torch.zeros(2, *t.shape, dtype=t.dtype) for name, t in network().state_dict().items()}
    begin(FromWeights(source="net6"), stacked, (3, 8), files)
    for i, seed in enumerate((3, 8)):
        for name, tensor in sources[seed].state_dict().items():
            assert torch.equal(stacked[name][i], tensor)


def test_nothing_that_matches_is_no_effect(tmp_path):
    torch.save({"other.weight": torch.ones(2)}, tmp_path / "net.pt")
    with pytest.raises(NoEffect, match=r"none of the 1 tensors of net\.pt"):
        begin(FromWeights(source=tmp_path / "net.pt"), network().state_dict())


def test_files_that_hold_no_weights_are_refused_and_run_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path(tmp_path / "ran").touch, ())

    torch.save(Evil(), tmp_path / "evil.pt")
    with pytest.raises(ValueError, match=r"evil\.pt\) cannot be read"):
        read_weights(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="must be a dict of tensors by name"):
        read_weights(tmp_path / "list.pt")


def saved(tmp_path, name, content):
    path = tmp_path / name
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(content, path)
    else:
        torch.save(content, path)
    return path


def prefixed(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


OTHER = {"epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(4)}}, "param_groups": [{"lr": 0.1}]}}


@pytest.mark.parametrize(
    ("name", "wrapped"),
    [
        ("lightning.ckpt", lambda s: {**OTHER, "state_dict": prefixed("model.", s) | {"loss.weight": torch.ones(2)}}),
        ("compiled.pt", lambda s: {**OTHER, "model": prefixed("module._orig_mod.", s)}),
        ("twice.pt", lambda s: {"model": {"state_dict": s}}),
        ("both.pt", lambda s: {"ema": prefixed("", network(seed=5).state_dict()), "net": s}),
        ("average.pt", lambda s: {**OTHER, "ema": s}),
        ("plain.safetensors", lambda s: s),
        ("prefix.safetensors", lambda s: prefixed("backbone.", s)),
    ],
)
def test_checkpoints_of_other_programs(tmp_path, name, wrapped):
    source, target = network(2, seed=1).state_dict(), network(2, seed=2)
    trick = FromWeights(source=saved(tmp_path, name, wrapped(source)))
    begin(trick, target.state_dict())
    assert all(torch.equal(tensor, source[name]) for name, tensor in target.state_dict().items())
    assert trick.notes()[0].values["taken"] == 9


def test_lightnings_own_checkpoint(tmp_path):
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = network(2, seed=1)

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

        def training_step(self, batch):
            return self.model(batch).sum()

    module = Module()
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=tmp_path, **quiet)
    trainer.fit(module, torch.utils.data.DataLoader(torch.rand(4, 3), batch_size=2))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    target = network(2, seed=2)
    begin(FromWeights(source=tmp_path / "last.ckpt"), target.state_dict())
    assert all(torch.equal(tensor, module.model.state_dict()[name]) for name, tensor in target.state_dict().items())


def test_a_key_chooses_among_several(tmp_path):
    plain, average = network(seed=1).state_dict(), network(seed=3).state_dict()
    path = saved(tmp_path, "both.pt", {**OTHER, "model": plain, "ema": {"module": average}})
    target = network(seed=2)
    begin(FromWeights(source=path, key="ema"), target.state_dict())
    assert torch.equal(target.output.weight, average["output.weight"])
    with pytest.raises(ValueError, match=r"from_weights.key \(=emma\) .*both.pt. Available: optimizer, model, ema"):
        begin(FromWeights(source=path, key="emma"), target.state_dict())
    with pytest.raises(ValueError, match=r"key \(=ema\) requires a file"):
        FromWeights(source="net6", key="ema")


def test_a_file_that_does_not_fit_is_described(tmp_path):
    path = saved(tmp_path, "net.pt", {"hiden1.weight": torch.ones(5, 3), "z\x1b[2J": torch.ones(1)})
    with pytest.raises(
        NoEffect, match=r"network has hidden1.weight \(4, 3\); the file has hiden1.weight \(5, 3\)"
    ) as error:
        begin(FromWeights(source=path), network().state_dict())
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)
    with pytest.raises(NoEffect, match=r"No tensor of the network matches .*hidden1.weight"):
        begin(FromWeights(source=path, layers="conv*"), network().state_dict())
    path = saved(tmp_path, "steps.pt", {"step": 3, "weights": {"a": torch.ones(1)}})
    with pytest.raises(ValueError, match="but have the keys step, weights"):
        begin(FromWeights(source=path), network().state_dict())


def test_safetensors_is_an_extra(tmp_path, monkeypatch):
    path = saved(tmp_path, "net.safetensors", network().state_dict())
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ValueError, match=r"pip install 'ablate-runner\[safetensors\]'"):
        read_weights(path)


def test_a_damaged_file_of_safetensors(tmp_path):
    (tmp_path / "net.safetensors").write_bytes(b"no header")
    with pytest.raises(ValueError, match=r"net.safetensors\) cannot be read: ") as error:
        read_weights(tmp_path / "net.safetensors")
    assert "\n" not in str(error.value)


def test_it_looks_only_before_the_first_epoch(tmp_path):
    torch.save(network(seed=1).state_dict(), tmp_path / "net.pt")
    target, trick = network(seed=2), FromWeights(source=tmp_path / "net.pt")
    trick.bind(Context(SPEC, (0,), 1, 1))
    trick.between_epochs(1, target.state_dict(), None)
    assert not torch.equal(target.hidden1.weight, network(seed=1).hidden1.weight)


def freeze(**fields):
    trick = lookup("trick", "freeze").settings.model_validate(fields)
    trick.bind(Context(SPEC, (0,), 10, 1))
    return trick


def test_frozen_parameters_have_no_gradient_until_their_epoch():
    model, names = freeze_model(trick := freeze(layers="*", but=("output.*", "norm1.bias"), until="30%"))
    assert names == ["hidden1", "norm1"]
    free = {"output.weight", "output.bias", "norm1.bias"}
    for epoch in range(1, 5):
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert trained == (free if epoch <= 3 else {name for name, _ in model.named_parameters()})
        trick.on_epoch(epoch, {})


def freeze_model(trick):
    return trick.on_model(network())


def test_a_restored_freeze_is_where_it_was():
    first = freeze(layers="hidden1.*", until=2)
    model, _ = freeze_model(first)
    first.on_epoch(2, {})
    again = freeze(layers="hidden1.*", until=2)
    fresh, _ = freeze_model(again)
    assert not fresh.hidden1.weight.requires_grad
    again.restore(first.state())
    assert fresh.hidden1.weight.requires_grad
    assert model.hidden1.weight.requires_grad


def test_freezing_nothing_or_everything_is_refused():
    with pytest.raises(NoEffect, match=r"no parameter matches \[conv\*, pool\*\]"):
        freeze_model(freeze(layers=("conv*", "pool*")))
    with pytest.raises(NoEffect, match=r"'until' \(=0\) is less than one epoch"):
        freeze_model(freeze(layers="hidden1.*", until=0))
    with pytest.raises(ValueError, match="freezes all parameters"):
        freeze_model(freeze(layers="*"))

"""What happens around the optimizer's step, against loops by hand and torch's own tools in float64."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn

from ablate.data.dataset import Part, Parts, Spec
from ablate.engine.assembly import assemble
from ablate.engine.evaluation import evaluation_weights
from ablate.engine.step_closure import StepClosure
from ablate.engine.training import train, train_epoch, validate
from ablate.optimizers.steps.velocity_sgd import VelocitySGD
from ablate.optimizers.steps.vsgd import VSGD
from ablate.recipe.settings import Choice

EXACT = {"rtol": 1e-11, "atol": 1e-13}


@pytest.fixture
def assembled(settings, pictures, assign, make_choice):
    """An assembly in float64 with tricks by name, as a training begins."""

    def make(*tricks, data=None, seed=0, **fields):
        made = tuple(make_choice("trick", name, **options) for name, options in tricks)
        chosen = settings(precision="float64", tricks=made, **fields)
        for trick in made:
            chosen = trick.options.on_settings(chosen)
        assembly = assemble(assign(chosen, seed), data or pictures)
        assembly.between_epochs(0)
        return assembly

    return make


def batches(assembly, data, epoch):
    x, y = data.train.inputs.double(), data.train.targets
    for index in assembly.order(epoch).split(assembly.settings.batch_size):
        yield x[index], y[index]


def sgd(network, lr=0.05, momentum=0.9):
    return torch.optim.SGD(network.parameters(), lr=lr, momentum=momentum)


def descend(network, optimizer, x, y):
    loss = cross_entropy(network(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def assert_equal(ours, theirs, **tolerance):
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.detach(), other.detach(), **(tolerance or EXACT))


# accumulate


@pytest.mark.parametrize(("small", "together"), [(4, 4), (6, 3), (3, 5)], ids=["even", "short batch", "short group"])
def test_small_batches_together_are_one_large_one(assembled, make_choice, small, together):
    """40 samples: the last group is smaller than the others, and in the last case its last batch is too."""
    optimizer = make_choice("optimizer", "sgd", lr={"linear": [0.1, 0.01]}, momentum=0.9)
    few = assembled(("accumulate", {"batches": together}), batch_size=small, optimizer=optimizer)
    large = assembled(batch_size=small * together, optimizer=optimizer)
    assert few.facts.steps_per_epoch == large.facts.steps_per_epoch == 3
    for epoch in (1, 2, 3):
        assert train_epoch(few, epoch).item() == pytest.approx(train_epoch(large, epoch).item(), rel=1e-12)
        assert few.optimizer.param_groups[0]["lr"] == large.optimizer.param_groups[0]["lr"]
    assert_equal(few.network.parameters(), large.network.parameters())


def test_batches_count_by_their_known_targets(assembled, make_choice):
    draw = torch.Generator().manual_seed(3)
    inputs, targets = torch.rand(30, 1, 8, 8, generator=draw), torch.rand(30, 4, generator=draw)
    targets[torch.rand(30, 4, generator=draw) < 0.6] = math.nan
    targets[:5] = math.nan
    part = Part(inputs, targets)
    data, fields = Parts(part, part, Spec((1, 8, 8), 4, "regression")), {"loss": make_choice("loss", "mse")}
    few = assembled(("accumulate", {"batches": 3}), data=data, batch_size=5, shuffle=False, **fields)
    large = assembled(data=data, batch_size=15, shuffle=False, **fields)
    for epoch in (1, 2):
        assert train_epoch(few, epoch).item() == pytest.approx(train_epoch(large, epoch).item(), rel=1e-12)
    assert_equal(few.network.parameters(), large.network.parameters())


# averages


def test_ema_is_the_formula_and_torchs_own(assembled, pictures):
    assembly = assembled(("ema", {"decay": 0.8}))
    twin = copy.deepcopy(assembly.network)
    averaged, optimizer = AveragedModel(twin, multi_avg_fn=get_ema_multi_avg_fn(0.8)), sgd(twin)
    by_hand = None
    for epoch in (1, 2):
        train_epoch(assembly, epoch)
        for x, y in batches(assembly, pictures, epoch):
            descend(twin, optimizer, x, y)
            averaged.update_parameters(twin)
            now = [p.detach().clone() for p in twin.parameters()]
            by_hand = now if by_hand is None else [0.8 * a + 0.2 * w for a, w in zip(by_hand, now, strict=True)]
    ours = list(assembly.tricks[0].evaluation_weights().values())
    assert_equal(ours, averaged.module.parameters())
    assert_equal(ours, by_hand)
    assert_equal(assembly.network.parameters(), twin.parameters())


def test_ema_warms_up_starts_late_and_skips_steps(assembled, pictures):
    assembly = assembled(("ema", {"decay": 0.9, "warmup": True, "start": 1, "every": 2}), epochs=4)
    twin = copy.deepcopy(assembly.network)
    optimizer, by_hand, step, count = sgd(twin), None, 0, 0
    for epoch in (1, 2, 3):
        train_epoch(assembly, epoch)
        if epoch == 1:
            assert assembly.tricks[0].evaluation_weights() is None
        for x, y in batches(assembly, pictures, epoch):
            descend(twin, optimizer, x, y)
            step += 1
            if step > 3 and step % 2 == 0:
                decay = min(0.9, (1 + count) / (10 + count))
                now = [p.detach().clone() for p in twin.parameters()]
                by_hand = [decay * a + (1 - decay) * w for a, w in zip(by_hand, now, strict=True)] if by_hand else now
                count += 1
    assert_equal(assembly.tricks[0].evaluation_weights().values(), by_hand)


def test_swa_is_torchs_with_the_statistics_of_its_update_bn(assembled, make_choice, pictures, report, assign):
    """Weights that a row is judged by and that are kept, batch norm's statistics with them."""
    model = make_choice("model", "convnet", channels=[4], kernels=[3], hidden=[16], batch_norm=True)
    fields = {"model": model, "epochs": 5, "batch_size": 20}
    assembly = assembled(("swa", {"start": 2}), **fields)
    twin = copy.deepcopy(assembly.network)
    averaged, optimizer = AveragedModel(twin), sgd(twin)
    for epoch in range(1, 6):
        twin.train()
        for x, y in batches(assembly, pictures, epoch):
            descend(twin, optimizer, x, y)
        if epoch > 2:
            averaged.update_parameters(twin)
    update_bn([pictures.train.inputs.double()], averaged)
    averaged.eval()
    expected = cross_entropy(averaged(pictures.valid.inputs.double()), pictures.valid.targets).item()
    train(assign(assembly.settings), pictures, report)
    assert report.lines[-1]["valid_loss"] == pytest.approx(expected, rel=1e-11)
    state = averaged.module.state_dict()
    for name, value in report.kept["last"].items():
        if "num_batches" not in name:
            torch.testing.assert_close(value, state[name], **EXACT)


def test_the_live_network_goes_on_as_if_nobody_had_averaged(assembled, make_choice):
    model = make_choice("model", "convnet", channels=[4], kernels=[3], hidden=[16], batch_norm=True)
    plain, judged = assembled(model=model), assembled(("ema", {"decay": 0.5}), model=model)
    values = []
    for epoch in (1, 2):
        for assembly in (plain, judged):
            train_epoch(assembly, epoch)
            with evaluation_weights(assembly):
                values.append(validate(assembly)["valid_loss"].item())
    assert values[-1] != values[-2]
    for name, value in plain.network.state_dict().items():
        assert torch.equal(value, judged.network.state_dict()[name]), name


def test_swa_anneals_the_rate_as_torch_does(assembled):
    assembly = assembled(("swa", {"start": 2, "lr": 0.002, "anneal": 3}), epochs=8)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.05)
    scheduler = SWALR(optimizer, swa_lr=0.002, anneal_epochs=3)
    expected = [0.05, 0.05]
    while len(expected) < 8:
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    rates = []
    for epoch in range(1, 9):
        train_epoch(assembly, epoch)
        rates.append(assembly.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx(expected, rel=1e-12)


def test_lookahead_is_a_loop_by_hand(assembled, pictures):
    assembly = assembled(("lookahead", {"steps": 2, "alpha": 0.3}))
    twin = copy.deepcopy(assembly.network)
    slow, optimizer, step = [p.detach().clone() for p in twin.parameters()], sgd(twin), 0
    for epoch in (1, 2, 3):
        train_epoch(assembly, epoch)
        for x, y in batches(assembly, pictures, epoch):
            descend(twin, optimizer, x, y)
            step += 1
            if step % 2 == 0:
                slow = [s + 0.3 * (p.detach() - s) for s, p in zip(slow, twin.parameters(), strict=True)]
                with torch.no_grad():
                    for p, s in zip(twin.parameters(), slow, strict=True):
                        p.copy_(s)
    assert_equal(assembly.network.parameters(), twin.parameters())
    assert_equal(assembly.tricks[0].evaluation_weights().values(), slow)
    # nine steps: the fast weights are one ahead of the slow ones
    assert not torch.equal(next(twin.parameters()), slow[0])


def test_one_average_at_a_time(assembled):
    with pytest.raises(ValueError, match=r"tricks \(=ema, swa\) cannot be combined"):
        assembled(("ema", {}), ("swa", {"start": 1}))


# sharpness-aware minimisation, passes


@pytest.mark.parametrize("adaptive", [False, True])
def test_sam_is_two_passes_by_hand(assembled, pictures, adaptive):
    assembly = assembled(("sam", {"rho": 0.2, "adaptive": adaptive}))
    twin = copy.deepcopy(assembly.network)
    optimizer = sgd(twin)
    for epoch in (1, 2):
        first = 0.0
        ours = train_epoch(assembly, epoch).item()
        for x, y in batches(assembly, pictures, epoch):
            twin.zero_grad()
            loss = cross_entropy(twin(x), y)
            loss.backward()
            first += loss.item() * len(x)
            old = [p.detach().clone() for p in twin.parameters()]
            size = [p.abs() if adaptive else torch.ones_like(p) for p in old]
            length = sum(((s * p.grad) ** 2).sum() for s, p in zip(size, twin.parameters(), strict=True)) ** 0.5
            with torch.no_grad():
                for s, p in zip(size, twin.parameters(), strict=True):
                    p += 0.2 * s**2 * p.grad / (length + 1e-12)
            twin.zero_grad()
            cross_entropy(twin(x), y).backward()
            with torch.no_grad():
                for p, o in zip(twin.parameters(), old, strict=True):
                    p.copy_(o)
            optimizer.step()
        assert ours == pytest.approx(first / 40, rel=1e-12)
    assert_equal(assembly.network.parameters(), twin.parameters())


def test_a_further_pass_has_the_same_noise_and_leaves_no_trace(assembled, make_choice):
    model = make_choice("model", "convnet", channels=[4], kernels=[3], hidden=[16], batch_norm=True)
    assembly = assembled(("dropout", {"conv": 0.3, "hidden": 0.5}), ("sam", {}), model=model)
    passes = StepClosure(assembly)
    passes.on_pass = []
    assembly.begin_epoch(1)
    assembly.replicas.train()
    passes.begin([_batch(assembly, range(10)), _batch(assembly, range(10, 16))])
    loss = passes.closure()
    gradients = [p.grad.clone() for p in assembly.network.parameters()]
    state = {name: value.clone() for name, value in assembly.network.state_dict().items()}
    generators = [g.get_state() for noise in assembly.streams.values() for g in noise.generators]

    assert torch.equal(passes(), loss)
    assert all(torch.equal(a, p.grad) for a, p in zip(gradients, assembly.network.parameters(), strict=True))
    assert passes.samples == 16
    assert not torch.equal(passes(slice(4, 12)), loss)
    assert all(torch.equal(value, assembly.network.state_dict()[name]) for name, value in state.items())
    after = [g.get_state() for noise in assembly.streams.values() for g in noise.generators]
    assert all(map(torch.equal, generators, after))


def _batch(assembly, rows):
    from ablate.data.dataset import Batch

    [(x, y)] = assembly.train.with_batch_size(len(rows)).batches(torch.tensor(list(rows)))
    return Batch(x, y, y, assembly.spec)


def test_part_of_a_step_is_cut_through_its_batches(assembled):
    assembly = assembled(("sam", {}))
    passes = StepClosure(assembly)
    passes.on_pass = []
    assembly.begin_epoch(1)
    passes.begin([_batch(assembly, range(6)), _batch(assembly, range(6, 10))])
    passes.closure()
    passes(slice(4, 9))
    ours = [p.grad.clone() for p in assembly.network.parameters()]
    assembly.network.zero_grad()
    rows = _batch(assembly, range(4, 9))
    cross_entropy(assembly.network(rows.inputs), rows.targets).backward()
    assert_equal(ours, [p.grad for p in assembly.network.parameters()])


# closures


def test_vsgd_gets_its_second_gradient(assembled, make_choice, pictures):
    vsgd = make_choice("optimizer", "vsgd", curvature="finite_difference", window=2)
    assembly = assembled(optimizer=vsgd)
    twin = copy.deepcopy(assembly.network)
    optimizer = VSGD(twin.parameters(), window=2)
    for epoch in (1, 2, 3):
        train_epoch(assembly, epoch)
        for x, y in batches(assembly, pictures, epoch):

            def closure(x=x, y=y):
                optimizer.zero_grad()
                loss = cross_entropy(twin(x), y)
                loss.backward()
                return loss

            optimizer.step(closure)
    assert_equal(assembly.network.parameters(), twin.parameters())
    untouched = assembled(optimizer=vsgd).network
    assert not torch.equal(next(twin.parameters()), next(untouched.parameters()))


def test_an_optimizer_that_needs_a_closure_gets_one(assembled, pictures):
    lbfgs = {"lr": 0.1, "max_iter": 3}
    assembly = assembled(optimizer=Choice("optimizer", None, "torch.optim:LBFGS", lbfgs), batch_size=40)
    twin = copy.deepcopy(assembly.network)
    optimizer = torch.optim.LBFGS(twin.parameters(), **lbfgs)
    [(x, y)] = batches(assembly, pictures, 1)
    losses = []

    def closure():
        optimizer.zero_grad()
        loss = cross_entropy(twin(x), y)
        loss.backward()
        losses.append(loss.item())
        return loss

    ours = train_epoch(assembly, 1).item()
    optimizer.step(closure)
    # the loss of the step is that of its first pass
    assert ours == pytest.approx(losses[0], rel=1e-12)
    assert_equal(assembly.network.parameters(), twin.parameters(), rtol=1e-8, atol=1e-10)


# the rate


def test_plateau_lowers_the_rate_that_the_optimizer_steps_with(settings, make_choice, assign, pictures, report):
    """A rate that spoils the network; the schedule goes on below the factor."""
    plateau = make_choice("trick", "plateau", factor=0.5, patience=0, threshold=0.5)
    optimizer = make_choice("optimizer", "sgd", lr={"linear": [0.4, 0.1], "per": "epoch"}, momentum=0.0)
    train(assign(settings(optimizer=optimizer, tricks=(plateau,), epochs=6, precision="float64")), pictures, report)
    losses = [line["valid_loss"] for line in report.lines]
    scheduler_like, best, factors = 1.0, math.inf, []
    for loss in losses:
        factors.append(scheduler_like)
        if loss < best * 0.5:
            best = loss
        else:
            scheduler_like *= 0.5
    assert factors[-1] < 0.2
    expected = [(0.4 - 0.06 * epoch) * factor for epoch, factor in enumerate(factors)]
    assert [line["lr"] for line in report.lines] == pytest.approx(expected, rel=1e-12)


def test_restart_sets_the_rate_from_then_on(settings, make_choice, assign, pictures, report):
    restart = make_choice("trick", "restart", at=5, from_epoch=2, lr=0.004)
    train(assign(settings(tricks=(restart,), epochs=7)), pictures, report)
    assert [line["lr"] for line in report.lines] == [0.05] * 5 + [0.004] * 2


def test_weights_and_momentum_after_a_restart_are_those_of_then(assembled, make_choice):
    model = make_choice("model", "convnet", channels=[4], kernels=[3], hidden=[16], batch_norm=True)
    assembly = assembled(("restart", {"at": 4, "from_epoch": 2, "factor": 0.1}), epochs=6, model=model)
    for epoch in range(1, 5):
        train_epoch(assembly, epoch)
        if epoch == 2:
            then = copy.deepcopy(assembly.network.state_dict())
            momentum = copy.deepcopy(assembly.optimizer.state_dict()["state"])
        live = copy.deepcopy(assembly.network.state_dict())
        assembly.between_epochs(epoch)
    assert not torch.equal(live["output.weight"], then["output.weight"])
    assert all(torch.equal(value, then[name]) for name, value in assembly.network.state_dict().items())
    for key, values in assembly.optimizer.state_dict()["state"].items():
        assert torch.equal(values["momentum_buffer"], momentum[key]["momentum_buffer"])
    train_epoch(assembly, 5)
    assert assembly.optimizer.param_groups[0]["lr"] == pytest.approx(0.005)
    assert not torch.equal(assembly.network.state_dict()["output.weight"], then["output.weight"])


def test_a_fresh_start_from_the_initial_values(assembled):
    assembly = assembled(("restart", {"at": 2, "from_epoch": 0, "optimizer": "fresh"}), epochs=6)
    initial = copy.deepcopy(assembly.network.state_dict())
    for epoch in (1, 2):
        train_epoch(assembly, epoch)
        assembly.between_epochs(epoch)
    assert all(torch.equal(value, initial[name]) for name, value in assembly.network.state_dict().items())
    assert assembly.optimizer.state_dict()["state"] == {}


# noise scale


def test_noise_scale_is_that_of_a_loop_by_hand_and_changes_nothing(settings, make_choice, assign, pictures):
    def with_watch(*watch):
        model = make_choice("model", "convnet", channels=[4], kernels=[3], hidden=[16], batch_norm=True)
        dropout = make_choice("trick", "dropout", hidden=0.5)
        chosen = settings(precision="float64", model=model, tricks=(dropout,), watch=watch)
        return assemble(assign(chosen), pictures)

    plain, watched = with_watch(), with_watch(make_choice("watch", "noise_scale", every=1))
    for epoch in (1, 2):
        assert torch.equal(train_epoch(plain, epoch), train_epoch(watched, epoch))
    assert all(torch.equal(v, watched.network.state_dict()[n]) for n, v in plain.network.state_dict().items())

    watch = make_choice("watch", "noise_scale", every=2, memory=0.5)
    assembly = assemble(assign(settings(precision="float64", watch=(watch,))), pictures)
    twin = copy.deepcopy(assembly.network)
    optimizer, signal, noise = sgd(twin), None, None
    train_epoch(assembly, 1)
    for step, (x, y) in enumerate(batches(assembly, pictures, 1)):
        if step % 2 == 0:
            halves, n = [], len(x) // 2
            for rows in (slice(0, n), slice(n, 2 * n)):
                loss = cross_entropy(twin(x[rows]), y[rows])
                halves.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(twin.parameters()))]))
            # the paper's estimate from batches of n and of 2n samples
            small = (halves[0].square().sum() + halves[1].square().sum()) / 2
            big = ((halves[0] + halves[1]) / 2).square().sum()
            now = (2 * n * big - n * small) / n, (small - big) / (1 / n - 1 / (2 * n))
            signal = now[0] if signal is None else (signal + now[0]) / 2
            noise = now[1] if noise is None else (noise + now[1]) / 2
        descend(twin, optimizer, x, y)
    found = assembly.tracked.state()["noise_scale"]
    assert found["noise"].item() == pytest.approx(noise.item(), rel=1e-9)
    assert found["signal"].item() == pytest.approx(signal.item(), rel=1e-9)
    # there is no scale where noise hides the gradient
    assert signal < 0
    assert math.isnan(assembly.tracked.numbers(1, {})["noise_scale"][0])
    assert_equal(assembly.network.parameters(), twin.parameters())


def test_noise_scale_finds_the_noise_and_the_gradient_of_a_known_distribution(make_choice):
    """Samples' gradients are N(G, Σ) with tr(Σ) = 60 and |G|² = 5, in two seeds of unlike scale."""
    from ablate.tricks.trick import Context

    watch = make_choice("watch", "noise_scale", every=1, memory=0.999).options
    watch.bind(Context(Spec((3,), 1, "regression"), (0, 1), 1, 1), 100)
    draw, weight = torch.Generator().manual_seed(0), torch.zeros(2, 3, requires_grad=True)
    mean = torch.tensor([[1.0, 2.0, 0.0], [10.0, 20.0, 0.0]])
    spread = torch.tensor([[4.0, 2.0, 40**0.5], [20.0, 0.0, 0.0]])

    class Sampled:
        samples = 8

        def __call__(self, part=None):
            rows = torch.randn(2, 4, 3, generator=draw) * spread.unsqueeze(1) + mean.unsqueeze(1)
            weight.grad = rows.mean(dim=1)
            return weight.sum()

    weight.grad = kept = torch.ones(2, 3)
    for _ in range(3000):
        watch.on_pass(Sampled(), {"w": weight})
        watch.on_weights({"w": weight})
    assert weight.grad is kept
    found = watch.on_epoch(1, {})["noise_scale"]
    assert found[0].item() == pytest.approx(60 / 5, rel=0.15)
    assert found[1].item() == pytest.approx(400 / 500, rel=0.15)


# what does not go together


def test_a_plateau_moves_the_rate_inside_the_velocity(assembled, make_choice):
    optimizer = make_choice("optimizer", "sgd", lr=0.05, momentum=0.9, rate_in_velocity=True)
    assert isinstance(assembled(optimizer=optimizer).optimizer, torch.optim.SGD)
    assert type(assembled(("plateau", {}), optimizer=optimizer).optimizer) is VelocitySGD


def test_a_search_by_the_loss_takes_its_own_gradients(assembled):
    lbfgs = Choice("optimizer", None, "torch.optim:LBFGS", {})
    with pytest.raises(ValueError, match=r"trick \(=sam\) .*optimizer \(=LBFGS\)"):
        assembled(("sam", {}), optimizer=lbfgs)


# what the record says of an average


@pytest.mark.parametrize(
    ("options", "share"),
    [
        ({}, 0.99),
        ({"decay": 0.5}, None),
        ({"warmup": True}, None),
        ({"decay": 0.9, "start": 2}, 0.81),
    ],
)
def test_an_average_that_never_gets_going_is_said(assembled, options, share):
    """40 samples in batches of 16, 3 epochs: 9 steps."""
    [*notes] = assembled(("ema", options)).tricks[0].notes()
    assert [round(note.values["share"], 2) for note in notes] == ([share] if share else [])

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ablate.data import loaders, resident
from ablate.data.dataset import Part
from ablate.data.loaders import Loader, ResidentLoader, StreamedLoader, loader_for
from ablate.data.samples import Samples


def bytes_part(n: int = 50) -> Part:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (n, 1, 4, 4), dtype=torch.uint8, generator=generator)
    return Part(inputs, torch.randn(n, 3, generator=generator))


def floats_part(n: int = 50) -> Part:
    return Part(torch.randn(n, 5, generator=torch.Generator().manual_seed(1)), torch.arange(n) % 7)


def dataset_part(part: Part) -> Part:
    assert part.inputs is not None
    assert part.targets is not None
    pairs: Any = list(zip(part.inputs, part.targets, strict=True))
    return Part(dataset=Samples(pairs, "test"))  # type: ignore[arg-type]


def batches(loader: Loader, order: Tensor | None) -> list[tuple[Tensor, Tensor]]:
    return [(inputs.clone(), targets.clone()) for inputs, targets in loader.batches(order)]


def assert_equal(found: list[tuple[Tensor, Tensor]], expected: list[tuple[Tensor, Tensor]]) -> None:
    assert len(found) == len(expected)
    for (x, y), (a, b) in zip(found, expected, strict=True):
        assert x.dtype == a.dtype
        assert y.dtype == b.dtype
        assert torch.equal(x, a)
        assert torch.equal(y, b)


def by_hand(part: Part, order: Tensor, size: int, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    assert part.inputs is not None
    assert part.targets is not None
    expected = []
    for index in order.split(size, dim=-1):
        x, y = part.inputs[index], part.targets[index]
        x = x.to(dtype) / 255 if x.dtype == torch.uint8 else x.to(dtype)
        expected.append((x, y.to(dtype) if y.is_floating_point() else y))
    return expected


CASES = [
    (part, dtype, size, 0)
    for part in (bytes_part(), floats_part())
    for dtype in (torch.float32, torch.float64)
    for size in (1, 8, 25, 64)
]


# processes are slow to start: one case with them is enough
@pytest.mark.parametrize(("part", "dtype", "size", "workers"), [*CASES, (bytes_part(), torch.float32, 8, 1)])
def test_resident_and_streamed_give_the_same_batches_in_the_same_order(
    part: Part, dtype: torch.dtype, size: int, workers: int
):
    order = torch.randperm(50, generator=torch.Generator().manual_seed(2))
    expected = by_hand(part, order, size, dtype)
    known: list[Loader] = [
        ResidentLoader(part, size, dtype=dtype),
        StreamedLoader(part, size, dtype=dtype, workers=workers),
        StreamedLoader(dataset_part(part), size, dtype=dtype, workers=workers),
    ]
    for loader in known:
        assert len(loader) == 50
        assert loader.steps == len(expected)
        assert_equal(batches(loader, order), expected)
        assert_equal(batches(loader, order.flip(0)), by_hand(part, order.flip(0), size, dtype))
        assert_equal(batches(loader, None), by_hand(part, torch.arange(50), size, dtype))


def test_a_stack_gets_every_replicas_own_order():
    part = bytes_part()
    orders = torch.stack([torch.randperm(50) for _ in range(3)])
    expected = by_hand(part, orders, 8, torch.float32)
    assert expected[-1][0].shape == (3, 2, 1, 4, 4)
    for loader in (ResidentLoader(part, 8), StreamedLoader(part, 8), StreamedLoader(dataset_part(part), 8)):
        assert_equal(batches(loader, orders), expected)


@pytest.mark.parametrize("span", [1, 700, 2**20])
def test_how_many_batches_are_gathered_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch, span: int):
    monkeypatch.setattr(resident, "SPAN", span)
    part, order = bytes_part(), torch.randperm(50)
    for loader in (ResidentLoader(part, 8), StreamedLoader(part, 8)):
        assert_equal(batches(loader, order), by_hand(part, order, 8, torch.float32))


def test_an_order_may_be_shorter_or_longer_than_the_part():
    part = floats_part()
    for order in (torch.tensor([3, 1]), torch.randint(0, 50, (120,))):
        for loader in (ResidentLoader(part, 16), StreamedLoader(part, 16)):
            assert_equal(batches(loader, order), by_hand(part, order, 16, torch.float32))


def test_batches_of_an_order_may_be_written_to_and_the_data_stays():
    part = floats_part()
    assert part.inputs is not None
    before = part.inputs.clone()
    for inputs, _ in ResidentLoader(part, 8).batches(torch.randperm(50)):
        inputs.zero_()
    assert torch.equal(part.inputs, before)


def test_data_in_place_is_not_copied():
    part = floats_part()
    loader = ResidentLoader(part, 8)
    assert part.inputs is not None
    assert loader.inputs.data_ptr() == part.inputs.data_ptr()
    wide = loader.with_batch_size(50)
    assert wide.inputs is loader.inputs
    assert (wide.steps, loader.steps) == (1, 7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_small_bytes_are_floats_on_a_cpu_and_the_batches_are_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
):
    """All 256 values, so that no rounding can hide; what is large, or has no room, stays bytes."""
    every = torch.arange(256, dtype=torch.uint8).repeat(3).view(48, 1, 4, 4)
    part, order = Part(every, torch.zeros(48)), torch.randperm(48)
    small = ResidentLoader(part, 8, dtype=dtype)
    assert small.inputs.dtype == dtype
    monkeypatch.setattr(resident, "AS_FLOATS", 768 * dtype.itemsize - 1)
    large = ResidentLoader(part, 8, dtype=dtype)
    monkeypatch.undo()
    monkeypatch.setattr(resident, "free_bytes", lambda device: 768 * dtype.itemsize * 8 - 1)
    crowded = ResidentLoader(part, 8, dtype=dtype)
    for loader in (large, crowded):
        assert loader.inputs.dtype == torch.uint8
        assert loader.inputs.data_ptr() == every.data_ptr()
        for how in (order, None):
            assert_equal(batches(small, how), batches(loader, how))


def test_tokens_stay_whole_numbers():
    part = Part(torch.arange(12).view(6, 2), torch.zeros(6, dtype=torch.long))
    for loader in (ResidentLoader(part, 4), StreamedLoader(part, 4)):
        assert next(iter(loader.batches()))[0].dtype == torch.int64


class Noisy:
    """Samples that draw from all three global generators, a different number of times each."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        own = [float(torch.rand(index + 1)[-1]), np.random.rand(), random.random()]
        return torch.tensor(own), torch.tensor(index)


def noisy(workers: int = 0, size: int = 4) -> StreamedLoader:
    return StreamedLoader(Part(dataset=Noisy()), size, workers=workers)  # type: ignore[arg-type]


def states() -> tuple[Any, ...]:
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]


def drawn(loader: StreamedLoader, order: Tensor, *seeds: int) -> Tensor:
    """The random inputs of a pass, (n, 3), in a stack (R, n, 3)."""
    loader.begin(seeds, 1)
    return torch.cat([inputs for inputs, _ in loader.batches(order)], dim=order.dim() - 1)


def test_what_a_dataset_draws_depends_on_seed_epoch_and_place_only():
    order = torch.randperm(6)
    before = states()
    here = drawn(noisy(), order, 17)
    assert states() == before, "nobody else's random numbers are used"
    assert len(here.unique()) == here.numel(), "all samples and generators draw their own"
    torch.manual_seed(99)
    torch.rand(5)
    assert torch.equal(drawn(noisy(), order, 17), here), "whatever has been drawn before"
    assert torch.equal(drawn(noisy(workers=2), order, 17), here), "whichever process draws"
    assert torch.equal(drawn(noisy(size=5), order, 17), here), "in batches of any size"
    other = drawn(noisy(), order, 18)
    assert not (other == here).any(), "another seed or epoch draws anew, also where the order is the same"


def test_a_dataset_that_draws_late_or_seldom_is_keyed_all_the_same():
    """Python's generator is seeded sample by sample only once it is seen to be used."""

    class Seldom(Noisy):
        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            return torch.tensor(random.random() if index in (3, 4) else 0.0), torch.tensor(index)

    def values(order: list[int], size: int) -> dict[int, float]:
        loader = StreamedLoader(Part(dataset=Seldom()), size)  # type: ignore[arg-type]
        loader.begin([9], 1)
        read = [
            pair for x, y in loader.batches(torch.tensor(order)) for pair in zip(y.tolist(), x.tolist(), strict=True)
        ]
        return dict(read)

    order = [0, 1, 2, 3, 5, 4]
    once = values(order, 2)
    assert once == values(order, 3) == values(order, 6)
    assert 0 < once[3] != once[4] > 0


def test_a_seed_of_a_stack_draws_what_it_draws_alone():
    orders = torch.stack([torch.randperm(6) for _ in range(3)])
    together = drawn(noisy(), orders, 5, 6, 7)
    for i, key in enumerate((5, 6, 7)):
        assert torch.equal(together[i], drawn(noisy(), orders[i], key))


def test_without_keys_every_pass_draws_the_same():
    loader = noisy()
    once, again = ([x for x, _ in loader.batches()] for _ in range(2))
    assert torch.equal(torch.cat(once), torch.cat(again))


def test_auto_is_resident_where_it_fits(monkeypatch: pytest.MonkeyPatch):
    part = floats_part()
    assert isinstance(loader_for(part, "auto", 8), ResidentLoader)
    assert isinstance(loader_for(part, "streamed", 8), StreamedLoader)
    assert isinstance(loader_for(dataset_part(part), "auto", 8), StreamedLoader)
    monkeypatch.setattr(loaders, "free_bytes", lambda device: 100)
    assert isinstance(loader_for(part, "auto", 8), ResidentLoader), "what is in place already costs nothing"
    assert isinstance(loader_for(part, "auto", 8, dtype=torch.float64), StreamedLoader)
    assert isinstance(loader_for(part, "resident", 8, dtype=torch.float64), ResidentLoader)
    with pytest.raises(ValueError, match=r"^loader \(=resident\) requires deterministic samples"):
        loader_for(dataset_part(part), "resident", 8)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_both_give_the_same_batches_too():
    part, order = bytes_part(), torch.randperm(50)
    resident, streamed = (loader_for(part, mode, 8, "cuda", workers=1) for mode in ("resident", "streamed"))
    for (x, y), (a, b) in zip(resident.batches(order), streamed.batches(order), strict=True):
        assert x.is_cuda
        assert torch.equal(x, a)
        assert torch.equal(y, b)

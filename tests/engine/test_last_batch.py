"""A last batch of one sample, with which batch norm can do nothing, is refused before an epoch is trained up to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ablate.engine.assembly import assemble


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

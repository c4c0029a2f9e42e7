"""Tricks that only these recipes need: training parts as the claims have them, while the validation stays the same."""

from __future__ import annotations

from dataclasses import replace

import torch

from ablate import Trick


class Sorted(Trick):
    """Shows the training samples class by class, in every epoch in the same order. Beside ``shuffle: false`` or not: it makes the order itself."""

    stacked = True

    def on_order(self, order, targets, noise):
        return torch.argsort(targets.cpu(), stable=True)


class OnlyComplete(Trick):
    """Drops the training samples that lack a target."""

    stacked = True

    def on_data(self, data):
        part = data.train
        kept = torch.nonzero(~part.targets.isnan().any(dim=1)).flatten()
        fields = {name: getattr(part, name) for name in ("inputs", "targets", "rows", "groups")}
        return data.with_train(replace(part, **{n: None if v is None else v[kept] for n, v in fields.items()}))


class Embeddings(Trick):
    """Multiplies the initial embeddings by ``times``; all other values, and the draws of these, stay."""

    stacked = True

    times: float = 1.0

    def on_model(self, model):
        names = [name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Embedding)]
        with torch.no_grad():
            for name in names:
                model.get_submodule(name).weight.mul_(self.times)
        return model, names


class Outliers(Trick):
    """Adds ``size`` to a share of the training targets, half of them with a minus: numbers as from a slipped decimal point.

    After `normalise_targets`, whose means they would shift: the size counts deviations.
    """

    stacked = True
    order = 30

    share: float = 0.1
    size: float = 10.0

    def on_data(self, data):
        targets = data.train.targets.clone()
        generator = torch.Generator().manual_seed(42)
        chosen = torch.randperm(len(targets), generator=generator)[: round(self.share * len(targets))]
        signs = torch.ones(len(chosen)).index_fill(0, torch.arange(0, len(chosen), 2), -1.0)
        targets[chosen] += self.size * signs.reshape(-1, *[1] * (targets.dim() - 1))
        return data.with_train(replace(data.train, targets=targets))

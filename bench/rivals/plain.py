"""The loop of a thousand tutorials: a `DataLoader`, ``loss.item()``, one run after another, with torch's usual threads."""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader

from ablate.engine.device import autocast
from bench.rivals.work import Work, compete


def train(work: Work, seed: int) -> float:
    torch.manual_seed(seed)
    device, loss_of, settings = work.device, work.loss, work.settings
    network = work.network(seed).to(device)
    optimizer = work.optimizer(network.parameters())
    train_loader = DataLoader(work.train, batch_size=settings.batch_size, shuffle=True)
    valid_loader = DataLoader(work.valid, batch_size=settings.batch_size)
    valid = 0.0
    for epoch in range(1, settings.epochs + 1):
        for group in optimizer.param_groups:
            group.update(work.rates(epoch))
        network.train()
        total = 0.0
        for x, y in train_loader:
            x, y = x.to(device), y.to(device)
            optimizer.zero_grad()
            with autocast(device, settings.precision):
                loss = loss_of(network(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        network.eval()
        wrong, right, count = 0.0, 0, 0
        with torch.no_grad():
            for x, y in valid_loader:
                x, y = x.to(device), y.to(device)
                with autocast(device, settings.precision):
                    prediction = network(x)
                    wrong += loss_of(prediction, y).item() * len(x)
                right += int((prediction.argmax(1) == y).sum()) if y.dim() == 1 else 0
                count += len(x)
        valid = wrong / count
    return valid


if __name__ == "__main__":
    compete(train)

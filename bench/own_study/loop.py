"""The loop of a thousand tutorials: ``python loop.py MODULE SEEDS EPOCHS`` trains the seeds one after another."""

import sys
import time
from importlib import import_module

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

torch.set_num_threads(2)
module, seeds, epochs = import_module(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
train, valid = module.load()
began = time.perf_counter()
for seed in range(seeds):
    torch.manual_seed(seed)
    network = module.Net()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    train_loader, valid_loader = DataLoader(train, batch_size=64, shuffle=True), DataLoader(valid, batch_size=64)
    for epoch in range(epochs):
        network.train()
        total = 0.0
        for x, y in train_loader:
            loss = cross_entropy(network(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        network.eval()
        wrong, right = 0.0, 0
        with torch.no_grad():
            for x, y in valid_loader:
                prediction = network(x)
                wrong += cross_entropy(prediction, y).item() * len(x)
                right += (prediction.argmax(1) == y).sum().item()
        seconds = time.perf_counter() - began
        print(seed, epoch, total / len(train), wrong / len(valid), right / len(valid), seconds)

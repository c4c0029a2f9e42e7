"""A small convnet with batch norm, and 2,500 images of 32×32 pixels with 10 classes (500 more for validation)."""

import torch
from torch import nn
from torch.utils.data import TensorDataset


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 64, 10),
        )


def load():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(10, (3000,), generator=generator)
    patterns = torch.randn(10, 3, 32, 32, generator=generator)
    inputs = patterns[targets] + 2 * torch.randn(3000, 3, 32, 32, generator=generator)
    return TensorDataset(inputs[:2500], targets[:2500]), TensorDataset(inputs[2500:], targets[2500:])

"""An MLP of 784-128-128-10, and 8,000 samples with 10 classes (1,000 more for validation)."""

import torch
from torch import nn
from torch.utils.data import TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden1, self.hidden2, self.output = nn.Linear(784, 128), nn.Linear(128, 128), nn.Linear(128, 10)

    def forward(self, x):
        return self.output(torch.relu(self.hidden2(torch.relu(self.hidden1(x)))))


def load():
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(10, (9000,), generator=generator)
    patterns = torch.randn(10, 784, generator=generator)
    inputs = (patterns[targets] + 8 * torch.randn(9000, 784, generator=generator)) / 65**0.5
    return TensorDataset(inputs[:8000], targets[:8000]), TensorDataset(inputs[8000:], targets[8000:])

"""A small MLP for scikit-learn's digits: 1,400 training samples (397 for validation)."""

import time

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.output = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x):
        return self.output(torch.relu(self.hidden(x)))


def load(wait=0.0):
    time.sleep(wait)  # such as a download, or pictures that are decoded
    digits = load_digits()
    inputs, targets = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    return TensorDataset(inputs[:1400], targets[:1400]), TensorDataset(inputs[1400:], targets[1400:])

"""Networks, data, losses and optimizers with one fault each, for `test_faults.py`."""

from __future__ import annotations

import torch
from sklearn import datasets
from torch import nn
from torch.nn import functional as F

from ablate.data.data import Data
from ablate.data.dataset import Part, Parts, Spec


def digits(*, shuffle: bool = True):
    """Images (n, 1, 8, 8) from 0 to 1 and classes, split into 1,297 and 500."""
    images, classes = datasets.load_digits(return_X_y=True)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    x, y = torch.from_numpy(images).float().view(-1, 1, 8, 8)[order] / 16, torch.from_numpy(classes).long()[order]
    return (x[500:], y[500:]), (x[:500], y[:500])


# data


def off_by_one():
    (x, y), valid = digits()
    return (x, (y + 1) % 10), valid


def from_one():
    (x, y), (vx, vy) = digits()
    return (x, y + 1), (vx, vy + 1)


def pixels():
    (x, y), (vx, vy) = digits()
    return (x * 255, y), (vx * 255, vy)


def copies():
    (x, y), (vx, vy) = digits()
    return (torch.cat([x, vx[:50]]), torch.cat([y, vy[:50]])), (vx, vy)


def constant():
    (x, y), (vx, vy) = digits()
    return (torch.full_like(x, 0.5), y), (torch.full_like(vx, 0.5), vy)


def noise():
    (x, y), (vx, vy) = digits()
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(x.shape, generator=generator), y), (torch.rand(vx.shape, generator=generator), vy)


def shuffled(split: str = "train"):
    train, valid = digits()
    generator = torch.Generator().manual_seed(0)

    def mixed(pair):
        return pair[0], pair[1][torch.randperm(len(pair[1]), generator=generator)]

    return (mixed(train), valid) if split == "train" else (train, mixed(valid))


def without_class():
    (x, y), (vx, vy) = digits()
    return {"train": (x, y), "valid": (vx[vy != 3], vy[vy != 3]), "outputs": 10}


def one_class():
    (x, y), (vx, vy) = digits()
    return {"train": (x[y == 3], y[y == 3]), "valid": (vx, vy), "outputs": 10}


def rare():
    (x, y), valid = digits()
    keep = (y != 3) | (torch.arange(len(y)) % 20 == 0)
    return (x[keep], y[keep]), valid


def noisy_labels():
    (x, y), valid = digits()
    return (x, torch.where(torch.arange(len(y)) % 5 == 0, (y + 3) % 10, y)), valid


def near_copies():
    (x, y), (vx, vy) = digits()
    noise = 0.01 * torch.rand(vx[:50].shape, generator=torch.Generator().manual_seed(0))
    return (torch.cat([x, vx[:50] + noise]), torch.cat([y, vy[:50]])), (vx, vy)


def mirrored():
    train, (vx, vy) = digits()
    return train, (vx.flip(-1), vy)


def table(fault: str = ""):
    """Four columns, of which a nonlinear function is the target."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(600, 4, generator=generator)
    y = (x[:, :1] * x[:, 1:2] + x[:, 2:3]).contiguous()
    if fault == "nan column":
        x[:, 1] = float("nan")
    if fault == "leak":
        x = torch.cat([x, 3 * y + 1e-4 * torch.randn(600, 1, generator=generator)], dim=1)
    if fault == "constant column":
        x[:, 3] = 1.0
    if fault == "units":
        y = 1e4 * y
    if fault == "tiny":
        y = 1e-4 * y
    return (x[:400], y[:400]), (x[400:], y[400:])


class Augmented(torch.utils.data.Dataset):
    """Shifts each image at random whenever it is read."""

    def __init__(self, pair):
        self.pair = pair

    def __len__(self):
        return len(self.pair[1])

    def __getitem__(self, i):
        image = self.pair[0][i]
        return image.roll(int(torch.randint(-2, 3, ())), 2), int(self.pair[1][i])


def augmented_validation():
    train, valid = digits()
    return train, Augmented(valid)


class Grouped(Data):
    """Data whose groups are on both sides of the split."""

    def spec(self):
        return Spec((1, 8, 8), 10, "classification", tuple(map(str, range(10))))

    def load(self):
        (x, y), (vx, vy) = digits()
        groups = torch.arange(len(y)) % 40, torch.arange(len(vy)) % 45
        return Parts(Part(x, y, groups=groups[0]), Part(vx, vy, groups=groups[1]), self.spec())


# networks


class Flat(nn.Module):
    """Predictions (N,) for targets (N, 1)."""

    def __init__(self):
        super().__init__()
        self.layers = mlp(inputs=4, outputs=1)

    def forward(self, x):
        return self.layers(x)[:, 0]


def mlp(*more: nn.Module, width: int = 32, outputs: int = 10, inputs: int = 64):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs), *more)


class Net(nn.Module):
    """A small network with a fault, chosen by name."""

    def __init__(self, fault: str = "", outputs: int = 10, inputs: int = 64):
        super().__init__()
        self.fault = fault
        self.one, self.two, self.three = nn.Linear(inputs, 32), nn.Linear(32, 32), nn.Linear(32, outputs)
        if fault == "dead":
            nn.init.constant_(self.two.bias, -10)
        if fault == "frozen":
            self.requires_grad_(False)
        if fault in ("saturated", "exploding"):
            with torch.no_grad():
                for layer in (self.one, self.two, self.three)[: 2 if fault == "saturated" else 3]:
                    layer.weight *= 30
        self.bias = nn.Parameter(torch.zeros(outputs)) if fault == "ignores" else None

    def forward(self, x):
        n = len(x)
        if self.fault == "view":
            x = x.reshape(x[0].numel(), n).T
        x = x.flatten(1)
        if self.fault == "ignores":
            return self.bias + 0 * self.three(self.two(self.one(x)))
        act = torch.tanh if self.fault == "saturated" else F.relu
        x = act(self.one(x))
        if self.fault == "dropout":
            x = F.dropout(x, 0.5)
        if self.fault == "detached":
            x = x.detach()
        if self.fault != "unused":
            x = act(self.two(x))
        x = self.three(x)
        if self.fault == "softmax":
            return x.softmax(dim=1)
        if self.fault == "log_softmax":
            return x.log_softmax(dim=1)
        if self.fault == "sigmoid":
            return x.sigmoid()
        if self.fault == "log of zero":
            return x.relu().mul(0).log()
        if self.fault == "argmax":
            return F.one_hot(x.argmax(dim=1), x.shape[1]).float()
        return x


def deep_sigmoid():
    layers = [part for _ in range(10) for part in (nn.Linear(32, 32), nn.Sigmoid())]
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Sigmoid(), *layers, nn.Linear(32, 10))


def textures():
    layers = (nn.Conv2d(1, 16, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU())
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def lazy_norm():
    norm = nn.BatchNorm2d(8, momentum=0.0)
    return nn.Sequential(nn.Conv2d(1, 8, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))


def normed():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))


# losses and optimizers


def summed(prediction, target):
    return F.cross_entropy(prediction, target, reduction="sum")


def broadcast(prediction, target):
    return ((prediction - target) ** 2).mean()


def nll_of_softmax(prediction, target):
    return F.cross_entropy(prediction.softmax(dim=1), target)


class Headless(torch.optim.SGD):
    """Drops the parameters of the last layer."""

    def __init__(self, params, lr=0.05):
        params = list(params)
        groups = params if isinstance(params[0], dict) else [{"params": params}]
        super().__init__([{**groups[0], "params": list(groups[0]["params"])[:-2]}], lr=lr)


# healthy, in other forms


class Pairs(torch.utils.data.Dataset):
    """Samples that are dicts."""

    def __init__(self, pair):
        self.pair = pair

    def __len__(self):
        return len(self.pair[1])

    def __getitem__(self, i):
        image = self.pair[0][i]
        return {"left": image[..., :4], "right": image[..., 4:], "label": self.pair[1][i]}


def dicts():
    train, valid = digits()
    return Pairs(train), Pairs(valid)


class TwoInputs(nn.Module):
    """Called with the parts of a sample; returns a dict, with the loss if it gets the label."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.out = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 10)

    def forward(self, left, right, label=None):
        logits = self.out((self.left(left.flatten(1)) + self.right(right.flatten(1))).relu())
        return {"logits": logits} if label is None else {"loss": F.cross_entropy(logits, label), "logits": logits}


class Stream(torch.utils.data.IterableDataset):
    """Samples without positions."""

    def __iter__(self):
        (x, y), _ = digits()
        return ((x[i], y[i]) for i in range(len(y)))


def stream():
    return {"train": Stream(), "valid": digits()[1], "outputs": 10}


def ids():
    """Integers (n, 6) and whether the first one is large."""
    x = torch.randint(0, 20, (600, 6), generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 9).long()
    return {"train": (x[:400], y[:400]), "valid": (x[400:], y[400:]), "outputs": 2}


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(20, 16), nn.Linear(96, 2)

    def forward(self, x):
        return self.out(self.table(x).flatten(1))


def two_heads(prediction, target):
    return F.cross_entropy(prediction["a"], target) + F.cross_entropy(prediction["b"], target)


class Heads(nn.Module):
    """Two predictions in a dict."""

    def __init__(self):
        super().__init__()
        self.body, self.a, self.b = mlp(width=32, outputs=32), nn.Linear(32, 10), nn.Linear(32, 10)

    def forward(self, x):
        x = self.body(x).relu()
        return {"a": self.a(x), "b": self.b(x)}


# healthy


class Attention(nn.Module):
    """Rows of an image as tokens, one layer of attention."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.randn(8, 32) * 0.02)
        self.into = nn.Linear(8, 32)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True, norm_first=True)
        self.out = nn.Linear(32, 10)

    def forward(self, x):
        return self.out(self.layer(self.into(x[:, 0]) + self.place).mean(dim=1))

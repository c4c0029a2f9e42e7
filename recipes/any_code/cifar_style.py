"""A small image classifier in the style of airbench, on drawn shapes. Alone: python cifar_style.py --whiten=1

A frozen whitening layer, two optimizers (orthogonalized momentum for filters, SGD for the rest), label smoothing, flips,
and a schedule of its own: a short warmup, then linearly to 0.
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

SIZE = 16
CLASSES = 8


def shapes(count, seed):
    """Images of shapes in random colors, sizes and places, with noise: (count, 3, 16, 16), and classes."""
    draw = torch.Generator().manual_seed(seed)
    kinds = torch.randint(CLASSES, (count,), generator=draw)
    place = torch.rand(count, 2, 1, 1, generator=draw) * 0.8 - 0.4
    scale = torch.rand(count, 1, 1, generator=draw) * 0.3 + 0.4
    line = torch.linspace(-1, 1, SIZE)
    y, x = (
        (axis - at) / scale for axis, at in zip(torch.meshgrid(line, line, indexing="ij"), place.unbind(1), strict=True)
    )
    far, high = (x**2 + y**2).sqrt(), torch.maximum(x.abs(), y.abs())
    low = torch.minimum(x.abs(), y.abs())
    inside = torch.stack(
        [
            far < 1,  # disk
            (far < 1) & (far > 0.6),  # ring
            high < 0.9,  # square
            (high < 0.9) & (high > 0.5),  # frame
            (high < 1) & (low < 0.3),  # plus
            (high < 1) & ((x.abs() - y.abs()).abs() < 0.35),  # cross
            (y < 0.8) & (y > 2 * x.abs() - 1),  # triangle
            (high < 1) & ((y * 2).round() % 2 == 0),  # stripes
        ],
        1,
    )[torch.arange(count), kinds]
    colors = torch.rand(2, count, 3, 1, 1, generator=draw)
    images = torch.where(inside[:, None], colors[0], colors[1])
    return images + 0.15 * torch.randn(count, 3, SIZE, SIZE, generator=draw), kinds


def whitening(images, size=3):
    """Filters that make patches of the images white: (2 * 3 * size², 3, size, size), each with both signs."""
    patches = F.unfold(images[:500], size).permute(0, 2, 1).reshape(-1, 3 * size**2)
    patches = patches - patches.mean(0)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (vectors / (values + 1e-2).sqrt()).T.reshape(-1, 3, size, size)
    return torch.cat([filters, -filters])


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(3, 54, 3, padding=1, bias=False)
        blocks = []
        for before, after in ((54, width), (width, 2 * width)):
            blocks += [
                nn.Conv2d(before, after, 3, padding=1, bias=False),
                nn.MaxPool2d(2),
                nn.BatchNorm2d(after),
                nn.GELU(),
            ]
        self.blocks = nn.Sequential(nn.GELU(), *blocks, nn.AdaptiveMaxPool2d(1), nn.Flatten())
        self.head = nn.Linear(2 * width, CLASSES, bias=False)

    def forward(self, x):
        return self.head(self.blocks(self.first(x))) / 4


class Orthogonal(torch.optim.Optimizer):
    """Momentum whose update of each filter matrix is made nearly orthogonal by five Newton-Schulz steps (Jordan 2024)."""

    def __init__(self, params, lr, momentum=0.6):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                kept = self.state[p].setdefault("momentum", torch.zeros_like(p))
                kept.mul_(group["momentum"]).add_(p.grad)
                x = p.grad.add(kept, alpha=group["momentum"]).flatten(1)
                x = x / (x.norm() + 1e-7)
                for _ in range(5):
                    a = x @ x.T
                    x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
                p.mul_(len(p) ** 0.5 / p.norm())
                p.add_(x.view_as(p), alpha=-group["lr"])


def optimizers_of(net, args):
    filters = [p for p in net.parameters() if p.requires_grad and p.ndim == 4]
    others = [p for p in net.parameters() if p.requires_grad and p.ndim != 4]
    groups = [{"params": others, "lr": args.lr, "weight_decay": args.decay / args.lr}]
    if args.orthogonal:
        own = [Orthogonal(filters, args.orthogonal)]
    else:
        own, groups = [], [{**groups[0], "params": filters + others}]
    return [torch.optim.SGD(groups, momentum=0.85, nesterov=True), *own]


def train(args, report):
    """Calls ``report`` with the losses after every epoch."""
    torch.manual_seed(args.seed)
    images, labels = (part.to(args.device) for part in shapes(args.images, seed=1))
    valid, valid_labels = (part.to(args.device) for part in shapes(600, seed=2))
    net = Net(args.width).to(args.device)
    if args.whiten:
        net.first.weight.data = whitening(images)
        net.first.weight.requires_grad = False
    optimizers = optimizers_of(net, args)
    rates = [(group, group["lr"]) for optimizer in optimizers for group in optimizer.param_groups]
    batches = len(images) // args.batch_size
    steps, step = args.epochs * batches, 0
    for epoch in range(1, args.epochs + 1):
        order, total = torch.randperm(len(images)).to(args.device), 0.0
        for some in order[: batches * args.batch_size].split(args.batch_size):
            for group, rate in rates:
                group["lr"] = rate * min((step + 1) / (0.2 * steps), (steps - step) / (0.8 * steps))
            inputs = images[some]
            if args.flip:
                mirrored = (torch.rand(len(some), 1, 1, 1) < 0.5).to(args.device)
                inputs = torch.where(mirrored, inputs.flip(3), inputs)
            loss = F.cross_entropy(net(inputs), labels[some], label_smoothing=args.smoothing)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            total, step = total + loss.item(), step + 1
        net.eval()
        with torch.no_grad():
            scores = net(valid)
        net.train()
        accuracy = (scores.argmax(1) == valid_labels).float().mean().item()
        valid_loss = F.cross_entropy(scores, valid_labels).item()
        report(epoch=epoch, train_loss=total / batches, valid_loss=valid_loss, accuracy=accuracy)


def parser():
    found = argparse.ArgumentParser(allow_abbrev=False)
    found.add_argument("--epochs", type=int, default=8)
    found.add_argument("--lr", type=float, default=0.1)
    found.add_argument("--decay", type=float, default=1e-3, help="weight decay per unit of learning rate")
    found.add_argument("--whiten", type=int, default=0, help="1: the first layer whitens patches and is frozen")
    found.add_argument("--orthogonal", type=float, default=0.0, help="rate of orthogonal updates of filters; 0: SGD")
    found.add_argument("--smoothing", type=float, default=0.0, help="label smoothing")
    found.add_argument("--flip", type=int, default=0, help="1: mirror half of the images")
    found.add_argument("--width", type=int, default=12)
    found.add_argument("--images", type=int, default=1200)
    found.add_argument("--batch_size", type=int, default=50)
    found.add_argument("--seed", type=int, default=0)
    found.add_argument("--device", default="cpu")
    return found


def main(run, **args):
    """For ablate."""
    words = [f"--{name}={value}" for name, value in args.items()]
    own = [f"--seed={run.seed}", f"--device={run.device}", f"--epochs={run.epochs}"]
    train(parser().parse_args([*words, *own]), run.log)


def show(epoch, train_loss, valid_loss, accuracy):
    print(f"| {epoch:5d} | {train_loss:10.4f} | {valid_loss:8.4f} | {accuracy:8.4f} |", flush=True)


if __name__ == "__main__":
    print("| epoch | train_loss | val_loss | accuracy |")
    train(parser().parse_args(), show)

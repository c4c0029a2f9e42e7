"""On a GPU: the digits ladder and the whole keypoint study (20,400 epochs), ours against a plain loop, and against a
floor.

One command on a machine with CUDA, ``python -m bench.gpu``; it needs no MLflow. ``--scale 0.05`` for a twentieth of the
epochs, ``--device cpu --scale 0.0005 --side 24 --limit 40`` to see that it runs. Ours trains the whole study as
``ablate run`` does. A plain loop of all of it would take days: it is timed for some epochs of each row. The *floor* is
what the kernels of forward pass, backward pass and optimizer take on a batch that is there already, replayed as one
CUDA graph (on a CPU: called), for as many samples as the epochs have: no loader, no augmentation, no validation, no
bookkeeping.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ablate.engine.device import autocast, place, prepare
from ablate.recipe import Recipe
from bench.measure import machine
from bench.rivals import plain
from bench.rivals.ours import study
from bench.rivals.work import Work

ROOT = Path(__file__).parents[1]
GOALS = {"plain": 10, "floor": 3}


def timed(run: Callable[[], object], device: str) -> float:
    """Seconds until all that ``run`` asks of the device is done."""
    wait(device)
    began = time.perf_counter()
    run()
    wait(device)
    return time.perf_counter() - began


def wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def plain_seconds(work: Work, patience: float) -> float:
    """Seconds of a row's one seed in a plain loop: two trainings of unlike length are timed, so that what comes once
    does not count.
    """
    settings, seconds = work.settings, {}
    few = 1
    prepare(work.device, settings.precision)
    while True:
        for epochs in (few, 3 * few):
            work.settings = settings.replace(epochs=epochs)
            seconds[epochs] = timed(lambda: plain.train(work, 0), work.device)
        work.settings = settings
        if seconds[3 * few] >= patience or 3 * few >= settings.epochs:
            return max(seconds[3 * few] - seconds[few], 1e-9) / (2 * few) * settings.epochs
        few *= 3


def floor_seconds(work: Work, steps: int) -> float:
    """Seconds that the bare kernels of a row's one seed take: ``steps`` are timed."""
    device, settings = work.device, work.settings
    prepare(device, settings.precision)
    network = place(work.network(0), device, settings.precision).train()
    optimizer, loss_of = work.optimizer(network.parameters()), work.loss
    samples = [work.train[i] for i in range(min(settings.batch_size, len(work.train)))]  # type: ignore[arg-type]
    x, y = (torch.stack(values).to(device) for values in zip(*samples, strict=True))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast(device, settings.precision):
            loss = loss_of(network(x), y)
        loss.backward()
        optimizer.step()

    replay: Callable[[], object] = captured(step) if device.startswith("cuda") else step

    def some() -> None:
        for _ in range(steps):
            replay()

    some()
    epochs = settings.epochs * len(work.train) / len(samples)  # type: ignore[arg-type]
    return timed(some, device) / steps * epochs


def captured(step: Callable[[], None]) -> Callable[[], object]:
    """A step as one CUDA graph: its kernels, and no Python between them."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def load(name: str, options: argparse.Namespace, seeds: int = 1) -> Recipe:
    """A shipped recipe as the options have it."""
    sets = [f"precision={options.precision}", *(["compile=true"] if options.compile else [])]
    if name == "facial_keypoints":
        sets += [f"data.size={options.side}", *([f"data.limit={options.limit}"] if options.limit else [])]
    path = ROOT / "recipes" / f"{name}.yaml"
    return Recipe.load(path, seeds=seeds, only=options.rows, sets=sets, scale=options.scale)


def rows(name: str, options: argparse.Namespace) -> list[str]:
    """A line of the table for each number of seeds: ours, the plain loop and the floor over all rows of a study."""
    recipe = load(name, options)
    works = [Work.of(variant.settings, recipe.folder, options.device) for variant in recipe.variants]
    by_hand = sum(plain_seconds(work, options.patience) for work in works)
    bare = sum(floor_seconds(work, options.steps) for work in works)
    epochs = sum(work.settings.epochs for work in works)
    lines = []
    for count in options.seeds:
        part = load(name, options, seeds=count)
        seconds, _, stacks = study(part, options.device, options.jobs_per_gpu)
        hand, floor = by_hand * count, bare * count
        lines.append(
            f"| {recipe.study} | {works[0].settings.precision} | {count} | {epochs:,} | {seconds:.3g} | {hand:.3g} | {hand / seconds:.1f} | {floor:.3g} "
            f"| {seconds / floor:.1f} | {', '.join(stacks)} |"
        )
    return lines


def name_of(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"


def main(words: Sequence[str] | None = None) -> str:
    """The section for RESULTS."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--scale", type=float, default=1.0, help="of all numbers of epochs")
    parser.add_argument("--seeds", type=lambda text: [int(n) for n in text.split(",")], default=[1, 5])
    parser.add_argument("--precisions", type=lambda text: text.split(","), default=["tf32", "bf16"])
    parser.add_argument("--studies", type=lambda text: text.split(","), default=["digits", "facial_keypoints"])
    parser.add_argument("--rows", type=lambda text: text.split(","), help="such as net1,net6; all by default")
    parser.add_argument("--jobs-per-gpu", type=int, default=4)
    parser.add_argument("--compile", action="store_true", help="with torch.compile, where a seed trains alone")
    parser.add_argument("--side", type=int, default=96, help="of the drawn faces, in pixels")
    parser.add_argument("--limit", type=int, help="of their number, before those with missing points are dropped")
    parser.add_argument("--patience", type=float, default=3.0, help="seconds of plain loop for each row, at least")
    parser.add_argument("--steps", type=int, default=200, help="of the floor")
    options = parser.parse_args(words)
    lines = [
        "## On a GPU",
        "",
        f"{machine()}, {name_of(options.device)}; epochs × {options.scale:g}, {options.jobs_per_gpu} jobs at once.",
        "Ours: the whole study, as `ablate run` trains it. *Plain*: a `DataLoader` loop, one run after another, some epochs of each row timed",
        f"(goal: plain / ours ≥ {GOALS['plain']}). *Floor*: the bare kernels of forward pass, backward pass and step (goal: ours / floor ≤ {GOALS['floor']}).",
        "",
        "| study | precision | seeds | epochs | ours, s | plain, s | plain / ours | floor, s | ours / floor | jobs, with their seeds |",
        "|:--|:--|--:|--:|--:|--:|--:|--:|--:|:--|",
    ]
    for name in options.studies:
        for precision in options.precisions:
            options.precision = precision
            lines += rows(name, options)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(main())

"""Devices and number formats: the same code path on CPU and CUDA."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn


def prepare(device: str, precision: str) -> None:
    """Set this process's precision of float32 matrix products: TensorFloat-32 for ``tf32``, full float32 otherwise."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    if device.startswith("cuda"):
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        # a resumed training must equal an uninterrupted one bit for bit
        torch.backends.cudnn.deterministic = True
        torch.cuda.set_device(device)


def dtype_of(precision: str) -> torch.dtype:
    """The dtype of weights and inputs: float64 if requested, else float32 (bf16 and fp16 are autocasts)."""
    return torch.float64 if precision == "float64" else torch.float32


def autocast(device: str, precision: str) -> AbstractContextManager[object]:
    """The context of forward passes: autocast for ``bf16`` and ``fp16``, otherwise none."""
    if precision in ("bf16", "fp16"):
        dtype = torch.bfloat16 if precision == "bf16" else torch.float16
        return torch.autocast(device.partition(":")[0], dtype=dtype)
    return nullcontext()


def scaler_for(device: str, precision: str) -> torch.amp.GradScaler:
    """Scales losses, so that small gradients do not become 0 in ``fp16``; disabled for other precisions."""
    return torch.amp.GradScaler(device.partition(":")[0], enabled=precision == "fp16")


def place(network: nn.Module, device: str, precision: str) -> nn.Module:
    """The network on its device with its dtype; in channels-last format on CUDA, where convolutions are then faster."""
    network = network.to(device=device, dtype=dtype_of(precision))
    if device.startswith("cuda"):
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network

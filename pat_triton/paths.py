"""Which path executes a call."""

from importlib import import_module
from importlib.util import find_spec

import torch

from .eager import path as eager
from .problem import Path

KERNEL_DEVICES = ("cuda", "xpu")  # ROCm calls itself cuda


def choose(backend: str, device: torch.device) -> Path:
    """The path for tensors on ``device``; ValueError where the kernels cannot run."""
    on_gpu = device.type in KERNEL_DEVICES
    if backend == "torch" or (backend == "auto" and not (on_gpu and find_spec("triton"))):
        return eager
    return _kernels(device, on_gpu)


def _kernels(device: torch.device, on_gpu: bool) -> Path:
    if not find_spec("triton"):
        raise ValueError("backend: 'triton' needs the package triton, which is not installed; 'auto' does without")
    path = import_module(".kernels.path", __package__)
    if not on_gpu and not path.INTERPRETED:
        raise ValueError(
            f"backend: 'triton' needs logits on {' or '.join(KERNEL_DEVICES)}, got {device}; on a CPU it runs "
            "only in Triton's interpreter, with TRITON_INTERPRET=1 set before Python starts"
        )
    return path

"""Every kernel starts here: on the tensors' device, with the options that all of them share."""

import contextlib
from typing import Any

import torch


def start(kernel: Any, programs: int, device: torch.device, *args: Any, num_warps: int = 4, **constants: Any) -> None:
    """``kernel[(programs,)](*args, **constants)``; nothing for an empty batch.

    Triton launches on the current GPU, which need not be the tensors'. FP fusion is pinned, because
    its default differs between Triton versions.
    """
    if not programs:
        return
    guard = contextlib.nullcontext() if device.type == "cpu" else torch.accelerator.device_index(device.index)
    with guard:
        kernel[(programs,)](*args, num_warps=num_warps, enable_fp_fusion=True, **constants)

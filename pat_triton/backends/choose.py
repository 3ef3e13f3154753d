"""Which backend takes a call: plain torch, or the kernels."""

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import Tensor

from ..inputs import Ignored, LossInputs, Result
from .torch import backend as torch_backend

KERNEL_DEVICES = ("cuda", "xpu")  # ROCm calls itself cuda


class Backend(Protocol):
    """One way to execute: plain torch or the kernels.

    planned_rescale: makes what multiplies gradients of one kind by a scalar in place; free where it is 1.
    planned_histogram, planned_tables, planned_pass, planned_regions: make what counts labels, makes tables, runs and
        makes region losses of sums for calls of one kind. All None where torch makes tables; then ``histogram`` and
        ``run`` do for every kind.
    """

    planned_histogram: Any
    planned_tables: Any
    planned_pass: Any
    planned_regions: Any
    planned_rescale: Any

    def histogram(self, target: Tensor, classes: int, ignored: Ignored) -> Tensor:
        """int64 (B, L + 1): S[b, l] and, last, the labels that are neither a class nor ignored."""
        ...

    def run(
        self, logits: Tensor, target: Tensor, inputs: LossInputs, *,
        reduce: bool = True, gradient: bool = False, grad_output: Tensor | None = None, sums: bool = False,
    ) -> Result:  # fmt: skip
        """The loss, and with ``gradient`` its gradient, with ``sums`` its sums by class; with
        ``grad_output`` (a scalar, or of the target's shape) the gradient alone, times it."""
        ...

    def predict(self, logits: Tensor, size: torch.Size, align_corners: bool) -> Tensor:
        """(B, *size) of ``label_dtype``: the first class with the largest logit; nan is the largest."""
        ...

    def confusion(self, target: Tensor, prediction: Tensor, classes: int, ignored: Ignored) -> Tensor:
        """int64 (L + 2, L): pixels of each class (row) predicted as each class (column); row L is
        ignored, row L + 1 labels that are neither."""
        ...


def runs_kernels(backend: str, device: torch.device) -> bool:
    """Whether the kernels are meant, for tensors on ``device``."""
    return backend == "triton" or (backend == "auto" and device.type in KERNEL_DEVICES and bool(find_spec("triton")))


def choose(backend: str, device: torch.device) -> Backend:
    """The backend for tensors on ``device``; ValueError where the kernels cannot run."""
    return _kernels(device) if runs_kernels(backend, device) else torch_backend


def _kernels(device: torch.device) -> Backend:
    if not find_spec("triton"):
        raise ValueError("backend: 'triton' needs the package triton, which is not installed; 'auto' works without it")
    kernels = import_module(".triton.backend", __package__)
    if device.type not in KERNEL_DEVICES and not kernels.INTERPRETED:
        raise ValueError(
            f"backend: 'triton' needs logits on {' or '.join(KERNEL_DEVICES)}, got {device}; on a CPU it runs "
            "only in Triton's interpreter, with TRITON_INTERPRET=1 set before Python starts"
        )
    return kernels


def forget_launches() -> None:
    """Forget what the kernels' backend has worked out, if it was used at all."""
    kernels = sys.modules.get(f"{__package__}.triton.backend")
    if kernels is not None:
        kernels.plans.clear()

"""Liger's cross-entropy on segmentation logits, with the copy that its rows of classes need."""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from .formulas import IGNORED, resize


def unavailable(dtype: torch.dtype) -> str | None:
    """Why it is not run, or None."""
    if not find_spec("liger_kernel"):
        return "liger_kernel is not installed"
    return "its fp16 gradient, already divided by the pixels, underflows" if dtype == torch.float16 else None


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    rows = resize(logits, target).permute(0, 2, 3, 1).reshape(-1, logits.shape[1])
    return _criterion()(rows, target.flatten())


@cache
def _criterion() -> Callable[[Tensor, Tensor], Tensor]:
    from liger_kernel.transformers.cross_entropy import LigerCrossEntropyLoss

    return LigerCrossEntropyLoss(ignore_index=IGNORED)

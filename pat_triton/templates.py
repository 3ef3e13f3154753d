"""Tensors that others are made like."""

from collections.abc import Sequence

import torch
from torch import Tensor


def template(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """For ``torch.empty_like``, the fastest way to memory. It has none itself: a plan may be made while a graph of the
    GPU is captured, whose memory nothing else may keep."""
    made = torch.empty((), dtype=dtype, device=device).expand(tuple(shape))
    made.untyped_storage().resize_(0)
    return made

"""MONAI: a loss for volumes whose targets are index maps of floats, or one-hot."""

from typing import Any

import torch
from torch import Tensor, nn

from .. import checks
from ..criterion import SegmentationLoss


class MonaiLoss(nn.Module):
    """``criterion(input, target)`` for MONAI's targets: (B, 1, *spatial) of any dtype, or one-hot (B, L, *spatial).

    input: logits (B, L, *spatial), as MONAI's networks give them; a ``MetaTensor`` is read as the tensor it is.

    Raises:
        ValueError: on a CPU, for labels that are no whole numbers, or channels that are not one-hot. Elsewhere
            numbers are cut to whole ones, and the largest channel is the class.
    """

    def __init__(self, criterion: SegmentationLoss) -> None:
        super().__init__()
        self.criterion = criterion

    def forward(self, input: Tensor, target: Tensor, **given: Any) -> Any:
        """given: what ``SegmentationLoss`` takes besides, such as ``return_stats`` and ``pixel_weight``."""
        logits, labels = (_plain(part) for part in (input, target))
        if labels.shape == logits.shape and labels.ndim > 2:
            labels = _from_one_hot(labels)
        elif labels.dtype not in checks.LABELS:
            labels = _from_floats(labels)
        return self.criterion(logits, labels, **given)


def _plain(t: Any) -> Tensor:
    return t.as_tensor() if hasattr(t, "as_tensor") else t


def _from_one_hot(y: Tensor) -> Tensor:
    if y.device.type == "cpu" and not (bool(((y == 0) | (y == 1)).all()) and bool((y.sum(1) == 1).all())):
        raise ValueError(
            f"target: got {tuple(y.shape)}, a channel for each class, expected 0 and 1 with a single 1 for each pixel; "
            "soft labels have no class"
        )
    return y.argmax(1)


def _from_floats(y: Tensor) -> Tensor:
    if y.device.type == "cpu" and not bool((y == y.round()).all()):
        raise ValueError("target: got numbers that are not whole, expected class indices; is this the image?")
    return y.to(torch.int16) if y.dtype in (torch.bool, torch.float16, torch.bfloat16) else y.long()

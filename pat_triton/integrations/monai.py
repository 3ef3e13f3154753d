"""MONAI: a loss for volumes whose targets are index maps of floats, or one-hot."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .. import checks, private
from ..base import Criterion
from . import loss_of_ours


class MonaiLoss(nn.Module):
    """``criterion(input, target)`` for MONAI's targets: (B, 1, *spatial) of any dtype, or one-hot (B, L, *spatial).

    input: logits (B, L, *spatial), as MONAI's networks give them; a ``MetaTensor`` is read as the tensor it is. Where
    no gradients are recorded it is in evaluation mode: without BLV's noise, and without asking other processes.

    Raises:
        ValueError: on a CPU, for labels that are no whole numbers, or channels that are not one-hot. Elsewhere
            numbers are cut to whole ones, and the largest channel is the class.
    """

    def __init__(self, criterion: Criterion) -> None:
        super().__init__()
        self.criterion = loss_of_ours(criterion)

    def forward(self, input: Tensor | Sequence[Tensor], target: Tensor, **given: Any) -> Any:
        """input: logits, or a list of them (deep supervision). given: what ``SegmentationLoss`` takes besides, such as
        ``return_stats``, ``weights`` of a list and ``pixel_weight``."""
        several = isinstance(input, list | tuple)
        heads = [private.plain(head) for head in input] if several else [private.plain(input)]
        for head in heads:
            checks.logits(head)
        checks.tensor("target", target)
        labels = private.plain(target)
        if heads and labels.ndim == heads[0].ndim and labels.shape[1] == heads[0].shape[1]:
            labels = _from_one_hot(labels)
        elif labels.dtype not in checks.LABELS:
            labels = _from_floats(labels)
        # A loop's loss is no part of its network, and nobody calls its eval(): MONAI's evaluators record no gradients.
        criterion = self.criterion.but(training=self.criterion.training and torch.is_grad_enabled())
        return criterion(heads if several else heads[0], labels, **given)


def _from_one_hot(y: Tensor) -> Tensor:
    if y.device.type == "cpu" and not (bool(((y == 0) | (y == 1)).all()) and bool((y.sum(1) == 1).all())):
        raise ValueError(
            f"target: got shape {tuple(y.shape)}, a channel for each class, expected one-hot labels: at each pixel a "
            "single 1, and 0 in the other channels; soft labels are not taken"
        )
    return (y.to(torch.uint8) if y.dtype == torch.bool else y).argmax(1)


def _from_floats(y: Tensor) -> Tensor:
    if y.dtype == torch.bool:
        return y.to(torch.uint8)
    if y.device.type == "cpu" and not bool((y == y.round()).all()):
        raise ValueError("target: got numbers that are not whole, expected class indices; is this the image?")
    return y.to(torch.int16) if y.dtype in (torch.float16, torch.bfloat16) else y.long()

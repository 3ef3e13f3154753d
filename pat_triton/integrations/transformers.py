"""Hugging Face transformers: a loss for ``Trainer``, and one for models that ask for a ``loss_function``.

The logits stay as small as the model predicts them; the loss resizes them to the labels.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..criterion import SegmentationLoss

NOT_AN_ITEM = -100  # what Trainer leaves out as it counts the items of a batch


def compute_loss_func(criterion: SegmentationLoss) -> Callable[..., Tensor]:
    """For ``Trainer(compute_loss_func=...)``: any model whose outputs have ``logits`` (B, L, h, w).

    Without gradient accumulation the value is ``criterion(outputs.logits, labels)``. With it, Trainer expects that
    the losses of its parts add up to that of the whole: each is multiplied by its share of ``num_items_in_batch``.
    """

    def compute(outputs: Any, labels: Tensor | None, num_items_in_batch: Tensor | float | None = None) -> Tensor:
        if labels is None:
            raise ValueError("labels: got None, expected (B, H, W); does the data set give 'labels'?")
        logits = outputs["logits"] if isinstance(outputs, dict) else outputs.logits
        return _shared(criterion(logits, labels), labels, NOT_AN_ITEM, num_items_in_batch)

    return compute


def loss_function(criterion: SegmentationLoss) -> Callable[..., Tensor]:
    """For ``model.loss_function = ...``, with the arguments of transformers' ``ForSemanticSegmentationLoss``.

    With ``num_items_in_batch`` the mean over labelled pixels is multiplied by labelled pixels / items, which for
    cross-entropy is transformers' own sum / items.
    """

    def compute(
        logits: Tensor,
        labels: Tensor,
        ignore_index: int = 255,
        num_items_in_batch: Tensor | float | None = None,
        auxiliary_logits: Tensor | None = None,
        auxiliary_loss_weight: float = 0.4,
        **_: Any,
    ) -> Tensor:
        criterion.ignore_index = ignore_index
        if auxiliary_logits is None:
            loss = criterion(logits, labels)
        else:
            loss = criterion([logits, auxiliary_logits], labels, weights=[1.0, auxiliary_loss_weight])
        return _shared(loss, labels, ignore_index, num_items_in_batch)

    return compute


def _shared(loss: Tensor, labels: Tensor, left_out: int, items: Tensor | float | None) -> Tensor:
    """The loss times the labels' share of all items; nothing waits for the device."""
    if items is None:
        return loss
    own = labels.ne(left_out).sum()
    return loss * (own / torch.as_tensor(items, device=own.device)).to(loss.dtype).reshape(())

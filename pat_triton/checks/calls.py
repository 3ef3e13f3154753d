"""The arguments of one call of a loss, against each other and against the loss's options."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from . import scalars, tables, tensors
from .labels import histogram

if TYPE_CHECKING:
    from ..criterion import SegmentationLoss


def call(
    c: "SegmentationLoss", heads: Sequence[Tensor], target: Tensor, return_stats: bool, mask_sizes: Tensor | None,
    pixel_weight: Tensor | None,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """The target and the factors of its pixels as (B, *spatial), views; TypeError or ValueError for what does not go
    together."""
    for number, head in enumerate(heads):
        tensors.logits(head)
        tensors.alike(number, head, heads[0])
        labels = _target(c, head, target)
    scalars.flag("return_stats", return_stats)
    tables.mask_sizes(mask_sizes, heads[0])
    return labels, tensors.pixel_weight(pixel_weight, labels)


def _target(c: "SegmentationLoss", logits: Tensor, target: Tensor) -> Tensor:
    """The target of these logits as (B, *spatial)."""
    target = tensors.target(target, logits)
    tensors.ignored(c.ignore_index, logits.shape[1])
    tables.per_class("weight", c.weight, logits)
    tables.per_class("class_counts", c.class_counts, logits)
    if logits.shape[2:] != target.shape[1:]:
        if c.gradient == "one_pass" and c.reduction == "none":
            raise ValueError(
                "gradient: 'one_pass' with reduction='none' needs logits of their target's size, got "
                f"{tuple(logits.shape)} for {tuple(target.shape)}: the factor of each pixel comes too late; "
                "choose 'auto' or 'recompute'"
            )
        if c.process_group is not None and c.training and c.sharding == "rows":
            raise ValueError(
                f"sharding: 'rows' needs logits of their target's size, got {tuple(logits.shape)} for "
                f"{tuple(target.shape)}: a resized row also sees a row of the next process"
            )
    return target


def counts_of_call(counts: Tensor, labels: Tensor, ignore_index: int, mask_sizes: Tensor | None) -> None:
    """ValueError for labels that are neither a class nor ignored, and for mask sizes less than the target's; counts
    (B, L + 1) of the labels."""
    histogram(counts, labels, ignore_index)
    if mask_sizes is not None:
        tables.large_enough(mask_sizes, counts[:, :-1])

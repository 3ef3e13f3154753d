"""Region losses as data: sums by class of the softmax over the labelled pixels -> a loss, and its derivatives.

With p the softmax of a pixel's logits as they came, y its label and w its weight, 1 or the caller's, summed over the
labelled pixels:

    I_l = sum of w p_l where y = l,    P_l = sum of w p_l,    Q_l = sum of w p_l ** 2,    T_l = sum of w where y = l

    r_l    = (hits * I + smooth) / (of_hits * I + of_predicted * P + of_labelled * T + smooth)      Q for P if squared
    term_l = (1 - r_l) ** gamma,    the loss: a mean of the terms over classes

The derivatives by I, P and Q are all that the gradient of a pixel needs besides its own logits.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .adjustment import statistics
from .inputs import Ignored, counted

SUMS, DERIVATIVES = 4, 3  # rows of I, P, Q and T, and by I, P and Q


class Region(NamedTuple):
    """A region loss. The first six as above; the others are the options of ``DiceLoss``."""

    hits: float
    of_hits: float
    of_predicted: float
    of_labelled: float
    smooth: float
    gamma: float
    loss_weight: float
    per_image: bool
    classes: tuple[int, ...] | None
    skip_absent: bool
    squared: bool

    @classmethod
    def of(cls, said: Sequence[Any]) -> "Region":
        """Of its fields, as JSON keeps them."""
        made = cls(*said)
        return made if made.classes is None else made._replace(classes=tuple(made.classes))


class Sums(NamedTuple):
    """I, P, Q and T of each image, (B, 4, L), and of the batch, (1, 4, L); how many images the batch has, on how many
    processes it lies, and whether the images are those of this process alone."""

    images: Tensor
    batch: Tensor
    number: Any
    world_size: int = 1
    own_images: bool = False

    @classmethod
    def of(cls, images: Tensor) -> "Sums":
        images = statistics(images)
        return cls(images, images.sum(0, keepdim=True), len(images))


def needs(regions: Sequence[Region]) -> tuple[bool, bool]:
    """Whether P is needed, and whether Q is."""
    return not all(r.squared for r in regions), any(r.squared for r in regions)


def value_and_derivatives(
    regions: Sequence[Region], weights: Sequence[Tensor | None], sums: Sums, ignored: Ignored, reduction: str,
    factor: Any, dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The loss, (), and its derivatives by I, P and Q of each image, (B, 3, L), of this ``dtype``.

    weights: (L,) of the classes' mean, for each of the regions. factor: of the loss, that of a head.
    """
    value = sums.batch.new_zeros(())
    derivatives = torch.zeros_like(sums.images[:, :3])
    for region, weight in zip(regions, weights, strict=True):
        own = sums.images if region.per_image else sums.batch
        term, by_sums = _terms(region, own)
        share = _shares(region, weight, own, ignored, reduction)
        if region.per_image and reduction == "mean":
            share = share / (sums.number if isinstance(sums.number, Tensor) else max(sums.number, 1))
        share = share * (region.loss_weight * factor)
        # The mean over processes is the loss. It is the same on all of them but for images that are on one alone.
        value = value + (share * term).sum() * (sums.world_size if region.per_image and sums.own_images else 1)
        derivatives = derivatives + by_sums * (share * sums.world_size)[:, None]
    return value.to(dtype), derivatives.to(dtype)


def _terms(region: Region, sums: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of each class, (n, L), of sums (n, 4, L), and its derivatives by I, P and Q, (n, 3, L)."""
    hits, plain, squared, labelled = sums.unbind(1)
    predicted = squared if region.squared else plain
    rest = region.of_predicted * predicted + region.of_labelled * labelled
    whole = region.of_hits * hits + rest + region.smooth
    there = whole != 0
    inverse = torch.where(there, 1 / torch.where(there, whole, 1.0), 0.0)
    missed = ((region.of_hits - region.hits) * hits + rest) * inverse  # 1 - r
    by_hits = (region.of_hits - region.hits - missed * region.of_hits) * inverse
    by_predicted = (region.of_predicted - missed * region.of_predicted) * inverse
    term, slope = missed, torch.ones_like(missed)
    if region.gamma != 1:
        some = missed > 0
        at_least = torch.where(some, missed, 1.0)
        term = torch.where(some, at_least**region.gamma, missed * 0)  # nan stays nan
        slope = torch.where(some, region.gamma * at_least ** (region.gamma - 1), missed * 0)
    nothing = torch.zeros_like(slope)
    by_sums = (by_hits * slope, nothing, by_predicted * slope)
    return term, torch.stack(by_sums if region.squared else (by_sums[0], by_sums[2], nothing), 1)


def _shares(region: Region, weight: Tensor | None, sums: Tensor, ignored: Ignored, reduction: str) -> Tensor:
    """What the term of each class counts, (n, L): 0 of those that take no part, together 1 for a mean."""
    L = sums.shape[2]
    share = torch.ones_like(sums[:, 3]) if weight is None else statistics(weight).expand_as(sums[:, 3])
    kept = counted(ignored, L, sums.device)
    if region.classes is not None:
        # Of a mask: an index would be copied to a GPU, for which it would wait.
        number = torch.arange(L, device=sums.device)
        chosen = torch.stack([number == c for c in region.classes]).any(0)
        kept = chosen if kept is None else kept & chosen
    if kept is not None:
        share = share * kept
    if region.skip_absent:
        share = share * (sums[:, 3] > 0)
    if reduction == "sum":
        return share
    total = share.sum(1, keepdim=True)
    return share / torch.where(total == 0, 1.0, total)

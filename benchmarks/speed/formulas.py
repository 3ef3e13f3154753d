"""The rivals: each loss as a practitioner writes it in eager torch.

logits (B, L, h, w) float, target (B, H, W) int64 -> scalar, as the losses of ``pat_triton``; logits of another
size than their target are resized first. Tables of the data set's class counts come ready, as in training.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import reference
from pat_triton.losses import CATALOGUE

from .ours import NAMES

IGNORED = 255


def resize(logits: Tensor, target: Tensor) -> Tensor:
    """The logits at their target's size."""
    size = target.shape[1:]
    return logits if logits.shape[2:] == size else F.interpolate(logits, size, mode="bilinear")


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(resize(logits, target), target, ignore_index=IGNORED)


def focal(logits: Tensor, target: Tensor, gamma: float = 2.0) -> Tensor:
    ce = F.cross_entropy(resize(logits, target), target, ignore_index=IGNORED, reduction="none")
    return ((1 - torch.exp(-ce)) ** gamma * ce).sum() / (target != IGNORED).sum()


def class_balanced(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """weight (L,): ``balance``."""
    total = F.cross_entropy(resize(logits, target), target, weight, ignore_index=IGNORED, reduction="sum")
    return total / (target != IGNORED).sum()


def class_balanced_focal(logits: Tensor, target: Tensor, weight: Tensor, gamma: float = 2.0) -> Tensor:
    ce = F.cross_entropy(resize(logits, target), target, ignore_index=IGNORED, reduction="none")
    labelled = target != IGNORED
    own = weight[target.where(labelled, 0)]
    return (own * (1 - torch.exp(-ce)) ** gamma * ce).sum() / labelled.sum()


def balanced_softmax(logits: Tensor, target: Tensor, prior: Tensor) -> Tensor:
    """prior (L, 1, 1): log n."""
    return F.cross_entropy(resize(logits, target) + prior, target, ignore_index=IGNORED)


def ldam(logits: Tensor, target: Tensor, margin: Tensor, scale: float = 30.0) -> Tensor:
    """margin (L, 1, 1)."""
    logits = resize(logits, target)
    label = target.where(target != IGNORED, 0)[:, None]
    own = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, label, True)
    return F.cross_entropy(scale * torch.where(own, logits - margin, logits), target, ignore_index=IGNORED)


def blv(logits: Tensor, target: Tensor, variation: Tensor, sigma: float = 4.0) -> Tensor:
    """variation (L, 1, 1). The noise is drawn on the logits' device."""
    logits = resize(logits, target)
    noise = (sigma * torch.randn_like(logits)).abs().clamp(max=1)
    return F.cross_entropy(logits + variation * noise, target, ignore_index=IGNORED)


def pat(logits: Tensor, target: Tensor, temperature: float = 20.0) -> Tensor:
    """Equations 4 and 5 of the PAT paper, without its one-hot sums; ignored pixels are a mask of their own."""
    images, classes = logits.shape[:2]
    image = torch.arange(images, device=target.device)[:, None, None]
    mask = image * (classes + 1) + target.where(target != IGNORED, classes)
    sizes = torch.bincount(mask.flatten(), minlength=images * (classes + 1))
    ce = F.cross_entropy(resize(logits, target), target, ignore_index=IGNORED, reduction="none")
    beta = torch.exp((1 - torch.exp(-ce)) / temperature)
    return (beta * ce / sizes[mask]).sum() / images


def dice(logits: Tensor, target: Tensor, smooth: float = 1.0) -> Tensor:
    logits = resize(logits, target)
    labelled = (target != IGNORED)[:, None]
    hot = F.one_hot(target.where(labelled[:, 0], 0), logits.shape[1]).movedim(-1, 1) * labelled
    p = logits.softmax(1) * labelled
    overlap, both = (p * hot).sum((0, 2, 3)), (p + hot).sum((0, 2, 3))
    return (1 - (2 * overlap + smooth) / (both + smooth)).mean()


def pat_and_dice(logits: Tensor, target: Tensor) -> Tensor:
    """Each resizes the logits itself, as losses that are added up do."""
    return pat(logits, target) + dice(logits, target)


def balance(counts: Tensor) -> Tensor:
    """Effective-number weights (Cui et al. 2019) with beta = (N - 1) / N, that sum to the number of classes."""
    n = counts.double()
    w = 1 / -torch.expm1(n * torch.log1p(-1 / n.sum()))
    return (w * (len(w) / w.sum())).float()


def margins(counts: Tensor, largest: float = 0.5) -> Tensor:
    root = counts.double() ** -0.25
    return (largest * root / root.max()).float()[:, None, None]


def variations(counts: Tensor) -> Tensor:
    rarity = (counts.sum() / counts).log()
    return (rarity / rarity.max())[:, None, None]


@dataclass(frozen=True)
class Formula:
    """``loss(logits, target, *tables)``; table: the one it needs, of class counts (L,) above 0.

    options: those of our loss that are also its own, by the same name.
    """

    loss: Callable[..., Tensor]
    table: Callable[[Tensor], Tensor] | None = None
    options: tuple[str, ...] = ()

    def tables(self, counts: Tensor) -> tuple[Tensor, ...]:
        return () if self.table is None else (self.table(counts),)


WRITTEN = {
    "CrossEntropyLoss": Formula(cross_entropy),
    "FocalLoss": Formula(focal, options=("gamma",)),
    "ClassBalancedLoss": Formula(class_balanced, balance),
    "ClassBalancedFocalLoss": Formula(class_balanced_focal, balance, ("gamma",)),
    "BalancedSoftmaxLoss": Formula(balanced_softmax, lambda counts: counts.log()[:, None, None]),
    "LDAMLoss": Formula(ldam, margins, ("scale",)),
    "BLVLoss": Formula(blv, variations, ("sigma",)),
    "PATLoss": Formula(pat, options=("temperature",)),
    "PATLoss + DiceLoss": Formula(pat_and_dice),
}


def of_reference(loss: str) -> Formula:
    """The reference's, for a loss for which none is written above."""
    arguments = signature(CATALOGUE[loss].__init__).parameters
    own = tuple(name for name in arguments if name not in ("self", "class_counts", "weight", "options"))

    def call(logits: Tensor, target: Tensor, *counts: Tensor, **settings: Any) -> Tensor:
        given = {"class_counts": counts[0]} if counts else {}
        return getattr(reference, loss)(**given, **settings)(resize(logits, target), target)  # type: ignore[no-any-return]

    return Formula(call, (lambda counts: counts) if "class_counts" in arguments else None, own)


FORMULAS = {loss: WRITTEN.get(loss) or of_reference(loss) for loss in NAMES}

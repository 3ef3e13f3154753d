"""Region losses as they are written, of all labelled pixels of a class at once: p is the softmax of z."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .losses import Loss, Numbers


class RegionLoss(Loss):
    """What they share: by class I = sum of p at the label, P = sum of p, T = labelled pixels; the mean over classes."""

    def __init__(
        self,
        smooth: float = 1.0,
        per_image: bool = False,
        classes: Sequence[int] | None = None,
        skip_absent: bool = False,
        squared: bool = False,
        weight: Numbers = None,
        **options: Any,
    ) -> None:
        super().__init__(weight, **options)
        self.smooth, self.per_image, self.classes = smooth, per_image, classes
        self.skip_absent, self.squared = skip_absent, squared

    def of_sums(self, I: Tensor, P: Tensor, T: Tensor) -> Tensor:  # noqa: E741  (the literature's name)
        """The loss of each class."""
        raise NotImplementedError

    def __call__(self, logits: Tensor, target: Tensor, pixel_weight: Tensor | None = None) -> Tensor:
        z, y, labelled = self.prepared(logits, target)
        p = z.softmax(1)
        one_hot = torch.zeros_like(p).scatter(1, y.unsqueeze(1), 1.0)
        w = labelled.to(z.dtype) if pixel_weight is None else pixel_weight.reshape(y.shape).where(labelled, 0)
        w = w.unsqueeze(1).to(z.dtype)
        pixels = tuple(range(2, z.dim()))
        sums = [(w * part).sum(pixels) for part in (p * one_hot, p**2 if self.squared else p, one_hot)]
        if not self.per_image:
            sums = [s.sum(0, keepdim=True) for s in sums]
        share = (
            torch.ones_like(sums[2]) if self.weight is None else torch.ones_like(sums[2]) * z.new_tensor(self.weight)
        )
        for c in range(z.shape[1]):
            if c in self.ignored or (self.classes is not None and c not in self.classes):
                share[:, c] = 0
        if self.skip_absent:
            share = share * (sums[2] > 0)
        terms = self.of_sums(*sums) * share
        total = share.sum(1)
        mean = (terms.sum(1) / total.where(total > 0, 1)).sum() / max(len(terms), 1)
        return self.loss_weight * {"sum": terms.sum(), "mean": mean}[self.reduction]


class DiceLoss(RegionLoss):
    """1 - (2 I + smooth) / (P + T + smooth)."""

    def of_sums(self, I: Tensor, P: Tensor, T: Tensor) -> Tensor:  # noqa: E741
        return one_minus(2 * I + self.smooth, P + T + self.smooth)


class JaccardLoss(RegionLoss):
    """1 - (I + smooth) / (P + T - I + smooth)."""

    def of_sums(self, I: Tensor, P: Tensor, T: Tensor) -> Tensor:  # noqa: E741
        return one_minus(I + self.smooth, P + T - I + self.smooth)


class TverskyLoss(RegionLoss):
    """(1 - (I + smooth) / (I + alpha (P - I) + beta (T - I) + smooth)) ** gamma."""

    def __init__(self, alpha: float = 0.5, beta: float = 0.5, gamma: float = 1.0, *others: Any, **options: Any) -> None:
        super().__init__(*others, **options)
        self.alpha, self.beta, self.gamma = alpha, beta, gamma

    def of_sums(self, I: Tensor, P: Tensor, T: Tensor) -> Tensor:  # noqa: E741
        whole = I + self.alpha * (P - I) + self.beta * (T - I) + self.smooth
        missed = one_minus(I + self.smooth, whole)
        if self.gamma == 1:
            return missed
        # With slope 0 where nothing is missed: autograd's is infinite for gamma below 1.
        return torch.where(missed > 0, missed.where(missed > 0, 1.0) ** self.gamma, 0.0)


def one_minus(part: Tensor, whole: Tensor) -> Tensor:
    """1 - part / whole, 0 where nothing is there."""
    return torch.where(whole == 0, 0.0, 1 - part / whole.where(whole != 0, 1.0))


class SumLoss:
    """The sum of several losses, each times its factor."""

    def __init__(self, *terms: tuple[float, Any]) -> None:
        self.terms = terms

    def __call__(self, logits: Tensor, target: Tensor, pixel_weight: Tensor | None = None, **options: Any) -> Tensor:
        total: Any = 0
        for factor, loss in self.terms:
            given = {} if isinstance(loss, RegionLoss) else options
            total = total + factor * loss(logits, target, pixel_weight, **given)
        return total

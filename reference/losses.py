"""Each loss as its paper writes it: z is (B, L, *spatial), y and the terms (B, *spatial), counts (B, L)."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .philox import variates

Numbers = Sequence[float] | Tensor | None


def own_class(a: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(log p_y, 1 - p_y); the latter is the sum of the other probabilities, which does not cancel."""
    index = y.unsqueeze(1)
    log_p = a.log_softmax(1).gather(1, index).squeeze(1)
    return log_p, a.softmax(1).scatter(1, index, 0.0).sum(1)


def focus(q: Tensor, gamma: float) -> Tensor:
    """q^gamma, with slope 0 at q = 0: autograd's 0 * inf there is nan for gamma below 1."""
    return torch.where(q > 0, torch.where(q > 0, q, 1.0) ** gamma, 0.0**gamma)


def per_class(table: Tensor, z: Tensor) -> Tensor:
    """L float64 numbers in the logits' dtype, shaped to broadcast along their class dimension."""
    return table.to(z.dtype).view(-1, *[1] * (z.dim() - 2))


class Loss:
    """What the losses share: ignored pixels, class weights, counts, reduction. Subclasses give terms()."""

    def __init__(
        self,
        weight: Numbers = None,
        *,
        ignore_index: int | Sequence[int] = 255,
        reduction: str = "mean",
        loss_weight: float = 1.0,
        class_counts: Numbers = None,
        align_corners: bool = False,
    ) -> None:
        self.weight, self.class_counts = weight, class_counts
        self.ignored = [ignore_index] if isinstance(ignore_index, int) else list(ignore_index)
        self.reduction, self.loss_weight = reduction, loss_weight
        self.align_corners = align_corners

    def terms(self, z: Tensor, y: Tensor, counts: Tensor) -> Tensor:
        """The loss of every pixel; counts are the pixels of each class in each image."""
        raise NotImplementedError

    def normaliser(self, z: Tensor, counts: Tensor) -> float:
        """What "mean" divides the sum by: the number of labelled pixels."""
        return counts.sum().item()

    def class_weights(self, counts: Tensor) -> Tensor:
        """The user's L weights, or ones."""
        if self.weight is None:
            return counts.new_ones(counts.shape[1])
        return torch.as_tensor(self.weight, dtype=torch.float64, device=counts.device)

    def n(self, counts: Tensor) -> Tensor:
        """n_l: the counts given for the data set, else those of the batch; 0 for an ignored class."""
        if self.class_counts is None:
            return counts.sum(0)
        n = torch.as_tensor(self.class_counts, dtype=torch.float64, device=counts.device)
        return torch.where(self.counted(n), n, 0.0)

    def counted(self, n: Tensor) -> Tensor:
        """Which of the L classes are not ignored."""
        return torch.tensor([c not in self.ignored for c in range(len(n))], device=n.device)

    def prepared(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The logits at the labels' size, the labels, and which pixels are not ignored; those that are have logits and
        label 0."""
        if target.shape[-2:] != logits.shape[-2:] and logits.dim() == 4:
            size = target.shape[-2:]
            logits = F.interpolate(logits, size, mode="bilinear", align_corners=self.align_corners)
        target = target.reshape(logits.shape[:1] + logits.shape[2:]).long()
        labelled = ~torch.isin(target, torch.tensor(self.ignored, device=target.device))
        return logits.masked_fill(~labelled.unsqueeze(1), 0.0), target.masked_fill(~labelled, 0), labelled

    def __call__(self, logits: Tensor, target: Tensor, pixel_weight: Tensor | None = None) -> Tensor:
        z, y, labelled = self.prepared(logits, target)
        counts = torch.zeros(z.shape[:2], dtype=torch.float64, device=z.device)
        counts.scatter_add_(1, y.flatten(1), labelled.flatten(1).double())

        weight = self.class_weights(counts).to(z.dtype)[y]
        if pixel_weight is not None:
            weight = weight * pixel_weight.reshape(y.shape)
        terms = torch.where(labelled, self.loss_weight * weight * self.terms(z, y, counts), 0.0)
        total = terms.sum(dtype=torch.promote_types(z.dtype, torch.float32))  # float16 ends at 65504
        mean = total / (self.normaliser(z, counts) or 1.0)
        return {"none": terms, "sum": total, "mean": mean}[self.reduction].to(z.dtype)


class CrossEntropyLoss(Loss):
    """-log p_y; its weighted mean divides by the labelled pixels' weights, as torch.nn.CrossEntropyLoss."""

    def terms(self, z: Tensor, y: Tensor, counts: Tensor) -> Tensor:
        log_p, _ = own_class(z, y)
        return -log_p

    def normaliser(self, z: Tensor, counts: Tensor) -> float:
        return (self.class_weights(counts) * counts).sum().item()


class FocalLoss(Loss):
    """-(1 - p_y)^gamma log p_y (Lin et al. 2017, equation 4)."""

    def __init__(self, gamma: float = 2.0, **options: Any) -> None:
        super().__init__(**options)
        self.gamma = gamma

    def terms(self, z: Tensor, y: Tensor, counts: Tensor) -> Tensor:
        log_p, q = own_class(z, y)
        return -focus(q, self.gamma) * log_p


class ClassBalancedFocalLoss(Loss):
    """-w_y (1 - p_y)^gamma log p_y, w_l = (1 - beta) / (1 - beta^n_l) (Cui et al. 2019, section 4).

    The w of the classes that occur sum to their number; beta is (N - 1) / N if not given.
    """

    def __init__(
        self, class_counts: Numbers = None, beta: float | None = None, gamma: float = 2.0, **options: Any
    ) -> None:
        super().__init__(class_counts=class_counts, **options)
        self.beta, self.gamma = beta, gamma

    def balance(self, n: Tensor) -> Tensor:
        """w_l, with 1 - beta^n as -expm1(n log1p(-(1 - beta))): beta is within 1e-9 of 1 on pixel counts."""
        rest = 1 / n.sum().clamp(min=1) if self.beta is None else 1 - n.new_tensor(self.beta)
        present = n > 0
        w = rest / -torch.expm1(n[present] * torch.log1p(-rest))
        return torch.zeros_like(n).masked_scatter(present, w / w.mean())

    def terms(self, z: Tensor, y: Tensor, counts: Tensor) -> Tensor:
        log_p, q = own_class(z, y)
        return -self.balance(self.n(counts)).to(z.dtype)[y] * focus(q, self.gamma) * log_p


class ClassBalancedLoss(ClassBalancedFocalLoss):
    """-w_y log p_y (Cui et al. 2019, section 4): the above with gamma = 0."""

    def __init__(self, class_counts: Numbers = None, beta: float | None = None, **options: Any) -> None:
        super().__init__(class_counts, beta, gamma=0.0, **options)


class BalancedSoftmaxLoss(Loss):
    """-log (n_y exp z_y / sum_l n_l exp z_l) (Ren et al. 2020, Balanced Meta-Softmax)."""

    def __init__(self, class_counts: Numbers = None, **options: Any) -> None:
        super().__init__(class_counts=class_counts, **options)

    def terms(self, z: Tensor, y: Tensor, counts: Tensor) -> Tensor:
        n = self.n(counts).clamp(min=1)
        log_p, _ = own_class(z + per_class(n.log(), z), y)
        return -log_p


class LDAMLoss(Loss):
    """Cross-entropy of s (z_l - margin_l [l = y]), margin_l = C / n_l^(1/4) (Cao et al. 2019)."""

    def __init__(
        self, class_counts: Numbers = None, max_margin: float = 0.5, scale: float = 30.0, **options: Any
    ) -> None:
        super().__init__(class_counts=class_counts, **options)
        self.max_margin, self.scale = max_margin, scale

    def terms(self, z: Tensor, y: Tensor, counts: Tensor) -> Tensor:
        n = self.n(counts)
        root = torch.where(self.counted(n), n.clamp(min=1) ** 0.25, torch.inf)
        margin = self.max_margin * root.min() / root
        own = F.one_hot(y, z.shape[1]).movedim(-1, 1)
        log_p, _ = own_class(self.scale * (z - per_class(margin, z) * own), y)
        return -log_p


class BLVLoss(Loss):
    """Cross-entropy of z_l + c_l |v|, c_l = (log N - log n_l) / max (Wang et al. 2023).

    v ~ N(0, sigma), U(-sigma, sigma) or, for Xavier, N(0, sigma sqrt(1 / L)), clamped to [-1, 1].
    """

    def __init__(
        self,
        class_counts: Numbers = None,
        sigma: float = 4.0,
        distribution: str = "gaussian",
        **options: Any,
    ) -> None:
        super().__init__(class_counts=class_counts, **options)
        self.sigma, self.distribution = sigma, distribution

    def __call__(
        self, logits: Tensor, target: Tensor, pixel_weight: Tensor | None = None,
        seed: tuple[int, int] = (0, 0), training: bool = True,
    ) -> Tensor:  # fmt: skip
        self.seed, self.training = seed, training
        return super().__call__(logits, target, pixel_weight)

    def variation(self, z: Tensor) -> Tensor:
        """|v|, drawn in float32 for every dtype."""
        gain = {"gaussian": 1.0, "uniform": 1.0, "xavier": math.sqrt(1 / z.shape[1])}[self.distribution]
        v = self.sigma * gain * variates(z.shape, self.seed, self.distribution == "uniform", z.device)
        return v.abs().clamp(max=1).to(z.dtype)

    def terms(self, z: Tensor, y: Tensor, counts: Tensor) -> Tensor:
        if self.training:
            n = self.n(counts)
            c = n.sum().clamp(min=1).log() - n.clamp(min=1).log()
            c = torch.where(self.counted(n), c, 0.0)
            c = c / c.max() if c.max() > 0 else torch.zeros_like(c)
            z = z + per_class(c, z) * self.variation(z)
        log_p, _ = own_class(z, y)
        return -log_p


class PATLoss(Loss):
    """-1/B sum beta_y / S_by log p_y, beta = exp((1 - p - eps) / T), S_bl pixels of l in image b.

    Pixel-wise Adaptive Training, arXiv 2404.05393: equations 4 and 5 are "paper"; the values of its Table 1
    have the reciprocal beta, "table1"; the authors' code is "release": softmax of z / T,
    beta = 1 / (2 exp(p - 1)), no S, the mean over all B L H W elements.
    """

    def __init__(
        self,
        temperature: float = 20.0,
        epsilon: float = 0.0,
        variant: str = "paper",
        detach_weight: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.temperature, self.epsilon = temperature, epsilon
        self.variant, self.detach_weight = variant, detach_weight

    def terms(self, z: Tensor, y: Tensor, counts: Tensor) -> Tensor:
        release = self.variant == "release"
        log_p, q = own_class(z / self.temperature if release else z, y)
        beta = {
            "paper": ((q - self.epsilon) / self.temperature).exp(),
            "table1": ((self.epsilon - q) / self.temperature).exp(),
            "release": q.exp() / 2,
        }[self.variant]
        if self.detach_weight:
            beta = beta.detach()
        size = counts.gather(1, y.flatten(1)).view(y.shape).clamp(min=1)
        return -beta * log_p if release else -beta * (1 / size).to(z.dtype) * log_p

    def normaliser(self, z: Tensor, counts: Tensor) -> float:
        return z.numel() if self.variant == "release" else z.shape[0]

"""The rivals: each loss as a practitioner writes it in eager torch.

logits (B, L, H, W) float, target (B, H, W) int64 -> scalar, as the losses of ``pat_triton``.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, target: Tensor, ignore_index: int = 255) -> Tensor:
    return F.cross_entropy(logits, target, ignore_index=ignore_index)


def pat(logits: Tensor, target: Tensor, temperature: float = 20.0, ignore_index: int = 255) -> Tensor:
    """Equations 4 and 5 of the PAT paper, with a gather where the paper has a one-hot sum."""
    images, classes = logits.shape[:2]
    labelled = target != ignore_index
    label = target.where(labelled, 0)
    u = F.log_softmax(logits, 1).gather(1, label[:, None])[:, 0]
    beta = torch.exp((1 - u.exp()) / temperature)

    image = torch.arange(images, device=target.device)[:, None, None]
    bins = image * classes + label
    sizes = torch.bincount(bins[labelled], minlength=images * classes).clamp(min=1)
    return -(beta * u / sizes[bins])[labelled].sum() / images


def pat_release(logits: Tensor, target: Tensor, temperature: float = 20.0, ignore_index: int = 255) -> Tensor:
    """As the PAT authors' code computes it."""
    labelled = target != ignore_index
    onehot = F.one_hot(target.where(labelled, 0), logits.shape[1]).movedim(-1, 1).float() * labelled[:, None]
    logp = F.log_softmax(logits / temperature, 1)
    beta = 1 / (2 * torch.exp(logp.exp() - 1))
    return (-(logp * onehot * beta)).mean()


def blv(logits: Tensor, target: Tensor, class_counts: Tensor, sigma: float = 4.0, ignore_index: int = 255) -> Tensor:
    """The BLV paper's variation, its noise drawn on the logits' device; class_counts (L,)."""
    counts = class_counts.to(logits.device, torch.float64)
    variation = counts.sum().log() - counts.clamp(min=1).log()
    variation = (variation / variation.max()).to(logits.dtype)
    noise = torch.empty_like(logits).normal_(0, sigma).abs().clamp(max=1)
    return F.cross_entropy(logits + variation[:, None, None] * noise, target, ignore_index=ignore_index)


def resized(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """``loss`` after the usual resize of the logits to their target's size, if they are of another."""

    def full_size(logits: Tensor, target: Tensor) -> Tensor:
        size = target.shape[1:]
        same = logits.shape[2:] == size
        return loss(logits if same else F.interpolate(logits, size, mode="bilinear"), target)

    return full_size

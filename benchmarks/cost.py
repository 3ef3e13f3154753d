"""What a loss costs in a training step: time and memory of its forward and backward alone."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .measure import median_time, peak_bytes

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Cost:
    """seconds: median of a call. bytes: most alive at once beyond the logits. copies: as logits."""

    seconds: float
    bytes: int
    copies: float


def cost(loss: Loss, logits: Tensor, target: Tensor) -> Cost:
    """logits (B, L, H, W) that require a gradient, target (B, H, W)."""

    def step() -> None:
        torch.autograd.grad(loss(logits, target), logits)

    peak = peak_bytes(step, logits.device)
    return Cost(median_time(step, logits.device, repeats=15), peak, peak / logits.nbytes)


def disagreement(ours: Loss, theirs: Loss, logits: Tensor, target: Tensor) -> float:
    """Largest difference between the gradients of two losses, over the largest gradient."""
    mine, other = (torch.autograd.grad(loss(logits, target), logits)[0] for loss in (ours, theirs))
    return ((mine - other).abs().max() / other.abs().max()).item()

"""What a loss costs in a training step: time and memory of its forward and backward alone."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .measure import peak_bytes, times

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Cost:
    """seconds: median of a call. bytes: most alive at once beyond the logits. copies: in logits of full size."""

    seconds: float
    fastest: float
    slowest: float
    bytes: int
    copies: float


def costs(losses: Mapping[str, Loss], logits: Tensor, target: Tensor) -> dict[str, Cost]:
    """logits (B, L, h, w) that require a gradient, target (B, H, W)."""
    copy = logits.element_size() * logits.shape[1] * target.numel()
    steps = {name: partial(_step, loss, logits, target) for name, loss in losses.items()}
    peaks = {name: peak_bytes(step, logits.device) for name, step in steps.items()}
    taken = times(steps, logits.device, repeats=9)
    return {
        name: Cost(statistics.median(t), min(t), max(t), peaks[name], peaks[name] / copy) for name, t in taken.items()
    }


def _step(loss: Loss, logits: Tensor, target: Tensor) -> None:
    torch.autograd.grad(loss(logits, target), logits)


def disagreement(ours: Loss, theirs: Loss, logits: Tensor, target: Tensor) -> float:
    """Largest difference between the gradients of two losses, over the largest gradient."""
    mine, other = (torch.autograd.grad(loss(logits, target), logits)[0] for loss in (ours, theirs))
    return ((mine - other).abs().max() / other.abs().max()).item()

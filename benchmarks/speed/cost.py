"""What a loss costs in a training step: time and memory of its forward and backward alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import quantiles

import torch
from torch import Tensor

from pat_triton.backends.torch import workspace

from .timing import Step, footprint, times

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Cost:
    """Of a call.

    seconds: the median of ``repeats``; low and high are the quartiles.
    bytes: most alive at once beyond the logits. copies: the same in logits of full size.
    launches: kernels on a GPU, aten operators on a CPU.
    """

    seconds: float
    low: float
    high: float
    repeats: int
    bytes: int
    copies: float
    launches: int


def costs(losses: Mapping[str, Loss], logits: Tensor, target: Tensor) -> dict[str, Cost]:
    """logits (B, L, h, w) that require a gradient, target (B, H, W)."""
    steps = {name: partial(_step, loss, logits, target) for name, loss in losses.items()}
    for step in steps.values():
        step()  # what only a first call does
    return measured(steps, logits, target, budget=1.0)


def measured(
    steps: Mapping[str, Step], logits: Tensor, target: Tensor, budget: float, turns: tuple[int, int] | None = None
) -> dict[str, Cost]:
    """Of steps that have run before; budget: seconds of timing for each; turns: as of ``times``."""
    copy = logits.element_size() * logits.shape[1] * target.numel()
    footprints = {}
    for name, step in steps.items():
        footprints[name] = _footprint(step, logits.device)
    taken = times(steps, logits.device, budget, turns)
    made = {}
    for name, (peak, launches) in footprints.items():
        t = taken[name]
        low, middle, high = quantiles(t, method="inclusive") if len(t) > 1 else t * 3
        made[name] = Cost(middle, low, high, len(t), peak, peak / copy, launches)
    return made


def _footprint(step: Step, device: torch.device) -> tuple[int, int]:
    """As ``footprint``, of which a profiler sees what one thread does: with the scratch memory of the others."""
    if device.type != "cpu":
        return footprint(step, device)
    workspace.forget()  # what is kept from an earlier call is a call's, too
    step()
    each = workspace.kept()
    workspace.forget()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        peak, operators = footprint(step, device)
    finally:
        torch.set_num_threads(threads)
    return peak + sum(each) - max(each, default=0), operators


def _step(loss: Loss, logits: Tensor, target: Tensor) -> None:
    torch.autograd.grad(loss(logits, target), logits)


def disagreement(ours: Loss, theirs: Loss, logits: Tensor, target: Tensor) -> float:
    """Largest difference between the gradients of two losses, over the largest gradient."""
    mine, other = (torch.autograd.grad(loss(logits, target), logits)[0] for loss in (ours, theirs))
    return ((mine - other).abs().max() / other.abs().max()).item()

"""How the learning rate goes over a training."""

import math
from collections.abc import Callable

POWER = 0.9  # of "poly", as DeepLab (Chen et al. 2017) has it

SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "poly": lambda done: (1 - done) ** POWER,
    "constant": lambda done: 1.0,
}


def share_of_rate(name: str, done: float, warmup: float) -> float:
    """Of the highest learning rate, after that share of the steps; during the first ``warmup`` of them it rises."""
    rising = min(1.0, (done + 1e-3) / warmup) if warmup else 1.0
    return rising * SCHEDULES[name](done)

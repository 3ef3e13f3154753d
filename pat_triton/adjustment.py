"""(a) Adjustments: class statistics -> tables of L numbers that change the logits.

    a_l = scale_l * (z_l + offset_l - margin_l * [l = label]) + variation_l * |v|

An adjustment is called with the pixel counts n_l, int64 (L,), of the batch or of the data set, and
returns float64 ``Tables``. Several are combined by giving a tuple of them.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from .checks import known, non_negative, positive


@dataclasses.dataclass(frozen=True)
class Noise:
    """|v| = min(|sigma * variate|, 1), one variate for every (image, class, pixel)."""

    distribution: str
    sigma: float


@dataclasses.dataclass(frozen=True)
class Tables:
    """What an adjustment gives: (L,) tables, None where it changes nothing."""

    scale: Tensor | None = None
    offset: Tensor | None = None
    margin: Tensor | None = None
    variation: Tensor | None = None
    noise: Noise | None = None

    @property
    def unchanged(self) -> bool:
        return self.scale is self.offset is self.margin is self.variation is None

    def to(self, dtype: torch.dtype) -> "Tables":
        def cast(table: Tensor | None) -> Tensor | None:
            return None if table is None else table.to(dtype)

        return Tables(cast(self.scale), cast(self.offset), cast(self.margin), cast(self.variation), self.noise)

    def calm(self) -> "Tables":
        """The same without variation: what evaluation uses."""
        return dataclasses.replace(self, variation=None, noise=None)


Adjustment = Callable[[Tensor], Tables]


def statistics(counts: Tensor) -> Tensor:
    """Counts as float64, where the device has it."""
    return counts.to(torch.float32 if counts.device.type == "mps" else torch.float64)


@dataclasses.dataclass(frozen=True)
class Scale:
    """a = scale * z; scale > 0. 1 / T is a softmax temperature."""

    scale: float

    def __post_init__(self) -> None:
        positive("scale", self.scale)

    def __call__(self, counts: Tensor) -> Tables:
        return Tables(scale=torch.full_like(statistics(counts), self.scale))


@dataclasses.dataclass(frozen=True)
class LogPrior:
    """offset = log n_l: balanced softmax (Ren et al. 2020, equation 4)."""

    def __call__(self, counts: Tensor) -> Tables:
        return Tables(offset=statistics(counts).clamp(min=1).log())


@dataclasses.dataclass(frozen=True)
class Margin:
    """margin_l = C / n_l ** (1/4), the largest = max_margin (LDAM, Cao et al. 2019, equation 13)."""

    max_margin: float = 0.5

    def __post_init__(self) -> None:
        positive("max_margin", self.max_margin)

    def __call__(self, counts: Tensor) -> Tables:
        root = statistics(counts).clamp(min=1) ** -0.25
        return Tables(margin=root * (self.max_margin / root.max()))


@dataclasses.dataclass(frozen=True)
class Variation:
    """variation_l = (log N - log n_l) / the largest of these (BLV, Wang et al. 2023): tail classes vary most.

    ``distribution``: "gaussian" N(0, sigma), "uniform" U(-sigma, sigma), or "xavier"
    N(0, sigma * sqrt(1 / L)); all clamped to [-1, 1].
    """

    sigma: float = 4.0
    distribution: str = "gaussian"

    DISTRIBUTIONS: ClassVar = ("gaussian", "uniform", "xavier")

    def __post_init__(self) -> None:
        non_negative("sigma", self.sigma)
        known("distribution", self.distribution, self.DISTRIBUTIONS)

    def __call__(self, counts: Tensor) -> Tables:
        n = statistics(counts)
        rarity = n.sum().clamp(min=1).log() - n.clamp(min=1).log()
        largest = rarity.max()
        # One class holding every pixel that was counted makes them all 0: no variation, not 0/0.
        variation = rarity / torch.where(largest > 0, largest, 1.0)
        if self.distribution == "xavier":
            noise = Noise("gaussian", self.sigma * math.sqrt(1 / len(n)))
        else:
            noise = Noise(self.distribution, self.sigma)
        return Tables(variation=variation, noise=noise)


def combine(adjustments: tuple[Adjustment, ...], counts: Tensor) -> Tables:
    """Scales multiply, offsets and margins add, one variation at most."""
    total = Tables()
    for adjustment in adjustments:
        new = adjustment(counts)
        if total.noise is not None and new.noise is not None:
            raise ValueError("adjustment: expected at most one variation, got two")
        total = Tables(
            scale=_join(torch.mul, total.scale, new.scale),
            offset=_join(torch.add, total.offset, new.offset),
            margin=_join(torch.add, total.margin, new.margin),
            variation=total.variation if new.variation is None else new.variation,
            noise=total.noise or new.noise,
        )
    return total


def _join(op: Callable[[Tensor, Tensor], Tensor], a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return op(a, b)

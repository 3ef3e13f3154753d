"""(a) Adjustments: class statistics -> tables of L numbers that change the logits.

    a_l = scale_l * (z_l + offset_l - margin_l * [l = label]) + variation_l * |v|

An adjustment is called with the pixel counts n_l, int64 (L,), of the batch or of the data set, and
returns float64 ``Tables``. Several are combined by giving a tuple of them. Those of this file are data,
``AdjustmentNumbers``, of which either ``tables`` here or a kernel makes the tables.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from .checks import known, non_negative, positive, store


class Noise(NamedTuple):
    """|v| = min(|sigma * variate|, 1), one variate for every (image, class, pixel)."""

    distribution: str
    sigma: float


@dataclasses.dataclass(frozen=True)
class Tables:
    """What an adjustment gives: (L,) tables, None where it changes nothing. noise: what is drawn for every image, class
    and pixel; variation: what it is multiplied by."""

    scale: Tensor | None = None
    offset: Tensor | None = None
    margin: Tensor | None = None
    variation: Tensor | None = None
    noise: Noise | None = None

    @property
    def rows(self) -> tuple[str, ...]:
        """The names of its tables."""
        return tuple(name for name in ROWS if getattr(self, name) is not None)

    def without_noise(self) -> "Tables":
        """The same without variation: what evaluation uses."""
        return dataclasses.replace(self, variation=None, noise=None)


ROWS = ("scale", "offset", "margin", "variation")
Adjustment = Callable[[Tensor], Tables]


class AdjustmentNumbers(NamedTuple):
    """Adjustments as data, None where they change nothing: the scale of the logits; the factor of log n_l in the
    offset; the largest margin, the others falling as n_l ** (-1/4); and the distribution of the variation's noise,
    where "xavier" is still to be scaled by the number of classes. Floats, or in a graph tensors without dimensions."""

    scale: float | None = None
    offset: float | None = None
    margin: float | None = None
    variation: Noise | None = None

    def and_then(self, other: "AdjustmentNumbers") -> "AdjustmentNumbers":
        """Scales multiply, offsets and margins add, one variation at most."""
        if self.variation and other.variation:
            raise ValueError("adjustment: expected at most one that adds noise, such as Variation, got two")
        return AdjustmentNumbers(
            _join(float.__mul__, self.scale, other.scale),
            _join(float.__add__, self.offset, other.offset),
            _join(float.__add__, self.margin, other.margin),
            self.variation or other.variation,
        )

    def without_noise(self) -> "AdjustmentNumbers":
        return self._replace(variation=None)

    @property
    def rows(self) -> tuple[str, ...]:
        return tuple(name for name in ROWS if getattr(self, name) is not None)


def statistics(counts: Tensor) -> Tensor:
    """Counts as float64, where the device has it."""
    return counts.to(torch.float32 if counts.device.type == "mps" else torch.float64)


def _log(count: Tensor) -> Tensor:
    """Of whole numbers from 1, exact less 1. On a CPU ``log`` is MKL's, with a parallel region for 150 numbers."""
    return torch.log1p(count - 1)


def noise_of(variation: Noise | None, classes: int) -> Noise | None:
    """Of so many classes: Xavier's is a normal distribution."""
    if variation is None or variation.distribution != "xavier":
        return variation
    return Noise("gaussian", variation.sigma * math.sqrt(1 / classes))


def tables(amounts: AdjustmentNumbers, counts: Tensor, counted: Tensor | None = None) -> Tables:
    """The float64 tables of classes that occur so often, int64 (L,). counted: bool (L,), not of ignored classes, which
    have no margin and no variation; None for all."""
    n = statistics(counts)
    at_least_one = n.clamp(min=1)
    scale = offset = margin = variation = None
    if amounts.scale is not None:
        scale = torch.ones_like(n) * amounts.scale
    if amounts.offset is not None:
        offset = _log(at_least_one) * amounts.offset
    if amounts.margin is not None:
        root = at_least_one**-0.25 if counted is None else at_least_one**-0.25 * counted
        margin = root * (amounts.margin / root.max())
    if amounts.variation is not None:
        rarity = _log(n.sum().clamp(min=1)) - _log(at_least_one)
        rarity = rarity if counted is None else rarity * counted
        largest = rarity.max()
        # One class holding every pixel that was counted makes them all 0: no variation, not 0/0.
        variation = rarity / torch.where(largest > 0, largest, 1.0)
    return Tables(scale, offset, margin, variation, noise_of(amounts.variation, len(n)))


class Described:
    """An adjustment that is data."""

    amounts: AdjustmentNumbers

    def __call__(self, counts: Tensor, counted: Tensor | None = None) -> Tables:
        return tables(self.amounts, counts, counted)


@dataclasses.dataclass(frozen=True)
class Scale(Described):
    """Multiplies the logits by a scale above 0. A scale of 1 / T is a softmax with temperature T."""

    scale: float

    def __post_init__(self) -> None:
        store(self, scale=positive("scale", self.scale))

    @property
    def amounts(self) -> AdjustmentNumbers:  # type: ignore[override]
        return AdjustmentNumbers(scale=self.scale)


@dataclasses.dataclass(frozen=True)
class LogPrior(Described):
    """Adds log n_l to the logits: balanced softmax (Ren et al. 2020, equation 4)."""

    amounts = AdjustmentNumbers(offset=1.0)


@dataclasses.dataclass(frozen=True)
class Margin(Described):
    """Subtracts a margin from the label's logit: C / n_l ** (1/4), the largest of which is ``max_margin``
    (LDAM, Cao et al. 2019, equation 13)."""

    max_margin: float = 0.5

    def __post_init__(self) -> None:
        store(self, max_margin=positive("max_margin", self.max_margin))

    @property
    def amounts(self) -> AdjustmentNumbers:  # type: ignore[override]
        return AdjustmentNumbers(margin=self.max_margin)


@dataclasses.dataclass(frozen=True)
class Variation(Described):
    """Adds noise to the logits, times (log N - log n_l) / the largest of these: tail classes vary most
    (BLV, Wang et al. 2023).

    ``distribution`` is "gaussian", N(0, sigma), "uniform", U(-sigma, sigma), or "xavier", N(0, sigma * sqrt(1 / L)).
    All are clamped to [-1, 1], and the absolute value of what was drawn is added.
    """

    sigma: float = 4.0
    distribution: str = "gaussian"

    DISTRIBUTIONS: ClassVar = ("gaussian", "uniform", "xavier")

    def __post_init__(self) -> None:
        store(self, sigma=non_negative("sigma", self.sigma))
        known("distribution", self.distribution, self.DISTRIBUTIONS)

    @property
    def amounts(self) -> AdjustmentNumbers:  # type: ignore[override]
        return AdjustmentNumbers(variation=Noise(self.distribution, self.sigma))


DESCRIBED = (Scale, LogPrior, Margin, Variation)


def described(adjustments: tuple[Adjustment, ...]) -> AdjustmentNumbers | None:
    """All of them as data; None where one is not of this file, which may do anything."""
    total = AdjustmentNumbers()
    for adjustment in adjustments:
        if type(adjustment) not in DESCRIBED:
            return None
        total = total.and_then(adjustment.amounts)  # type: ignore[attr-defined]
    return total


def combine(adjustments: tuple[Adjustment, ...], counts: Tensor, counted: Tensor | None = None) -> Tables:
    """The tables of all of them: scales multiply, offsets and margins add, one variation at most."""
    total = Tables()
    for adjustment in adjustments:
        new = adjustment(counts, counted) if isinstance(adjustment, Described) else adjustment(counts)
        if not isinstance(new, Tables):
            raise TypeError(f"adjustment: {adjustment!r} returned {new!r}, expected pat_triton.adjustment.Tables")
        if total.noise is not None and new.noise is not None:
            raise ValueError("adjustment: expected at most one that adds noise, such as Variation, got two")
        total = Tables(
            scale=_join(torch.mul, total.scale, new.scale),
            offset=_join(torch.add, total.offset, new.offset),
            margin=_join(torch.add, total.margin, new.margin),
            variation=total.variation if new.variation is None else new.variation,
            noise=total.noise or new.noise,
        )
    return total


def _join(op: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    return op(a, b)

"""(c) Weight tables: mask sizes -> how much a labelled pixel of each image and class weighs.

A rule is called with a ``Census`` and returns ``(table, normaliser)``, float64: (B, L) or (L,)
weights or one for all, and what "mean" divides the summed loss by.
"""

import dataclasses
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from .adjustment import statistics
from .checks import finite


class Census:
    """What a rule or an adjustment may count; nothing is counted until it is asked for.

    sizes: S[b, l], labelled pixels of image b and class l, int64 (B, L).
    counts: n_l of the data set, or of the batch where none were given, int64 (L,).
    weight: the loss's class weights (L,), or None; they multiply every table afterwards.
    pixels: B * H * W of the target, labelled or not.
    """

    def __init__(
        self,
        histogram: Callable[[], Tensor],
        logits: Tensor,
        target: Tensor,
        counts: Tensor | None,
        weight: Tensor | None,
    ) -> None:
        self._histogram = histogram
        self._counts = counts
        self.weight = None if weight is None else statistics(weight)
        self.images, self.classes = logits.shape[:2]
        self.pixels = target.numel()
        self.device = logits.device

    @cached_property
    def histogram(self) -> Tensor:
        """sizes and, in column L, the labels that are neither a class nor ignored: int64 (B, L + 1)."""
        return self._histogram()

    @property
    def sizes(self) -> Tensor:
        return self.histogram[:, : self.classes]

    @cached_property
    def counts(self) -> Tensor:
        return self.sizes.sum(0) if self._counts is None else self._counts

    def labelled(self) -> Tensor:
        return statistics(self.sizes.sum())


Rule = Callable[[Census], tuple[Tensor | float, Tensor | float]]


@dataclasses.dataclass(frozen=True)
class Pixel:
    """Every labelled pixel counts alike: 1 / labelled pixels."""

    def __call__(self, census: Census) -> tuple[Tensor | float, Tensor | float]:
        return 1.0, census.labelled()


@dataclasses.dataclass(frozen=True)
class WeightedPixel:
    """As ``Pixel``, but the mean divides by the summed class weights of the labelled pixels, as torch."""

    def __call__(self, census: Census) -> tuple[Tensor | float, Tensor | float]:
        if census.weight is None:
            return 1.0, census.labelled()
        return 1.0, (statistics(census.sizes.sum(0)) * census.weight).sum()


@dataclasses.dataclass(frozen=True)
class EffectiveNumber:
    """(1 - beta) / (1 - beta ** n_l), normalised to sum to the number of classes present (Cui et al. 2019).

    beta in [0, 1); None is (N - 1) / N with N the sum of n. Absent classes weigh 0.
    """

    beta: float | None = None

    def __post_init__(self) -> None:
        if self.beta is not None and not 0 <= finite("beta", self.beta) < 1:
            raise ValueError(f"beta: expected None or a number in [0, 1), got {self.beta}")

    def __call__(self, census: Census) -> tuple[Tensor | float, Tensor | float]:
        n = statistics(census.counts)
        rest = 1 / n.sum().clamp(min=1) if self.beta is None else torch.full_like(n[0], 1 - self.beta)
        # 1 - beta ** n without cancelling; log1p(-1) * 0 would be nan where n is 0.
        shared = -torch.expm1(n.clamp(min=1) * torch.log1p(-rest))
        present = n > 0
        table = torch.where(present, rest / shared, 0.0)
        return table * (present.sum() / table.sum().clamp(min=torch.finfo(n.dtype).tiny)), census.labelled()


@dataclasses.dataclass(frozen=True)
class MaskSize:
    """1 / S[b, l], the mean over the B images (PAT, equation 5). A class absent from an image weighs 0."""

    def __call__(self, census: Census) -> tuple[Tensor | float, Tensor | float]:
        sizes = statistics(census.sizes)
        return sizes.reciprocal().masked_fill_(sizes == 0, 0), census.images


@dataclasses.dataclass(frozen=True)
class Element:
    """Mean over all B * L * H * W elements, ignored pixels counted (the released PAT)."""

    def __call__(self, census: Census) -> tuple[Tensor | float, Tensor | float]:
        return 1.0, census.pixels * census.classes


def weight_table(rule: Rule, census: Census, mean: bool, loss_weight: float, dtype: torch.dtype) -> Tensor:
    """The (B, L) table a path multiplies by: class and loss weights in, the mean divided out in float64."""
    table, normaliser = rule(census)
    if census.weight is not None:
        table = census.weight * table
    if mean:
        # Nothing labelled, or an empty batch: 0 / 1, not 0 / 0.
        if isinstance(normaliser, Tensor):
            normaliser = normaliser.masked_fill(normaliser == 0, 1)
        else:
            normaliser = max(normaliser, 1)
        table = table / normaliser
    if loss_weight != 1:
        table = table * loss_weight
    shape = census.images, census.classes
    if isinstance(table, Tensor):
        return table.to(dtype).expand(shape).contiguous()
    return torch.full(shape, table, dtype=dtype, device=census.device)

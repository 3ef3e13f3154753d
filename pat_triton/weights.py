"""(c) Weight tables: mask sizes -> how much a labelled pixel of each image and class weighs.

A rule is called with a ``LabelCounts`` and returns ``(table, normaliser)``, float64: (B, L) or (L,)
weights or one for all, and what "mean" divides the summed loss by. Those of this file are data, a ``numerator`` and
a ``divisor``, of which ``by_name`` here or a kernel makes the table.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor

from . import checks, private
from .adjustment import statistics
from .inputs import Ignored, counted

if TYPE_CHECKING:
    from .settings import Settings

T = TypeVar("T")


def cached(method: Callable[[Any], T]) -> property:
    """``functools.cached_property``, whose lock torch.compile does not know."""

    name = method.__qualname__

    def get(self: Any) -> T:
        if name not in self.held:
            self.held[name] = method(self)
        return self.held[name]

    return property(get)


class LabelCounts:
    """What a rule or an adjustment may count; nothing is counted until it is asked for.

    shape: (B, L) of this process's images.
    ignored: the labels that have no loss, which may be classes.
    weight: the loss's class weights (L,), or None; they multiply every table afterwards.
    """

    def __init__(
        self,
        histogram: Callable[[], Tensor],
        target: Tensor,
        classes: int,
        ignored: Ignored = (),
        *,
        counts: Tensor | None = None,
        weight: Tensor | None = None,
        mask_sizes: Tensor | None = None,
    ) -> None:
        self._histogram = histogram
        self._counts, self._mask_sizes = counts, mask_sizes
        self.weight = None if weight is None else statistics(weight)
        self.shape = target.shape[0], classes
        self.ignored = ignored
        self.target = target
        self._asked = False
        self.held: dict[str, Any] = {}

    @property
    def images(self) -> int | Tensor:
        """B of the batch."""
        return self.target.shape[0]

    @property
    def pixels(self) -> int | Tensor:
        """B * H * W of the batch, labelled or not."""
        return self.target.numel()

    @cached
    def histogram(self) -> Tensor:
        """Of this process's images: sizes and, in column L, the labels that are neither a class nor ignored,
        int64 (B, L + 1)."""
        return self._histogram()

    @property
    def sizes(self) -> Tensor:
        """S[b, l], labelled pixels of image b and class l, int64 (B, L)."""
        return self.histogram[:, : self.shape[1]]

    @property
    def mask_sizes(self) -> Tensor:
        """S[b, l] as the caller gave it, else ``sizes``; floating point. nan where the caller's is less than
        the pixels that there are."""
        self._asked = True
        if self._mask_sizes is None:
            return statistics(self.sizes)
        return statistics(self._mask_sizes).masked_fill(self._mask_sizes < self.sizes, torch.nan)

    @cached
    def batch(self) -> Tensor:
        """Labelled pixels of each class in the batch, int64 (L,)."""
        return self.sizes.sum(0)

    @cached
    def counted(self) -> Tensor | None:
        """The classes that are not ignored, bool (L,); None for all."""
        return counted(self.ignored, self.shape[1], self.target.device)

    @property
    def counts(self) -> Tensor:
        """n_l of the data set, or of the batch where none were given, int64 (L,); 0 for an ignored class."""
        if self._counts is None:
            return self.batch
        return self._counts if self.counted is None else self._counts * self.counted

    def labelled(self) -> Tensor:
        return statistics(self.batch.sum())

    def used_by(self, rule: Any) -> None:
        """ValueError if the rule has not asked for mask sizes that were given."""
        if self._mask_sizes is not None and not self._asked:
            raise checks.mask_sizes_unused(rule)

    def check_labels(self, settings: "Settings") -> None:
        """ValueError for labels that are neither a class nor ignored, and for mask sizes less than the target's."""
        checks.counts_of_call(settings, self.histogram, self.target, self._mask_sizes, self._counts)

    @property
    def world_size(self) -> int:
        """On how many processes the batch lies."""
        return 1

    @property
    def global_offset(self) -> Tensor | None:
        """The numbers of this process's first image and first pixel in the batch, int64 (2,); None for 0 and 0."""
        return None

    def from_rank_0(self, numbers: Tensor) -> Tensor:
        """The same on every process that has a part of the batch."""
        return numbers


Rule = Callable[[LabelCounts], tuple[Tensor | float, Tensor | float]]


class Described:
    """A rule that is data: a numerator, the weights, and what a mean divides by."""

    numerator: ClassVar[str]
    divisor: ClassVar[str]

    @property
    def rest(self) -> float | None:
        """1 - beta, where it is given."""
        return None

    def __call__(self, labels: LabelCounts) -> tuple[Tensor | float, Tensor | float]:
        return by_name(self.numerator, self.divisor, self.rest, labels)


@dataclasses.dataclass(frozen=True)
class Pixel(Described):
    """Every labelled pixel counts alike. The mean divides by the number of labelled pixels."""

    numerator = "one"
    divisor = "labelled"


@dataclasses.dataclass(frozen=True)
class WeightedPixel(Described):
    """As ``Pixel``, but the mean divides by the sum of the class weights of the labelled pixels, as torch does."""

    numerator = "one"
    divisor = "weighted"


@dataclasses.dataclass(frozen=True)
class EffectiveNumber(Described):
    """A pixel of class l weighs (1 - beta) / (1 - beta ** n_l), times what makes these sum to the number of classes
    present (Cui et al. 2019).

    ``beta`` is in [0, 1); None is (N - 1) / N, where N is the sum of n. A class with n_l = 0 weighs 0.
    """

    beta: float | None = None

    numerator = "effective_number"
    divisor = "labelled"

    def __post_init__(self) -> None:
        if self.beta is None:
            return
        checks.store(self, beta=checks.finite("beta", self.beta))
        if not 0 <= self.beta < 1:
            raise ValueError(f"beta: expected None or a number from 0 to below 1, got {self.beta}")

    @property
    def rest(self) -> float | None:
        return None if self.beta is None else 1 - self.beta


@dataclasses.dataclass(frozen=True)
class MaskSize(Described):
    """A pixel weighs 1 / S[b, l], the pixels of its class in its image. The mean divides by the number of images
    (PAT, equation 5)."""

    numerator = "mask_size"
    divisor = "images"


@dataclasses.dataclass(frozen=True)
class Element(Described):
    """Every labelled pixel counts alike. The mean divides by all B * L * H * W elements, ignored pixels counted
    (the released PAT)."""

    numerator = "one"
    divisor = "elements"


DESCRIBED = (Pixel, WeightedPixel, EffectiveNumber, MaskSize, Element)
RULES: dict[Any, Rule] = {(rule.numerator, rule.divisor): rule() for rule in DESCRIBED}


def by_name(numerator: str, divisor: str, rest: Any, labels: LabelCounts) -> tuple[Tensor | float, Tensor | float]:
    """(table, normaliser) of a described rule. rest: 1 - beta, a number or a tensor without dimensions, or None."""
    table: Tensor | float = 1.0
    if numerator == "effective_number":
        table = effective_number(labels, rest)
    elif numerator == "mask_size":
        sizes = labels.mask_sizes
        table = sizes.reciprocal().masked_fill_(sizes == 0, 0)
    if divisor == "images":
        return table, labels.images
    if divisor == "elements":
        return table, labels.pixels * labels.shape[1]
    if divisor == "weighted" and labels.weight is not None:
        return table, (statistics(labels.batch) * labels.weight).sum()
    return table, labels.labelled()


def effective_number(labels: LabelCounts, rest: Any) -> Tensor:
    n = statistics(labels.counts)
    rest = 1 / n.sum().clamp(min=1) if rest is None else torch.ones_like(n[0]) * rest
    # 1 - beta ** n without cancelling; log1p(-1) * 0 would be nan where n is 0.
    shared = -torch.expm1(n.clamp(min=1) * torch.log1p(-rest))
    present = n > 0
    table = torch.where(present, rest / shared, 0.0)
    return table * (present.sum() / table.sum().clamp(min=torch.finfo(n.dtype).tiny))


def weight_table(
    table: Tensor | float, normaliser: Tensor | float, labels: LabelCounts, mean: bool, factor: Any, dtype: torch.dtype
) -> Tensor:
    """The (B, L) table a backend multiplies by, of what a rule gives: class weights and a factor in, the mean divided
    out in float64."""
    if labels.weight is not None:
        table = labels.weight * table
    if mean:
        # Nothing labelled, or an empty batch: 0 / 1, not 0 / 0.
        if isinstance(normaliser, Tensor) and _is_read(normaliser):
            normaliser = normaliser.item() or 1
        elif isinstance(normaliser, Tensor):
            normaliser = normaliser.masked_fill(normaliser == 0, 1)
        else:
            normaliser = max(normaliser, 1)
        table = table / normaliser
    if isinstance(factor, Tensor) or factor != 1:
        table = table * factor
    if isinstance(table, Tensor):
        return table.to(labels.target.device, dtype).expand(labels.shape).contiguous()
    return torch.full(labels.shape, table, dtype=dtype, device=labels.target.device)


def _is_read(number: Tensor) -> bool:
    """Whether to read it here is cheaper than to divide by it: nothing waits for it."""
    return (
        not torch.compiler.is_compiling() and number.ndim == 0 and number.device.type == "cpu"
        and type(number) is Tensor and not private.in_dispatch_mode()
    )  # fmt: skip

"""What a call needs before its logits are read, by torch's operators: its tables, and the keys of its noise."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import adjustment, noise
from .adjustment import Noise, Tables, combine
from .inputs import Ignored, LossInputs, RegionInputs
from .numbers import Numbers
from .regions import needs
from .settings import Parts
from .sharing import SharedLabelCounts, share
from .weights import LabelCounts, by_name, weight_table


class Prepared(NamedTuple):
    """What a call's labels, options and buffers give, before its logits are read.

    tables, rows, noise, offset, lead: as in ``LossInputs``, the weights of each head's images one after the other.
    seeds: two words for each head. histogram: of the labels, if they were counted. regions: of each head what the
    logits gave: the derivatives of its region losses, (B, 3, L), from kernels in one run with the sums behind them;
    empty before, and without region losses.
    """

    tables: Tensor
    rows: tuple[str, ...]
    noise: Noise | None
    seeds: Tensor | None
    offset: Tensor | None
    histogram: Tensor | None
    lead: int = 0
    regions: tuple[Tensor, ...] = ()

    @property
    def tensors(self) -> list[Tensor]:
        """Those that there are; ``of`` takes them."""
        return [t for t in (self.tables, self.histogram, self.seeds, self.offset) if t is not None]

    @classmethod
    def of(cls, parts: Parts, tensors: Sequence[Tensor], classes: int) -> "Prepared":
        """Of options whose settings say what was prepared, of so many classes."""
        tables, histogram, seeds, offset = (*tensors, None, None)[:4]
        return cls(tables, parts.settings.rows, parts.noise(classes), seeds, offset, histogram)  # type: ignore[arg-type]

    def inputs(self, parts: Parts, images: int, heads: int, pixel_weight: Tensor | None) -> list[LossInputs]:
        """Of each head."""
        settings, first, each = parts.settings, self.lead + len(self.rows), noise.of_heads(self.seeds, heads)
        regions: list[RegionInputs | None] = [None] * heads
        if settings.regions:
            regions = [RegionInputs(needs(settings.regions), given) for given in self.regions or (None,) * heads]
        return [
            LossInputs(
                parts.curve, self.tables, self.rows, first + number * images, self.noise, each[number],
                settings.ignored, settings.align_corners, self.offset, pixel_weight, self.lead,
                "scale" in settings.rows, regions[number],
            )
            for number in range(heads)
        ]  # fmt: skip


def label_counts(
    parts: Parts, histogram: Callable[[], Tensor], target: Tensor, classes: int, ignored: Ignored,
    **given: Tensor | None,
) -> LabelCounts:  # fmt: skip
    """Of the batch; over its processes, if it lies on several. given: ``counts``, ``weight`` and ``mask_sizes``."""
    if parts.settings.sharding is None:
        return LabelCounts(histogram, target, classes, ignored, **given)
    return SharedLabelCounts(share(parts), histogram, target, classes, ignored, **given)


def prepare(
    parts: Parts, numbers: Numbers, labels: LabelCounts, factors: Sequence[float], dtype: torch.dtype, counted: bool
) -> Prepared:
    """numbers: those of ``parts``, or the same as tensors. counted: whether the histogram is wanted."""
    s = parts.settings
    table: Any
    if s.numerator is None or s.divisor is None:
        weighed = parts.rule(labels)
        if not isinstance(weighed, tuple) or len(weighed) != 2:
            raise TypeError(f"weights: {parts.rule!r} returned {weighed!r}, expected (table, normaliser)")
        table, normaliser = weighed
        tables = combine(parts.adjustment, labels.counts, labels.counted) if parts.adjustment else Tables()
        tables = tables if parts.training else tables.without_noise()
    else:
        table, normaliser = by_name(s.numerator, s.divisor, numbers.rest if s.beta else None, labels)
        tables = adjustment.tables(s.amounts(numbers), labels.counts, labels.counted) if s.rows else Tables()
    labels.used_by(parts.rule)
    scale = numbers.loss_weight * (labels.world_size if s.reduce else 1)
    made = [weight_table(table, normaliser, labels, s.reduction == "mean", scale * own, dtype) for own in factors]
    if tables.rows:
        made.insert(0, torch.stack([getattr(tables, name) for name in tables.rows]).to(dtype))
    seeds = None
    if tables.noise:
        seeds = labels.from_rank_0(noise.seeds(labels.target.device, len(factors))())
    return Prepared(
        made[0] if len(made) == 1 else torch.cat(made), tables.rows, tables.noise, seeds,
        None if seeds is None else labels.global_offset, labels.histogram if counted else None,
    )  # fmt: skip

"""Bilinear resizing as ``F.interpolate`` does it, one axis at a time, in exact rational coordinates.

Output ``d`` of an axis lies at source coordinate ``(d * step + first) / whole``. The integer part is
its interval: the space between nodes ``interval`` and ``interval + 1`` of the source. The fraction is the share of
the second node. Outputs beyond the first or last node lie in an interval with one node inside the
source, whose share is all.
"""

import math
from typing import NamedTuple

import torch


class Axis(NamedTuple):
    """source and size: the length before and after; the rest is the map described above."""

    source: int
    size: int
    step: int
    first: int
    whole: int

    @property
    def outputs_per_interval(self) -> int:
        """The most outputs in one interval."""
        return min(-(-self.whole // self.step), max(self.size, 1))


def axis(source: int, size: int, align_corners: bool) -> Axis:
    if size == 0:
        return Axis(source, size, 1, 0, 1)
    if not align_corners:
        return Axis(source, size, *_reduced(2 * source, source - size, 2 * size))
    if source == 1:  # every output sees the only node
        return Axis(source, size, 1, 0, size)
    if size == 1:  # the only output is the first node
        return Axis(source, size, 1, 0, 1)
    return Axis(source, size, *_reduced(source - 1, 0, size - 1))


def _reduced(*numbers: int) -> tuple[int, ...]:
    """Without their common factor: the same for all sizes of a ratio."""
    return tuple(n // math.gcd(*numbers) for n in numbers)


class Resize(NamedTuple):
    rows: Axis
    columns: Axis


def bilinear(source: torch.Size, size: torch.Size, align_corners: bool) -> Resize | None:
    """How logits of spatial size ``source`` reach ``size``; None if they have it."""
    if source == size:
        return None
    rows, columns = (axis(n, m, align_corners) for n, m in zip(source, size, strict=True))
    return Resize(rows, columns)

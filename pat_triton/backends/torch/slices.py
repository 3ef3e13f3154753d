"""Chunks: slices that cover images and their pixels."""

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

# Of images, and of each spatial dimension.
Where = tuple[slice, ...]

WHOLE = slice(None)  # which torch does not even slice


def part_of(t: Tensor, where: Where) -> Tensor:
    """``t[where]``; of all, t, for to slice takes as long as an operator."""
    return t if all(part is WHOLE for part in where) else t[where]


def slices(shape: Sequence[int], pixels: int) -> list[Where]:
    """Of (B, *spatial), each of so many pixels at most; nothing of an empty shape.

    Neighbours are of different images: two threads that touch a page of memory for the first time both clear it.
    """
    return list(_slices(tuple(shape), pixels))


def _slices(shape: tuple[int, ...], pixels: int) -> Iterator[Where]:
    first, rest = shape[0], shape[1:]
    inner = math.prod(rest)
    if not first or not inner:
        return
    step = -(-first // -(-first // max(1, pixels // inner)))  # of one size, but for the last
    within = list(_slices(rest, pixels)) if rest and inner > pixels else [(WHOLE,) * len(rest)]
    parts = [WHOLE if step == first else slice(start, min(start + step, first)) for start in range(0, first, step)]
    for others in within:
        for part in parts:
            yield (part, *others)

"""The steps at one pixel: its label, its adjusted logits, and the softmax at its label."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from .philox import magnitude
from .views import offsets


class Tables(NamedTuple):
    """Part (a) as [L] pointers in the compute dtype; None specialises away."""

    scale: Any
    offset: Any
    margin: Any
    variation: Any


class Noise(NamedTuple):
    """BLV's draw: two key words (int64 [2] pointer) and the factor before clamping."""

    seed: Any
    sigma: Any


@triton.jit
def label(target, shape, b, pixel, inside, ignore_index, L: tl.constexpr):
    """(y int32, is_class, ignored), each [PIXELS]; y is -1 where the label is no class.

    Compared in int64: a 64-bit label must not wrap into a class.
    """
    y = tl.load(target.pointer + offsets(target, shape, b, pixel), mask=inside, other=0)
    y = y.to(tl.int64)
    ignored = (y == ignore_index) | ~inside
    is_class = (y >= 0) & (y < L) & ~ignored
    return tl.where(is_class, y, -1).to(tl.int32), is_class, ignored


@triton.jit
def entries(table, classes, other, L: tl.constexpr):
    """[CLASSES, 1] entries of an [L] table, ``other`` past the end."""
    return tl.load(table + classes, mask=classes < L, other=other)[:, None]


@triton.jit
def adjusted(
    logits, where, tables, noise, b, pixel, inside, y, first,
    L: tl.constexpr, DISTRIBUTION: tl.constexpr, COMPUTE: tl.constexpr, CLASSES: tl.constexpr,
):  # fmt: skip
    """a of classes first .. first + CLASSES: [CLASSES, PIXELS] in COMPUTE, -inf past the end."""
    classes = first + tl.arange(0, CLASSES)
    at = where[None, :] + classes.to(tl.int64)[:, None] * logits.label
    known = (classes < L)[:, None] & inside[None, :]
    a = tl.load(logits.pointer + at, mask=known, other=-float("inf")).to(COMPUTE)
    if tables.offset is not None:
        a += entries(tables.offset, classes, 0.0, L)
    if tables.margin is not None:
        margin = entries(tables.margin, classes, 0.0, L)
        a -= tl.where(classes[:, None] == y[None, :], margin, 0.0)
    if tables.scale is not None:
        a *= entries(tables.scale, classes, 1.0, L)
    if tables.variation is not None:
        variation = entries(tables.variation, classes, 0.0, L)
        a += variation * magnitude(noise, b, pixel, first, DISTRIBUTION, CLASSES).to(COMPUTE)
    return a


@triton.jit
def finite(top):
    """A maximum to subtract: where all classes so far are impossible, 0 for -inf, which would give nan."""
    return tl.where(top == -float("inf"), 0.0, top)


@triton.jit
def log1p(x):
    """For x >= 0, accurate for small x: the rounding of 1 + x cancels in log(w) / (w - 1)."""
    w = 1 + x
    return tl.where(w == 1, x, tl.log(w) * (x / tl.where(w == 1, 1.0, w - 1)))


@triton.jit
def at_label(label_a, top, others):
    """(u, p, q, total) from the label's a, the column's maximum and the other classes' sum.

    own is exactly 1 where the label leads, and others at least 1 elsewhere, so that nothing cancels
    in u; q comes from the other exponentials. A confident pixel keeps all its digits.
    """
    own = tl.exp(label_a - top)
    total = own + others
    u = (label_a - top) - log1p(others + (own - 1))
    return u, own / total, others / total, total

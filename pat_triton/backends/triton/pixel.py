"""The steps at one pixel: its label, its adjusted logits, the softmax at its label, and the gradient."""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from .hardware import log2, reciprocal
from .philox import magnitude


class AdjustmentTables(NamedTuple):
    """Part (a): [rows, L] numbers, and which row holds what (constexpr); None specialises away."""

    pointer: Any
    scale: Any
    offset: Any
    margin: Any
    variation: Any


class NoiseArguments(NamedTuple):
    """BLV's draw: two key words, the numbers of the first image and pixel if not 0 (int64 [2] pointers both),
    and a pointer to the factor before clamping."""

    seed: Any
    offset: Any
    sigma: Any


# An integer that is 1 is compiled in, and lost where a loop begins (see ``passes.Layout``): a label to ignore comes as
# another, which it never is.
HIDDEN = tl.constexpr(3 << 61)


def hidden(ignored: tuple[int, ...], dtype: torch.dtype) -> tuple[int, ...]:
    """Labels to ignore, as ``label`` takes them: those that the labels' dtype holds, and so no other wraps into one."""
    held = torch.iinfo(dtype)
    return tuple(i ^ HIDDEN.value for i in ignored if held.min <= i <= held.max)


@triton.jit
def label(at, inside, ignored_labels, L: tl.constexpr):
    """(y int32, is_class, ignored) of the labels at pointers ``at``, [PIXELS]; y is -1 where the label is no class.

    Only 64-bit labels are compared in 64 bits, where they must not wrap into a class.
    """
    y = tl.load(at, mask=inside, other=0)
    if y.dtype != tl.int64:
        y = y.to(tl.int32)
    ignored = ~inside
    for i in tl.static_range(len(ignored_labels)):
        ignored |= y == (ignored_labels[i] ^ HIDDEN).to(y.dtype)
    is_class = (y >= 0) & (y < L) & ~ignored
    return tl.where(is_class, y, -1).to(tl.int32), is_class, ignored


@triton.jit
def weight_of(weights, y, is_class, pixel_weight, grad_output, inside, COMPUTE: tl.constexpr):
    """What multiplies a pixel's term, [PIXELS]: the weight of its label, of the image's ``weights``; and what the
    pointers ``pixel_weight`` and ``grad_output`` have for it, where they are given.

    A label that is neither a class nor ignored weighs NaN: seen in the loss, never indexed.
    """
    w = tl.load(weights + y, mask=is_class, other=float("nan")).to(COMPUTE)
    if pixel_weight is not None:
        w *= tl.load(pixel_weight, mask=inside, other=0.0).to(COMPUTE)
    if grad_output is not None:
        w *= tl.load(grad_output, mask=inside, other=0.0)
    return w


@triton.jit
def in_order(CLASSES: tl.constexpr, DISTRIBUTION: tl.constexpr):
    """The classes of the rows of a block, counted from its first.

    With noise the four of one Philox call, which one thread draws, are a quarter of the block apart, as a thread's
    rows are: otherwise they would have to change threads.
    """
    row = tl.arange(0, CLASSES)
    if DISTRIBUTION is None:
        return row
    else:
        return row % (CLASSES // 4) * 4 + row // (CLASSES // 4)


@triton.jit
def compared(y, ignored):
    """The label as ``is_other`` takes it: a float, nan where ignored."""
    return tl.where(ignored, float("nan"), y.to(tl.float32))


@triton.jit
def is_other(number, compared_label):
    """Whether a class is another than the label; nowhere where the label is nan. One comparison of floats: nan is
    neither less nor more than any number."""
    return (number < compared_label) | (number > compared_label)


@triton.jit
def entries(tables, row, classes, other, L: tl.constexpr, DTYPE: tl.constexpr):
    """[CLASSES, 1] entries of a row of the tables, ``other`` past the end."""
    return tl.load(tables.pointer + row * L + classes, mask=classes < L, other=other).to(DTYPE)[:, None]


@triton.jit
def entry(tables, row, y, is_class, other, L: tl.constexpr, DTYPE: tl.constexpr):
    """[PIXELS] entries of a row of the tables at the labels."""
    return tl.load(tables.pointer + row * L + y, mask=is_class, other=other).to(DTYPE)


@triton.jit
def uniform_scale(tables, row, L: tl.constexpr, DTYPE: tl.constexpr):
    """A scale that all classes share, which exponents and gradients take on in passing; 1 where there is none."""
    if row is None:
        return tl.full([], 1.0, DTYPE)
    else:
        return tl.load(tables + row * L).to(DTYPE)


@triton.jit
def adjust(
    z, classes, tables, scale, noise, b, pixel, first,
    L: tl.constexpr, DISTRIBUTION: tl.constexpr, CLASSES: tl.constexpr,
):  # fmt: skip
    """a / scale of logits z, both [CLASSES, PIXELS], but for the label's margin."""
    a = z
    if tables.offset is not None:
        a += entries(tables, tables.offset, classes, 0.0, L, z.dtype)
    if tables.scale is not None:
        a *= entries(tables, tables.scale, classes, 1.0, L, z.dtype)
    if tables.variation is not None:
        variation = entries(tables, tables.variation, classes, 0.0, L, z.dtype) / scale
        drawn = magnitude(noise, b, pixel, first, DISTRIBUTION, CLASSES).to(a.dtype)
        # Said of the noise, too, or the compiler would draw it for rows past the end.
        a += tl.where((classes < L)[:, None], variation * drawn, 0.0)
    return a


@triton.jit
def adjust_label(z, y, is_class, tables, L: tl.constexpr):
    """a / scale of the label's logit z, [PIXELS], but for its margin and without variation."""
    if tables.offset is not None:
        z += entry(tables, tables.offset, y, is_class, 0.0, L, z.dtype)
    if tables.scale is not None:
        z *= entry(tables, tables.scale, y, is_class, 1.0, L, z.dtype)
    return z


@triton.jit
def of_label(rows, ignored):
    """[PIXELS], of rows [ROWS, PIXELS] where only the label's is not 0; but of ignored pixels every row has something,
    which may be infinite."""
    if rows.shape[0] > 1:
        rows = tl.where(ignored[None, :], 0.0, rows)
    return tl.sum(rows, 0)


@triton.jit
def less_margin(a, y, is_class, tables, L: tl.constexpr):
    """The label's a / scale, [PIXELS]."""
    if tables.margin is not None:
        margin = entry(tables, tables.margin, y, is_class, 0.0, L, a.dtype)
        if tables.scale is not None:
            margin *= entry(tables, tables.scale, y, is_class, 1.0, L, a.dtype)
        a -= margin
    return a


LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


class Exponent(NamedTuple):
    """exp(scale * (a - top)) is 2 ** (factor * a - shift), one multiplication and addition and one instruction; the
    shift is rounded, by the same for all classes. unit: what an exponent of 1 is of a natural logarithm. [PIXELS]."""

    factor: Any
    shift: Any
    unit: Any


@triton.jit
def power_of_two(x):
    """The largest that is not above x, a positive scalar."""
    if x.dtype == tl.float64:
        return (x.to(tl.int64, bitcast=True) & 0x7FF0000000000000).to(tl.float64, bitcast=True)
    else:
        return (x.to(tl.int32, bitcast=True) & 0x7F800000).to(tl.float32, bitcast=True)


@triton.jit
def exponent(top, scale):
    """Of a column whose largest a is ``top``.

    Where top is -inf all classes are impossible: then 0 is subtracted, because -inf would give nan. Where the shift is
    huge its rounding would be too; but there neighbouring numbers are so far apart that exponentials are 0 or 1 by
    any factor, and by a power of two nothing is rounded.
    """
    HUGE: tl.constexpr = 2.0**59 if top.dtype == tl.float64 else 2.0**30
    top = tl.where(top == -float("inf"), 0.0, top)
    factor = scale * LOG2_E
    exact = power_of_two(factor)
    huge = tl.abs(top * factor) > HUGE
    unit = tl.where(huge, scale / exact, LN_2)
    factor = tl.where(huge, exact, factor)
    return Exponent(factor, top * factor, unit)


@triton.jit
def exponentials(a, e):
    """Of [CLASSES, PIXELS]."""
    return tl.exp2(tl.fma(a, tl.broadcast_to(e.factor[None, :], a.shape), tl.broadcast_to(-e.shift[None, :], a.shape)))


@triton.jit
def log1p(x):
    """For x >= 0, accurate for small x: the rounding of 1 + x cancels in log(w) / (w - 1)."""
    w = 1 + x
    return tl.where(w == 1, x, tl.log(w) * (x / tl.where(w == 1, 1.0, w - 1)))


@triton.jit
def log1p_ratio(x, y, PTX: tl.constexpr):
    """log(1 + x / y) for 0 <= x <= y to a few ulp: twice the area tangent of x / (x + 2 y), in fp32 by a series whose
    coefficients keep its relative error below 5e-9."""
    if x.dtype == tl.float64:
        return log1p(x / y)
    else:
        t = x * reciprocal(x + 2 * y, PTX)
        s = t * t
        return 2 * t * (1 + s * (0.33333207 + s * (0.2001085 + s * (0.1399957 + s * 0.1401223))))


class GradTerms(NamedTuple):
    """What the gradient of a column needs, [PIXELS] each: an exponential times ``rate``, ``label`` at the label."""

    rate: Any
    label: Any


@triton.jit
def loss_and_grad_terms(label_a, e, others, w, ignored, scale, CURVE: tl.constexpr, parameters, PTX: tl.constexpr):
    """(loss term, GradTerms) of columns with a weight w, the sum of whose other exponentials is ``others``.

    q comes from the other exponentials and log p from their ratio where the label leads, so that nothing cancels:
    a confident pixel keeps all its digits.
    """
    power = tl.fma(label_a, e.factor, -e.shift)
    own = tl.exp2(power)
    total = own + others
    inverse = reciprocal(total, PTX)
    p, q = own * inverse, others * inverse
    far = (power - log2(total, PTX)) * e.unit
    u = tl.where(others < own, -log1p_ratio(others, own, PTX), far)
    value, slope = CURVE(u, p, q, *parameters)
    weighted_slope = w * slope * scale
    term = tl.where(ignored, 0.0, w * value)
    return term, GradTerms(
        tl.where(ignored, 0.0, -weighted_slope * inverse), tl.where(ignored, 0.0, weighted_slope * q)
    )


class ArgMax(NamedTuple):
    """The largest logit so far and the first class that has it, [CLASSES, PIXELS] each, row by row."""

    z: Any
    label: Any


@triton.jit
def argmax_init(CLASSES: tl.constexpr, PIXELS: tl.constexpr, COMPUTE: tl.constexpr):
    return ArgMax(tl.full([CLASSES, PIXELS], -float("inf"), COMPUTE), tl.zeros([CLASSES, PIXELS], tl.int32))


@triton.jit
def argmax_update(best, z, classes):
    """With a block [CLASSES, PIXELS] of later classes seen; nan is the largest, as in torch."""
    ahead = (z > best.z) | ((z != z) & (best.z == best.z))
    return ArgMax(tl.where(ahead, z, best.z), tl.where(ahead, tl.broadcast_to(classes[:, None], z.shape), best.label))


@triton.jit
def argmax(best):
    """The label, [PIXELS], the first where several are largest. The interpreter takes long for a reduction of pairs."""
    nan = best.z != best.z
    largest = tl.where(tl.max(nan.to(tl.int32), 0)[None, :] > 0, nan, best.z == tl.max(best.z, 0)[None, :])
    return tl.min(tl.where(largest, best.label, 1 << 30), 0)


@triton.jit
def stacked(g, N: tl.constexpr):
    """The blocks of a tuple and zeros up to N, a power of two: [N * ROWS, LANES]."""
    made = g
    for _ in tl.static_range(N - len(g)):
        made += (tl.zeros_like(g[0]),)
    for _ in tl.static_range(8):
        if len(made) > 1:
            pairs = ()
            for k in tl.static_range(0, len(made), 2):
                both = tl.permute(tl.join(made[k], made[k + 1]), (2, 0, 1))
                pairs += (tl.reshape(both, [2 * made[0].shape[0], made[0].shape[1]]),)
            made = pairs
    return made[0]

"""The steps at one pixel: its label, its adjusted logits, and the softmax at its label."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

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


def hidden(ignored: tuple[int, ...]) -> tuple[int, ...]:
    """Labels to ignore, as ``label`` takes them."""
    return tuple(i ^ HIDDEN.value for i in ignored)


@triton.jit
def label(at, inside, ignored_labels, L: tl.constexpr):
    """(y int32, is_class, ignored) of the labels at pointers ``at``, [PIXELS]; y is -1 where the label is no class.

    Compared in int64: a 64-bit label must not wrap into a class.
    """
    y = tl.load(at, mask=inside, other=0).to(tl.int64)
    ignored = ~inside
    for i in tl.static_range(len(ignored_labels)):
        ignored |= y == (ignored_labels[i] ^ HIDDEN)
    is_class = (y >= 0) & (y < L) & ~ignored
    return tl.where(is_class, y, -1).to(tl.int32), is_class, ignored


@triton.jit
def entries(tables, row, classes, other, L: tl.constexpr, DTYPE: tl.constexpr):
    """[CLASSES, 1] entries of a row of the tables, ``other`` past the end."""
    return tl.load(tables.pointer + row * L + classes, mask=classes < L, other=other).to(DTYPE)[:, None]


@triton.jit
def adjust(
    z, classes, tables, noise, b, pixel, y, first,
    L: tl.constexpr, DISTRIBUTION: tl.constexpr, CLASSES: tl.constexpr,
):  # fmt: skip
    """a of logits z, both [CLASSES, PIXELS]."""
    a = z
    if tables.offset is not None:
        a += entries(tables, tables.offset, classes, 0.0, L, z.dtype)
    if tables.margin is not None:
        margin = entries(tables, tables.margin, classes, 0.0, L, z.dtype)
        a -= tl.where(classes[:, None] == y[None, :], margin, 0.0)
    if tables.scale is not None:
        a *= entries(tables, tables.scale, classes, 1.0, L, z.dtype)
    if tables.variation is not None:
        variation = entries(tables, tables.variation, classes, 0.0, L, z.dtype)
        a += variation * magnitude(noise, b, pixel, first, DISTRIBUTION, CLASSES).to(a.dtype)
    return a


@triton.jit
def finite(top):
    """A maximum to subtract: where all classes so far are impossible, 0 for -inf, which would give nan."""
    return tl.where(top == -float("inf"), 0.0, top)


LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def exp(x):
    """By exp2, which spends no instructions on subnormal results."""
    return tl.exp2(x * LOG2_E)


@triton.jit
def log1p(x):
    """For x >= 0, accurate for small x: the rounding of 1 + x cancels in log(w) / (w - 1)."""
    w = 1 + x
    return tl.where(w == 1, x, tl.log(w) * (x / tl.where(w == 1, 1.0, w - 1)))


class Softmax(NamedTuple):
    """Of a column, [PIXELS] each: its maximum, the label's a, and the others' sum of exp(a - top)."""

    top: Any
    label_a: Any
    others: Any


@triton.jit
def is_label(classes, y, L: tl.constexpr):
    """[CLASSES, PIXELS]. That no label is past the end is said again for the compiler, which drops those rows."""
    return (classes[:, None] == y[None, :]) & (classes < L)[:, None]


@triton.jit
def exponentials(a, top, classes, L: tl.constexpr):
    """exp(a - top), [CLASSES, PIXELS]; 0 past the end, which is said for the compiler again."""
    return tl.where((classes < L)[:, None], exp(a - top[None, :]), 0.0)


@triton.jit
def softmax(column, y, first, L: tl.constexpr):
    """Of a column in blocks [CLASSES, PIXELS], the first of which is that of class ``first``.

    Blocks are joined element by element, so that threads that share a column talk three times, not three
    times a block.
    """
    CLASSES: tl.constexpr = column[0].shape[0]
    highest = column[0]
    for i in tl.static_range(1, len(column)):
        highest = tl.maximum(highest, column[i])
    top = finite(tl.max(highest, 0))
    for i in tl.static_range(len(column)):
        classes = first + i * CLASSES + tl.arange(0, CLASSES)
        own = is_label(classes, y, L)
        other = tl.where(own, 0.0, exponentials(column[i], top, classes, L))
        label_a = tl.where(own, column[i], 0.0)
        if i == 0:
            others, labels = other, label_a
        else:
            others += other
            labels += label_a
    return Softmax(top, tl.sum(labels, 0), tl.sum(others, 0))


class Pull(NamedTuple):
    """What the gradient of a column needs, [PIXELS] each: exp(a - top) * rate, ``own`` at the label."""

    top: Any
    rate: Any
    own: Any


@triton.jit
def settle(state, w, ignored, CURVE: tl.constexpr, parameters):
    """(loss term, Pull) of a whole column and its weight.

    exp(label_a - top) is exactly 1 where the label leads, and the others' sum at least 1 elsewhere, so
    that nothing cancels in u; q comes from the other exponentials. A confident pixel keeps all its digits.
    """
    exp_label = exp(state.label_a - state.top)
    total = exp_label + state.others
    u = (state.label_a - state.top) - log1p(state.others + (exp_label - 1))
    q = state.others / total
    value, slope = CURVE(u, exp_label / total, q, *parameters)
    pull = w * slope
    term = tl.where(ignored, 0.0, w * value)
    return term, Pull(state.top, tl.where(ignored, 0.0, -pull / total), tl.where(ignored, 0.0, pull * q))


@triton.jit
def slopes(pull, a, classes, y, ignored, L: tl.constexpr):
    """The gradient with respect to a: [CLASSES, PIXELS]; past the end it is not told.

    ``own`` is the gradient of an ignored pixel's classes, too, because its logits may be nan. Both are one
    comparison of floats: nan, for ignored, is neither less nor more than any class. It is also one that
    the compiler does not know from ``softmax``, whose results it would keep, some hundred bits a thread.
    """
    e = exponentials(a, pull.top, classes, L)
    label = tl.where(ignored, float("nan"), y.to(tl.float32))[None, :]
    number = classes.to(tl.float32)[:, None]
    return tl.where((number < label) | (number > label), e * pull.rate[None, :], pull.own[None, :])


class Best(NamedTuple):
    """The largest logit so far and the first class that has it, [PIXELS] each."""

    z: Any
    label: Any


@triton.jit
def worst(PIXELS: tl.constexpr, COMPUTE: tl.constexpr):
    return Best(tl.full([PIXELS], -float("inf"), COMPUTE), tl.zeros([PIXELS], tl.int32))


@triton.jit
def better(best, z, classes, L: tl.constexpr):
    """The best with a block [CLASSES, PIXELS] seen; nan is the largest, as in argmax."""
    is_nan = z != z
    some_nan = tl.max(is_nan.to(tl.int32), 0) > 0
    top = tl.max(tl.where(is_nan, -float("inf"), z), 0)
    leads = tl.where(some_nan[None, :], is_nan, z == top[None, :]) & (classes < L)[:, None]
    first = tl.min(tl.where(leads, classes[:, None], L), 0)
    ahead = (best.z == best.z) & (some_nan | (top > best.z))
    return Best(tl.where(ahead, tl.where(some_nan, float("nan"), top), best.z), tl.where(ahead, first, best.label))

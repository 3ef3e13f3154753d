"""The loss kernel: forward, one-pass loss and gradient, and recomputing backward in one body.

What is not asked for is None and specialises away. Bytes per logit: forward 1 read; one pass 1 read + 1
write, the floor; recomputing backward the same. Per pixel: one label, and the loss map if asked for. The
column lies in registers as a tuple of blocks, however many classes it has: first its logits, without the
label's, then their exponentials.

Instructions a logit, on sm_90: 17 with 19 classes, of which 6 tell the label from the others, once in the softmax and
once in the gradient. With OWN, where several threads share a column, 15: the label's logit is read, and its gradient
written, by an address of its own, which costs a pixel what it saves in four classes, and touches two more sectors.

Logits of another size than the target are interpolated as they are read, four from the cache for one.
Their gradient is ``upsample``'s; for columns that it cannot hold this kernel ``saved`` their maximum and GradTerms.
"""

import triton
import triton.language as tl

from .numbers import parameters
from .pixel import (
    AdjustmentTables,
    NoiseArguments,
    adjust,
    adjust_label,
    argmax,
    argmax_init,
    argmax_update,
    compared,
    entries,
    entry,
    exponent,
    exponentials,
    in_order,
    is_other,
    label,
    less_margin,
    loss_and_grad_terms,
    uniform_scale,
)
from .resize import following, place, read
from .views import pixels_at, tile


@triton.jit(do_not_specialize=["room", "first_weights"])
def loss_kernel(
    logits, target, gradient, pixel_weight, grad_output, loss_map, prediction, saved, partial, tables, seed, offset,
    strides, held, resize, shape, room, first_weights, ignored_labels,
    L: tl.constexpr, CURVE: tl.constexpr, PARAMETERS: tl.constexpr, DISTRIBUTION: tl.constexpr, COMPUTE: tl.constexpr,
    INDEX: tl.constexpr, EVEN: tl.constexpr, PTX: tl.constexpr,
    CLASSES: tl.constexpr, PIXELS: tl.constexpr, VECTOR: tl.constexpr, OWN: tl.constexpr,
):  # fmt: skip
    """Pointers, then what the kind of call fixes: ``strides`` of each pointer over ``shape``, which rows of the tables
    are ``held`` and which is that of the ``first_weights``, and the ``room`` of the partial sums: the first element of
    theirs. The tables begin with sigma and the curve's PARAMETERS."""
    tl.static_assert(not (OWN and held.variation is not None), "the label's noise is drawn with its column's")
    of_curve = parameters(tables, PARAMETERS, COMPUTE)
    noise = NoiseArguments(seed, offset, tables)
    scale = uniform_scale(tables, held.uniform, L, COMPUTE)
    tables = AdjustmentTables(tables, held.scale, held.offset, held.margin, held.variation)
    b, pixel, inside = tile(shape, PIXELS, VECTOR, INDEX, EVEN)
    y, is_class, ignored = label(pixels_at(target, strides.target, shape, b, pixel), inside, ignored_labels, L)
    # A label that is neither a class nor ignored weighs NaN: seen in the loss, never indexed.
    w = tl.load(tables.pointer + (first_weights + b) * L + y, mask=is_class, other=float("nan")).to(COMPUTE)
    if pixel_weight is not None:
        w *= tl.load(pixels_at(pixel_weight, strides.pixel_weight, shape, b, pixel), mask=inside, other=0.0).to(COMPUTE)
    if grad_output is not None:
        w *= tl.load(pixels_at(grad_output, strides.grad_output, shape, b, pixel), mask=inside, other=0.0)
    row = in_order(CLASSES, DISTRIBUTION)
    own_row = compared(y, ignored)[None, :] - row.to(tl.float32)[:, None]

    spot = place(logits, strides.logits, resize, shape, b, pixel, row, COMPUTE, INDEX)
    best = argmax_init(CLASSES, PIXELS, COMPUTE)
    label_a = tl.zeros([CLASSES, PIXELS], COMPUTE)
    top = tl.full([CLASSES, PIXELS], -float("inf"), COMPUTE)
    column = ()
    for first in tl.static_range(0, L, CLASSES):
        z = read(spot, resize, first + row, inside, L, COMPUTE, VECTOR)
        spot = following(spot, resize, strides.logits.label * CLASSES)
        if prediction is not None:
            best = argmax_update(best, z, first + row)
        a = adjust(z, first + row, tables, scale, noise, b, pixel, first, L, DISTRIBUTION, CLASSES)
        other = is_other(first, own_row)
        if not OWN:
            label_a = tl.where(other, label_a, a)
        a = tl.where(other, a, -float("inf"))
        top = tl.maximum(top, a)
        column += (a,)
    if OWN:
        at_label = pixels_at(logits, strides.logits, shape, b, pixel) + y.to(INDEX) * strides.logits.label
        label_a = adjust_label(tl.load(at_label, mask=is_class, other=0.0).to(COMPUTE), y, is_class, tables, L)
    else:
        label_a = tl.sum(tl.where(ignored[None, :], 0.0, label_a), 0)
    label_a = less_margin(label_a, y, is_class, tables, L)

    top = tl.maximum(tl.max(top, 0), label_a)
    e = exponent(top, scale)
    others = tl.zeros([CLASSES, PIXELS], COMPUTE)
    exps = ()
    for i in tl.static_range(len(column)):
        each = exponentials(column[i], e)
        others += each
        exps += (each,)
    term, terms = loss_and_grad_terms(label_a, e, tl.sum(others, 0), w, ignored, scale, CURVE, of_curve, PTX)

    if gradient is not None:
        at = pixels_at(gradient, strides.gradient, shape, b, pixel)
        write(exps, terms, at, strides.gradient.label, tables, y, is_class, inside, row, L, INDEX, OWN)
    if saved is not None:
        at = saved + b * strides.saved.image + pixel
        tl.store(at, top, mask=inside)
        at += strides.saved.label
        tl.store(at, terms.rate, mask=inside)
        at += strides.saved.label
        tl.store(at, terms.label, mask=inside)
    if prediction is not None:
        tl.store(pixels_at(prediction, strides.prediction, shape, b, pixel), argmax(best), mask=inside)
    if loss_map is not None:
        tl.store(pixels_at(loss_map, strides.loss_map, shape, b, pixel), term, mask=inside)
    if partial is not None:
        tl.store(partial + room + tl.program_id(0), tl.sum(term, 0))


@triton.jit
def write(
    exps, terms, at, step, tables, y, is_class, inside, row, L: tl.constexpr, INDEX: tl.constexpr, OWN: tl.constexpr
):
    """The gradient of columns, whose first elements are ``at``, [PIXELS], and the next ones a ``step`` on."""
    CLASSES: tl.constexpr = row.shape[0]
    at_block = at[None, :] + row.to(INDEX)[:, None] * step
    # Not the comparison of the softmax, whose results the compiler would keep, some hundred bits a thread.
    own_row = y[None, :] - row[:, None]
    for i in tl.static_range(len(exps)):
        classes = i * CLASSES + row
        g = exps[i] * terms.rate[None, :]
        if not OWN:
            g = tl.where(own_row == i * CLASSES, terms.label[None, :], g)
        if tables.scale is not None:
            g *= entries(tables, tables.scale, classes, 1.0, L, g.dtype)
        tl.store(at_block, g, mask=(classes < L)[:, None] & inside[None, :])
        at_block += step * CLASSES
    if OWN:
        g = terms.label
        if tables.scale is not None:
            g *= entry(tables, tables.scale, y, is_class, 1.0, L, g.dtype)
        tl.debug_barrier()  # after all that other threads store there
        tl.store(at + y.to(INDEX) * step, g, mask=is_class)

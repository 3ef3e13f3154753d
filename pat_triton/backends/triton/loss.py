"""The loss kernel: forward, one-pass loss and gradient, and recomputing backward in one body.

What is not asked for is None and specialises away. Bytes per logit: forward 1 read; one pass 1 read + 1
write, the floor; recomputing backward the same. Per pixel: one label, and the loss map if asked for. The
column lies in registers as a tuple of blocks, however many classes it has: first its logits, without the
label's, then their exponentials.

Instructions a logit, on sm_90: 17 with 19 classes, of which 6 tell the label from the others, once in the softmax and
once in the gradient. With OWN, where several threads share a column, 15: the label's logit is read, and its gradient
written, by an address of its own, which costs a pixel what it saves in four classes, and touches two more sectors.

Logits of another size than the target are ``upsample``'s and ``resized_loss``'s.
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
    of_label,
    uniform_scale,
    weight_of,
)
from .regions import factor_of, region_gradient, region_of, region_terms, softmax_of, store_sums
from .views import load, loaded, pixels_at, read, tile


@triton.jit(do_not_specialize=["first_partial", "first_weights"])
def loss_kernel(
    logits, target, gradient, pixel_weight, grad_output, loss_map, prediction, saved, partial, tables, seed, offset,
    regions, strides, held, shape, first_partial, first_weights, ignored_labels,
    L: tl.constexpr, CURVE: tl.constexpr, PARAMETERS: tl.constexpr, DISTRIBUTION: tl.constexpr, COMPUTE: tl.constexpr,
    INDEX: tl.constexpr, EVEN: tl.constexpr, PTX: tl.constexpr, REGIONS: tl.constexpr,
    CLASSES: tl.constexpr, PIXELS: tl.constexpr, VECTOR: tl.constexpr, OWN: tl.constexpr,
):  # fmt: skip
    """Pointers, then what the kind of call fixes: ``strides`` of each pointer over ``shape``, which rows of the tables
    are ``held`` and which is that of the ``first_weights``; ``first_partial`` is the element of ``partial`` from which
    on the partial sums go. The tables begin with sigma and the curve's PARAMETERS. REGIONS: None, or which sums region
    losses need, see ``regions``; where those go without a gradient, and with one the derivatives by them.
    """
    tl.static_assert(not (OWN and held.variation is not None), "the label's noise is drawn with its column's")
    of_curve = parameters(tables, PARAMETERS, COMPUTE)
    noise = NoiseArguments(seed, offset, tables)
    scale = uniform_scale(tables, held.uniform, L, COMPUTE)
    tables = AdjustmentTables(tables, held.scale, held.offset, held.margin, held.variation)
    b, pixel, inside = tile(shape, PIXELS, VECTOR, INDEX, EVEN)
    row = in_order(CLASSES, DISTRIBUTION)
    start = pixels_at(logits, strides.logits, shape, b, pixel)[None, :] + row.to(INDEX)[:, None] * strides.logits.label
    at = start
    # All of the column is under way before its label is: ptxas would wait for one logit after the other, to compare it.
    # Noise takes so long to draw that its registers count for more.
    AHEAD: tl.constexpr = held.variation is None
    loads = ()
    if AHEAD:
        for first in tl.static_range(0, L, CLASSES):
            loads += (load(at, first + row, inside, L, VECTOR),)
            at = next_block(at, start, strides.logits.label * CLASSES, first // CLASSES, PTX)
        if PTX:
            tl.debug_barrier()

    y, is_class, ignored = label(pixels_at(target, strides.target, shape, b, pixel), inside, ignored_labels, L)
    weights = tables.pointer + (first_weights + b) * L
    weight_at = None if pixel_weight is None else pixels_at(pixel_weight, strides.pixel_weight, shape, b, pixel)
    factor = None if grad_output is None else pixels_at(grad_output, strides.grad_output, shape, b, pixel)
    w = weight_of(weights, y, is_class, weight_at, factor, inside, COMPUTE)
    AS_IT_CAME: tl.constexpr = tables.scale is None and tables.offset is None and tables.variation is None
    KEPT: tl.constexpr = REGIONS is not None and not AS_IT_CAME
    own_row = compared(y, ignored)[None, :] - row.to(tl.float32)[:, None]

    best = argmax_init(CLASSES, PIXELS, COMPUTE)
    label_a = tl.zeros([CLASSES, PIXELS], COMPUTE)
    top = tl.full([CLASSES, PIXELS], -float("inf"), COMPUTE)
    column, came = (), ()
    label_z = label_a
    for first in tl.static_range(0, L, CLASSES):
        if AHEAD:
            z = loaded(loads[first // CLASSES], first + row, L, COMPUTE)
        else:
            z = read(at, first + row, inside, L, COMPUTE, VECTOR)
            at = next_block(at, start, strides.logits.label * CLASSES, first // CLASSES, PTX)
        if prediction is not None:
            best = argmax_update(best, z, first + row)
        a = adjust(z, first + row, tables, scale, noise, b, pixel, first, L, DISTRIBUTION, CLASSES)
        other = is_other(first, own_row)
        if KEPT:
            label_z = tl.where(other, label_z, z)
            came += (tl.where(other, z, -float("inf")),)
        if not OWN:
            label_a = tl.where(other, label_a, a)
        a = tl.where(other, a, -float("inf"))
        top = tl.maximum(top, a)
        column += (a,)
    if OWN:
        at_label = pixels_at(logits, strides.logits, shape, b, pixel) + y.to(INDEX) * strides.logits.label
        own_z = tl.load(at_label, mask=is_class, other=0.0).to(COMPUTE)
        label_a = adjust_label(own_z, y, is_class, tables, L)
    else:
        label_a = of_label(label_a, ignored)
        own_z = of_label(label_z, ignored) if KEPT else label_a
    label_a = less_margin(label_a, y, is_class, tables, L)

    top = tl.maximum(tl.max(top, 0), label_a)
    e = exponent(top, scale)
    others = tl.zeros([CLASSES, PIXELS], COMPUTE)
    exps = ()
    for i in tl.static_range(len(column)):
        each = exponentials(column[i], e)
        others += each
        exps += (each,)
    others = tl.sum(others, 0)
    term, terms = loss_and_grad_terms(label_a, e, others, w, ignored, scale, CURVE, of_curve, PTX)

    regional = None
    if REGIONS is not None:
        each = factor_of(weight_at, factor, is_class, COMPUTE)
        if KEPT:
            r = softmax_of(came, own_z, each, is_class, PTX)
        elif REGIONS[2]:
            r = region_of(exps, tl.exp2(tl.fma(label_a, e.factor, -e.shift)), each, is_class, PTX)
        else:  # but for a margin, or a scale that classes share
            r = softmax_of(column, own_z, each, is_class, PTX)
        if gradient is None:
            at = regions + tl.program_id(0) * (4 * L)
            store_sums(at, r, y[None, :] - row[:, None], row, L, REGIONS, pixel_weight is not None)
        else:
            regional = region_terms(regions + b * (3 * L), r, y, is_class, row, L, REGIONS)

    if gradient is not None:
        at = pixels_at(gradient, strides.gradient, shape, b, pixel)
        write(
            exps, terms, regional, at, strides.gradient.label, tables, y, is_class, inside, row, L, INDEX, PTX, OWN,
            REGIONS,
        )  # fmt: skip
    if prediction is not None:
        tl.store(pixels_at(prediction, strides.prediction, shape, b, pixel), argmax(best), mask=inside)
    if loss_map is not None:
        tl.store(pixels_at(loss_map, strides.loss_map, shape, b, pixel), term, mask=inside)
    if partial is not None:
        tl.store(partial + first_partial + tl.program_id(0), tl.sum(term, 0))


@triton.jit
def next_block(at, start, step, NUMBER: tl.constexpr, PTX: tl.constexpr):
    """Where block NUMBER + 1 is, a ``step`` on from the last: one addition, where it takes two from the ``start`` on.
    AMD's compiler takes twice as long, and twice the memory, for each addition in a row."""
    if PTX:
        return at + step
    else:
        return start + step * (NUMBER + 1)


@triton.jit
def write(
    exps, terms, regional, at, step, tables, y, is_class, inside, row,
    L: tl.constexpr, INDEX: tl.constexpr, PTX: tl.constexpr, OWN: tl.constexpr, REGIONS: tl.constexpr,
):  # fmt: skip
    """The gradient of columns, whose first elements are ``at``, [PIXELS], and the next ones a ``step`` on."""
    CLASSES: tl.constexpr = row.shape[0]
    start = at[None, :] + row.to(INDEX)[:, None] * step
    at_block = start
    # Not the comparison of the softmax, whose results the compiler would keep, some hundred bits a thread.
    own_row = y[None, :] - row[:, None]
    for i in tl.static_range(len(exps)):
        classes = i * CLASSES + row
        g = exps[i] * terms.rate[None, :]
        if not OWN:
            g = tl.where(own_row == i * CLASSES, terms.label[None, :], g)
        if tables.scale is not None:
            g *= entries(tables, tables.scale, classes, 1.0, L, g.dtype)
        if regional is not None:
            more = region_gradient(regional, i, classes, L, REGIONS)
            g += more if OWN else tl.where(own_row == i * CLASSES, regional.label[None, :], more)
        tl.store(at_block, g, mask=(classes < L)[:, None] & inside[None, :])
        at_block = next_block(at_block, start, step * CLASSES, i, PTX)
    if OWN:
        g = terms.label
        if tables.scale is not None:
            g *= entry(tables, tables.scale, y, is_class, 1.0, L, g.dtype)
        if regional is not None:
            g += regional.label
        tl.debug_barrier()  # after all that other threads store there
        tl.store(at + y.to(INDEX) * step, g, mask=is_class)

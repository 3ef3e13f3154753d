"""The loss of resized logits whose columns the upsample kernel cannot hold, and what that needs for their gradient.

A program has a few output rows between the same two rows of nodes, which it reads and interpolates along the row once
for all of them. A thread goes down its column by blocks of classes and keeps, of each output, the largest logit so far
and the sum of the exponentials over it, which shrinks where a larger one comes: few registers, however long a column.

Flops for each output and class: 1 exponential and 6 others. Instructions: 20 at L = 150 and ratio 4 (sm_90), on 128
registers.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from .hardware import reciprocal
from .numbers import parameters
from .pixel import (
    AdjustmentTables,
    ArgMax,
    NoiseArguments,
    adjust,
    argmax,
    argmax_init,
    argmax_update,
    compared,
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
from .regions import factor_of, label_slope, slope
from .resize import begin, bilinear_coords, lerp, lerp_weight, next_block, read_between, rows_between
from .views import pixel_at


class Column(NamedTuple):
    """What is kept of the columns seen so far, without their labels: the largest a and the sum of the exponentials over
    it, [LANES]; the label's a, zeros elsewhere, and the prediction so far, [CLASSES, LANES]."""

    top: Any
    others: Any
    label_a: Any
    best: Any


@triton.jit(do_not_specialize=["first_partial", "first_weights"])
def resized_loss_kernel(
    logits, target, gradient, pixel_weight, grad_output, loss_map, prediction, saved, partial, tables, seed, offset,
    regions, strides, held, resize, first_partial, first_weights, ignored_labels,
    L: tl.constexpr, CURVE: tl.constexpr, PARAMETERS: tl.constexpr, DISTRIBUTION: tl.constexpr, COMPUTE: tl.constexpr,
    INDEX: tl.constexpr, PTX: tl.constexpr, REGIONS: tl.constexpr, GRADIENT: tl.constexpr,
    CLASSES: tl.constexpr, LANES: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Arguments as of ``loss_kernel``, but that nothing is written to ``gradient``. GRADIENT: of the REGIONS, too, is
    to be made from what is saved."""
    of_curve = parameters(tables, PARAMETERS, COMPUTE)
    noise = NoiseArguments(seed, offset, tables)
    scale = uniform_scale(tables, held.uniform, L, COMPUTE)
    weights = tables + first_weights * L
    tables = AdjustmentTables(tables, held.scale, held.offset, held.margin, held.variation)
    b, i, y0, x = rows_between(resize, LANES, ROWS, INDEX)
    end = begin(resize.rows, i + 1)

    row = in_order(CLASSES, DISTRIBUTION)
    coords = bilinear_coords(logits + b * strides.logits.image, strides.logits, resize, i, x, row, COMPUTE, INDEX)
    start, labels, columns, came = coords, (), (), ()
    for k in tl.static_range(ROWS):
        inside = x < tl.where(y0 + k < end, resize.columns.size, 0)
        labels += (label(pixel_at(target, strides.target, b, y0 + k, x), inside, ignored_labels, L),)
        columns += (empty(CLASSES, LANES, COMPUTE),)
        came += (empty(CLASSES, LANES, COMPUTE),)
    for first in range(0, L, CLASSES):
        north, south = read_between(coords, first + row, L, COMPUTE)
        coords = next_block(coords, strides.logits.label * CLASSES)
        updated, as_came = (), ()
        for k in tl.static_range(ROWS):
            z = lerp(north, south, lerp_weight(resize.rows, i, y0 + k, COMPUTE))
            a = adjust(
                z, first + row, tables, scale, noise, b, (y0 + k) * resize.columns.size + x, first,
                L, DISTRIBUTION, CLASSES,
            )  # fmt: skip
            own, _, ignored = labels[k]  # type: ignore[var-annotated]
            other = is_other(row.to(tl.float32)[:, None], (compared(own, ignored) - first)[None, :])
            updated += (with_block(columns[k], z, a, other, first + row, scale, prediction is not None),)
            if REGIONS is not None and not REGIONS[2]:
                as_came += (with_block(came[k], z, z, other, first + row, tl.full([], 1.0, COMPUTE), False),)
        columns = updated
        if REGIONS is not None and not REGIONS[2]:
            came = as_came

    loss, softmaxes = tl.zeros([LANES], COMPUTE), ()
    for k in tl.static_range(ROWS):
        y = y0 + k
        inside = x < tl.where(y < end, resize.columns.size, 0)
        own, is_class, ignored = labels[k]  # type: ignore[var-annotated]
        weight_at = None if pixel_weight is None else pixel_at(pixel_weight, strides.pixel_weight, b, y, x)
        factor = None if grad_output is None else pixel_at(grad_output, strides.grad_output, b, y, x)
        w = weight_of(weights + b * L, own, is_class, weight_at, factor, inside, COMPUTE)
        column = named(columns[k])
        label_a = less_margin(of_label(column.label_a, ignored), own, is_class, tables, L)
        top = tl.maximum(column.top, label_a)
        e = exponent(top, scale)
        others = column.others * shrink(column.top, top, e)
        term, terms = loss_and_grad_terms(label_a, e, others, w, ignored, scale, CURVE, of_curve, PTX)
        if saved is not None:
            at = saved + b * strides.saved.image + (y * resize.columns.size + x)
            # Over infinity all exponentials are 0: those of an ignored pixel, whose logits may be anything, as well.
            tl.store(at, tl.where(ignored, float("inf"), top), mask=inside)
            at += strides.saved.label
            tl.store(at, terms.rate, mask=inside)
            at += strides.saved.label
            tl.store(at, others, mask=inside)
        if REGIONS is not None:
            each = factor_of(weight_at, factor, is_class, COMPUTE)
            if REGIONS[2]:
                softmax = softmax_as_it_came(label_a, e, others, each, is_class, own, PTX)
            else:
                raw = named(came[k])
                label_z = of_label(raw.label_a, ignored)
                top = tl.maximum(raw.top, label_z)
                e = exponent(top, tl.full([], 1.0, COMPUTE))
                others = raw.others * shrink(raw.top, top, e)
                softmax = softmax_as_it_came(label_z, e, others, each, is_class, own, PTX)
            softmaxes += (softmax,)
        if prediction is not None:
            at = pixel_at(prediction, strides.prediction, b, y, x)
            tl.store(at, argmax(column.best), mask=inside)
        if loss_map is not None:
            tl.store(pixel_at(loss_map, strides.loss_map, b, y, x), term, mask=inside)
        loss += term
    if partial is not None:
        tl.store(partial + first_partial + tl.program_id(0), tl.sum(loss, 0))
    if REGIONS is not None:
        if GRADIENT:
            at = saved + b * strides.saved.image + x
            save_terms(
                at, regions + b * (3 * L), softmaxes, start, row, resize, strides, i, y0, x, end, L, REGIONS,
                COMPUTE, ROWS,
            )  # fmt: skip
        else:
            at = regions + tl.program_id(0) * (4 * L)
            store_resized_sums(
                at, softmaxes, start, row, resize, strides, i, y0, L, REGIONS, pixel_weight is not None, COMPUTE, ROWS,
            )  # fmt: skip


@triton.jit
def softmax_as_it_came(label_z, e, others, weight, is_class, y, PTX: tl.constexpr):
    """What the probabilities of a column need: those of the class c are 2 ** (factor * z - shift) * inverse. Last the
    label's, and that of the others."""
    own = tl.exp2(tl.fma(label_z, e.factor, -e.shift))
    inverse = reciprocal(own + others, PTX)
    p_label, missed = tl.where(is_class, own * inverse, 0.0), tl.where(is_class, others * inverse, 0.0)
    return e.factor, e.shift, inverse, weight, is_class, y, p_label, missed


@triton.jit
def probabilities(softmax, north, south, weight, known):
    """Of an output row's column, [CLASSES, LANES]; 0 where a pixel is not labelled, and in rows that are no class, for
    these read 0, which may be far above a column's largest logit."""
    z = lerp(north, south, weight)
    power = tl.fma(z, tl.broadcast_to(softmax[0][None, :], z.shape), tl.broadcast_to(-softmax[1][None, :], z.shape))
    return tl.where(softmax[4][None, :] & known[:, None], tl.exp2(power) * softmax[2][None, :], 0.0)


@triton.jit
def store_resized_sums(
    at, softmaxes, coords, row, resize, strides, i, y0, L: tl.constexpr, REGIONS: tl.constexpr, WEIGHTED: tl.constexpr,
    COMPUTE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Down the columns once more, as ``regions.store_sums``: the program's sums, at the pointer ``at``."""
    for first in range(0, L, row.shape[0]):
        classes = first + row
        north, south = read_between(coords, classes, L, COMPUTE)
        coords = next_block(coords, strides.logits.label * row.shape[0])
        hits = tl.zeros_like(north)
        plain, squared, labelled = hits, hits, hits
        for k in tl.static_range(ROWS):
            softmax = softmaxes[k]
            p = probabilities(softmax, north, south, lerp_weight(resize.rows, i, y0 + k, COMPUTE), classes < L)
            is_label, weighted = classes[:, None] == softmax[5][None, :], p * softmax[3][None, :]
            hits += tl.where(is_label, weighted, 0.0)
            plain += weighted
            squared += weighted * p
            if WEIGHTED:
                labelled += tl.where(is_label, softmax[3][None, :], 0.0)
        tl.store(at + classes, tl.sum(hits, 1), mask=classes < L)
        tl.store(at + L + classes, tl.sum(plain, 1) if REGIONS[0] else 0.0, mask=classes < L)
        tl.store(at + 2 * L + classes, tl.sum(squared, 1) if REGIONS[1] else 0.0, mask=classes < L)
        tl.store(at + 3 * L + classes, tl.sum(labelled, 1) if WEIGHTED else 0.0, mask=classes < L)


@triton.jit
def save_terms(
    at, derivatives, softmaxes, coords, row, resize, strides, i, y0, x, end, L: tl.constexpr, REGIONS: tl.constexpr,
    COMPUTE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Down the columns once more, for what their gradient needs of the region losses: six rows after
    the three of the loss, ``regions.SavedTerms``."""
    totals = ()
    for _ in tl.static_range(ROWS):
        totals += (tl.zeros([row.shape[0], x.shape[0]], COMPUTE),)
    for first in range(0, L, row.shape[0]):
        classes = first + row
        north, south = read_between(coords, classes, L, COMPUTE)
        coords = next_block(coords, strides.logits.label * row.shape[0])
        updated = ()
        for k in tl.static_range(ROWS):
            softmax = softmaxes[k]
            p = probabilities(softmax, north, south, lerp_weight(resize.rows, i, y0 + k, COMPUTE), classes < L)
            of_class = p * slope(derivatives, p, classes, L, REGIONS)
            updated += (totals[k] + tl.where(classes[:, None] == softmax[5][None, :], 0.0, of_class),)
        totals = updated
    for k in tl.static_range(ROWS):
        y = y0 + k
        inside = x < tl.where(y < end, resize.columns.size, 0)
        place = at + y * resize.columns.size
        for number in tl.static_range(4):
            tl.store(place + (3 + number) * strides.saved.label, softmaxes[k][number], mask=inside)
        _, _, _, weight, kept, own, p_label, missed = softmaxes[k]
        total = tl.sum(totals[k], 0)
        by_label = label_slope(derivatives, p_label, own, kept, L, REGIONS)
        tl.store(place + 7 * strides.saved.label, total + p_label * by_label, mask=inside)
        tl.store(place + 8 * strides.saved.label, weight * p_label * (by_label * missed - total), mask=inside)


@triton.jit
def empty(CLASSES: tl.constexpr, LANES: tl.constexpr, COMPUTE: tl.constexpr):
    """A Column that has seen nothing."""
    top = tl.full([LANES], -float("inf"), COMPUTE)
    label_a = tl.zeros([CLASSES, LANES], COMPUTE)
    return Column(top, tl.zeros([LANES], COMPUTE), label_a, argmax_init(CLASSES, LANES, COMPUTE))


@triton.jit
def named(column):
    """Triton 3.6 loses the names of a tuple's fields where a loop begins."""
    return Column(column[0], column[1], column[2], ArgMax(column[3][0], column[3][1]))


@triton.jit
def with_block(column, z, a, other, classes, scale, PREDICTED: tl.constexpr):
    """With a block of later classes seen; ``other``: than the label."""
    column = named(column)
    best = column.best
    if PREDICTED:
        best = argmax_update(best, z, classes)
    label_a = tl.where(other, column.label_a, a)
    a = tl.where(other, a, -float("inf"))
    top = tl.maximum(column.top, tl.max(a, 0))
    e = exponent(top, scale)
    others = column.others * shrink(column.top, top, e) + tl.sum(exponentials(a, e), 0)
    return Column(top, others, label_a, best)


@triton.jit
def shrink(smaller, top, e):
    """What exponentials over a smaller number are times, to be those over ``top``."""
    return tl.exp2(tl.where(smaller == top, 0.0, smaller - top) * e.factor)

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
from .resize import begin, bilinear_coords, lerp, lerp_weight, next_block, read_between, rows_between
from .views import pixel_at, pixel_or_none


class Column(NamedTuple):
    """What is kept of the columns seen so far, without their labels: the largest a and the sum of the exponentials over
    it, [LANES]; the label's a, zeros elsewhere, and the prediction so far, [CLASSES, LANES]."""

    top: Any
    others: Any
    label_a: Any
    best: Any


@triton.jit(do_not_specialize=["room", "first_weights"])
def resized_loss_kernel(
    logits, target, gradient, pixel_weight, grad_output, loss_map, prediction, saved, partial, tables, seed, offset,
    strides, held, resize, room, first_weights, ignored_labels,
    L: tl.constexpr, CURVE: tl.constexpr, PARAMETERS: tl.constexpr, DISTRIBUTION: tl.constexpr, COMPUTE: tl.constexpr,
    INDEX: tl.constexpr, PTX: tl.constexpr, CLASSES: tl.constexpr, LANES: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Arguments as of ``loss_kernel``, but that nothing is written to ``gradient``."""
    of_curve = parameters(tables, PARAMETERS, COMPUTE)
    noise = NoiseArguments(seed, offset, tables)
    scale = uniform_scale(tables, held.uniform, L, COMPUTE)
    weights = tables + first_weights * L
    tables = AdjustmentTables(tables, held.scale, held.offset, held.margin, held.variation)
    b, i, y0, x = rows_between(resize, LANES, ROWS, INDEX)
    end = begin(resize.rows, i + 1)

    row = in_order(CLASSES, DISTRIBUTION)
    coords = bilinear_coords(logits + b * strides.logits.image, strides.logits, resize, i, x, row, COMPUTE, INDEX)
    labels, columns = (), ()
    for k in tl.static_range(ROWS):
        inside = x < tl.where(y0 + k < end, resize.columns.size, 0)
        labels += (label(pixel_at(target, strides.target, b, y0 + k, x), inside, ignored_labels, L),)
        columns += (empty(CLASSES, LANES, COMPUTE),)
    for first in range(0, L, CLASSES):
        north, south = read_between(coords, first + row, L, COMPUTE)
        coords = next_block(coords, strides.logits.label * CLASSES)
        updated = ()
        for k in tl.static_range(ROWS):
            z = lerp(north, south, lerp_weight(resize.rows, i, y0 + k, COMPUTE))
            a = adjust(
                z, first + row, tables, scale, noise, b, (y0 + k) * resize.columns.size + x, first,
                L, DISTRIBUTION, CLASSES,
            )  # fmt: skip
            own, _, ignored = labels[k]  # type: ignore[var-annotated]
            other = is_other(row.to(tl.float32)[:, None], (compared(own, ignored) - first)[None, :])
            updated += (with_block(columns[k], z, a, other, first + row, scale, prediction is not None),)
        columns = updated

    loss = tl.zeros([LANES], COMPUTE)
    for k in tl.static_range(ROWS):
        y = y0 + k
        inside = x < tl.where(y < end, resize.columns.size, 0)
        own, is_class, ignored = labels[k]  # type: ignore[var-annotated]
        each = pixel_or_none(pixel_weight, strides.pixel_weight, b, y, x)
        factor = pixel_or_none(grad_output, strides.grad_output, b, y, x)
        w = weight_of(weights + b * L, own, is_class, each, factor, inside, COMPUTE)
        column = named(columns[k])
        label_a = less_margin(of_label(column.label_a, ignored), own, is_class, tables, L)
        top = tl.maximum(column.top, label_a)
        e = exponent(top, scale)
        others = column.others * shrink(column.top, top, e)
        term, terms = loss_and_grad_terms(label_a, e, others, w, ignored, scale, CURVE, of_curve, PTX)
        if saved is not None:
            at = saved + b * strides.saved.image + (y * resize.columns.size + x)
            tl.store(at, top, mask=inside)
            at += strides.saved.label
            tl.store(at, terms.rate, mask=inside)
            at += strides.saved.label
            tl.store(at, others, mask=inside)
        if prediction is not None:
            at = pixel_at(prediction, strides.prediction, b, y, x)
            tl.store(at, argmax(column.best), mask=inside)
        if loss_map is not None:
            tl.store(pixel_at(loss_map, strides.loss_map, b, y, x), term, mask=inside)
        loss += term
    if partial is not None:
        tl.store(partial + room + tl.program_id(0), tl.sum(loss, 0))


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

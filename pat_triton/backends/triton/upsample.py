"""Loss and gradient of logits that are resized to their target: one program a block of source nodes.

Between two neighbouring nodes of a column lies an interval; a lane is one output column of one interval. The
program walks down the output rows with the two node rows above and below, already interpolated along
the row, in registers: an output's logit is two multiplications and an addition away, each softmax is
computed once, and its gradient goes to the two node rows in registers, of the label's class as much as makes its sum
over the classes 0. When a node row is done its lanes are added up to nodes and stored: no atomics, no partial sums in
memory. The column is a tuple of blocks of ROWS classes, so that what lies past its end costs nothing.

A program finishes SOURCE_ROWS x (INTERVALS - 1) nodes and walks one more row and column of intervals, which the
neighbours walk too: (1 + 1 / SOURCE_ROWS) (1 + 1 / (INTERVALS - 1)) of the outputs are computed.

Bytes: (1 + 2 / SOURCE_ROWS) (1 + 2 / (INTERVALS - 1)) source, the labels of what is computed, each gradient node
once; nothing of L x outputs. At L = 19 and ratio 4 a thread executes 28 instructions for each output and class (sm_90),
of which 14 are the output's: 3 of its logit and the maximum, 3 of its exponential and their sum, 5 that tell the label
from the others, 2 of the gradient, times 1.1 for what the neighbours compute, too.

Where an interval has more outputs than OUTPUTS, launch ``part`` k takes the k-th OUTPUTS of each and, from the second
on, is ADDED to the gradient of those before.

Columns that do not fit in registers come with their ``saved`` computed (by ``resized_loss``), and each program
has a part of the classes: then classes do not depend on each other.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from .numbers import parameters
from .pixel import (
    AdjustmentTables,
    NoiseArguments,
    adjust,
    argmax,
    argmax_init,
    argmax_update,
    compared,
    entries,
    exponent,
    exponentials,
    in_order,
    is_other,
    label,
    less_margin,
    loss_and_grad_terms,
    of_label,
    stacked,
    uniform_scale,
    weight_of,
)
from .regions import saved_gradient, saved_terms
from .resize import begin, lerp, lerp_weight, node
from .views import load_flat, pixel_at


class Outputs(NamedTuple):
    """Pointers to what has a number for each output, or None."""

    target: Any
    pixel_weight: Any
    grad_output: Any
    loss_map: Any
    prediction: Any
    saved: Any


class Lanes(NamedTuple):
    """The program's output columns, [LANES]. inside: whether there is such a column; counted: and it is this program's
    to count. west, east: where the nodes beside it begin in a row of nodes; lerp_weight: of the east one."""

    x: Any
    inside: Any
    counted: Any
    west: Any
    east: Any
    lerp_weight: Any


class Softmax(NamedTuple):
    """What a column's loss depends on, beside its logits. weights: pointer to those of the classes."""

    tables: Any
    scale: Any
    noise: Any
    weights: Any
    of_curve: Any


@triton.jit(do_not_specialize=["part", "first_partial", "first_weights"])
def upsample_kernel(
    logits, target, gradient, pixel_weight, grad_output, loss_map, prediction, saved, partial, tables,
    seed, offset, regions, strides, held, resize, part, first_partial, first_weights, ignored_labels,
    L: tl.constexpr, CURVE: tl.constexpr, PARAMETERS: tl.constexpr, DISTRIBUTION: tl.constexpr,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, PTX: tl.constexpr, REGIONS: tl.constexpr, ADDED: tl.constexpr,
    CLASSES: tl.constexpr, INTERVALS: tl.constexpr, OUTPUTS: tl.constexpr, SOURCE_ROWS: tl.constexpr,
    ROWS: tl.constexpr,
):  # fmt: skip
    """Arguments as of ``loss_kernel``; ``part``: which OUTPUTS of each interval's outputs."""
    rows, columns = resize.rows, resize.columns
    across, down, blocks = (
        tl.cdiv(columns.source, INTERVALS - 1),
        tl.cdiv(rows.source, SOURCE_ROWS),
        tl.cdiv(L, CLASSES),
    )
    program = tl.program_id(0)
    j0 = (program // blocks % across).to(INDEX) * (INTERVALS - 1)
    i0 = (program // (blocks * across) % down).to(INDEX) * SOURCE_ROWS
    b = (program // (blocks * across * down)).to(tl.int64)
    first = 0 if CLASSES >= L else program % blocks * CLASSES
    N: tl.constexpr = ((L if CLASSES >= L else CLASSES) + ROWS - 1) // ROWS

    softmax = Softmax(
        AdjustmentTables(tables, held.scale, held.offset, held.margin, held.variation),
        uniform_scale(tables, held.uniform, L, COMPUTE),
        NoiseArguments(seed, offset, tables),
        tables + (first_weights + b) * L,
        parameters(tables, PARAMETERS, COMPUTE),
    )
    outputs = Outputs(target, pixel_weight, grad_output, loss_map, prediction, saved)
    lanes = columns_of(columns, strides.logits.d1, j0, part, COMPUTE, INDEX, INTERVALS, OUTPUTS)
    image = logits + b * strides.logits.image

    step = strides.logits.label
    loss = tl.zeros([INTERVALS * OUTPUTS], COMPUTE)
    at = image + node(rows, i0 - 1) * strides.logits.d0
    bottom = node_row(at, step, first, lanes, N, ROWS, L, COMPUTE, DISTRIBUTION)
    g_bottom = zeros(N, ROWS, INTERVALS * OUTPUTS, COMPUTE)
    row = begin(rows, i0 - 1)
    for number in range(i0 - 1, tl.minimum(i0 + SOURCE_ROWS, rows.source)):
        i = tl.full([], number, INDEX)
        end = begin(rows, i + 1)
        top, g_top = bottom, g_bottom
        at = image + node(rows, i + 1) * strides.logits.d0
        bottom = node_row(at, step, first, lanes, N, ROWS, L, COMPUTE, DISTRIBUTION)
        g_bottom = zeros(N, ROWS, INTERVALS * OUTPUTS, COMPUTE)
        loss, g_top, g_bottom = interval_rows(
            loss, top, bottom, g_top, g_bottom, i, i0, row, end, b, first, resize, lanes, outputs, strides, softmax,
            regions, ignored_labels, L, CURVE, DISTRIBUTION, PTX, COMPUTE, gradient is not None, REGIONS,
        )  # fmt: skip
        row = end
        if gradient is not None:  # noqa: SIM102  (only this one is known to the compiler)
            if i >= i0:
                store(
                    g_top, gradient, strides.gradient, b, i, j0, first, columns.source, lanes, softmax.tables,
                    L, ADDED, CLASSES, INTERVALS, OUTPUTS, DISTRIBUTION,
                )  # fmt: skip
    if partial is not None:
        tl.store(partial + first_partial + program, tl.sum(loss, 0))


@triton.jit
def columns_of(
    columns,
    step,
    j0,
    part,
    COMPUTE: tl.constexpr,
    INDEX: tl.constexpr,
    INTERVALS: tl.constexpr,
    OUTPUTS: tl.constexpr,
):
    """The ``part``-th OUTPUTS outputs of each of the intervals from the one on the left of node j0 on."""
    lane = tl.arange(0, INTERVALS * OUTPUTS)
    interval = j0 - 1 + lane // OUTPUTS
    x = begin(columns, interval) + part * OUTPUTS + lane % OUTPUTS
    inside = x < begin(columns, interval + 1)
    west, east = (node(columns, interval) * step).to(INDEX), (node(columns, interval + 1) * step).to(INDEX)
    return Lanes(
        x, inside, inside & ((interval >= j0) | (interval < 0)), west, east, lerp_weight(columns, interval, x, COMPUTE)
    )


@triton.jit
def node_row(
    row, step, first, lanes,
    N: tl.constexpr, ROWS: tl.constexpr, L: tl.constexpr, COMPUTE: tl.constexpr, DISTRIBUTION: tl.constexpr,
):  # fmt: skip
    """A row of nodes interpolated at the output columns: N blocks [ROWS, LANES].

    The row is added to the lanes first: otherwise the compiler keeps an address for every class and lane.
    """
    made = ()
    for k in tl.static_range(N):
        classes = first + k * ROWS + in_order(ROWS, DISTRIBUTION)
        known = (classes < L)[:, None]
        column = classes.to(tl.int64)[:, None] * step
        west = load_flat((row + lanes.west)[None, :] + column, known)
        east = load_flat((row + lanes.east)[None, :] + column, known)
        made += (lerp(west.to(COMPUTE), east.to(COMPUTE), lanes.lerp_weight[None, :]),)
    return made


@triton.jit
def interval_rows(
    loss, top, bottom, g_top, g_bottom, i, i0, row, end, b, first, resize, lanes, outputs, strides, softmax,
    regions, ignored_labels, L: tl.constexpr, CURVE: tl.constexpr, DISTRIBUTION: tl.constexpr, PTX: tl.constexpr,
    COMPUTE: tl.constexpr, GRADIENT: tl.constexpr, REGIONS: tl.constexpr,
):  # fmt: skip
    """The output rows from ``row`` to ``end``, between the nodes i and i + 1: (loss, g_top, g_bottom) with theirs
    added."""
    N: tl.constexpr = len(top)
    ROWS: tl.constexpr = top[0].shape[0]
    LANES: tl.constexpr = top[0].shape[1]
    rows, columns, tables = resize.rows, resize.columns, softmax.tables
    x, inside = lanes.x, lanes.inside
    owned = tl.where((i >= i0) | (i < 0), lanes.counted, False)
    row_of = in_order(ROWS, DISTRIBUTION)
    # Not from ``row`` on: Triton 3.6 drops what a loop hands on only as the bound of an inner one.
    for number in range(0, end - row):
        y = tl.full([], number, x.dtype) + row
        fy = lerp_weight(rows, i, y, COMPUTE)
        at = pixel_at(outputs.target, strides.target, b, y, x)
        own, is_class, ignored = label(at, inside, ignored_labels, L)
        own_row = compared(own, ignored)[None, :] - (first + row_of).to(tl.float32)[:, None]
        column = ()
        label_a = tl.zeros([ROWS, LANES], COMPUTE)
        best = argmax_init(ROWS, LANES, COMPUTE)
        for k in tl.static_range(N):
            classes = first + k * ROWS + row_of
            z = tl.where((classes < L)[:, None], lerp(top[k], bottom[k], fy), -float("inf"))
            if outputs.prediction is not None:
                best = argmax_update(best, z, classes)
            a = adjust(
                z, classes, tables, softmax.scale, softmax.noise, b, y * columns.size + x, first + k * ROWS,
                L, DISTRIBUTION, ROWS,
            )  # fmt: skip
            if outputs.saved is None:
                other = is_other(k * ROWS, own_row)
                label_a = tl.where(other, label_a, a)
                a = tl.where(other, a, -float("inf"))
            column += (a,)
        if outputs.saved is None:
            weights, factors = outputs.pixel_weight, outputs.grad_output
            each = None if weights is None else pixel_at(weights, strides.pixel_weight, b, y, x)
            factor = None if factors is None else pixel_at(factors, strides.grad_output, b, y, x)
            w = weight_of(softmax.weights, own, is_class, each, factor, inside, COMPUTE)
            label_a = less_margin(of_label(label_a, ignored), own, is_class, tables, L)
            highest = tl.full([ROWS, LANES], -float("inf"), COMPUTE)
            for k in tl.static_range(N):
                highest = tl.maximum(highest, column[k])
            e = exponent(tl.maximum(tl.max(highest, 0), label_a), softmax.scale)
            exps = ()
            others = tl.zeros([ROWS, LANES], COMPUTE)
            for k in tl.static_range(N):
                each = exponentials(column[k], e)
                others += each
                exps += (each,)
            others = tl.sum(others, 0)
            term, terms = loss_and_grad_terms(
                label_a, e, others, w, ignored, softmax.scale, CURVE, softmax.of_curve, PTX
            )
            rate = terms.rate
            if outputs.prediction is not None:
                at = pixel_at(outputs.prediction, strides.prediction, b, y, x)
                tl.store(at, argmax(best), mask=owned)
            if outputs.loss_map is not None:
                at = pixel_at(outputs.loss_map, strides.loss_map, b, y, x)
                tl.store(at, term, mask=owned)
            loss += tl.where(owned, term, 0.0)
        else:
            at = outputs.saved + b * strides.saved.image + (y * columns.size + x)
            # Lanes beyond the outputs have logits too; as of ignored pixels, their exponentials are to be 0.
            e = exponent(tl.load(at, mask=inside, other=float("inf")), softmax.scale)
            rate = tl.load(at + strides.saved.label, mask=inside, other=0.0)
            others = tl.load(at + 2 * strides.saved.label, mask=inside, other=0.0)
            exps = ()
            for k in tl.static_range(N):
                exps += (exponentials(column[k], e),)
            if REGIONS is not None:
                terms = saved_terms(at, strides.saved.label, inside & is_class)
        if GRADIENT:
            # Of the label so much that the sum over the classes is 0.
            above, below = (rate * (1 - fy))[None, :], (rate * fy)[None, :]
            g0, g1 = (), ()
            for k in tl.static_range(N):
                g = tl.where(own_row == k * ROWS, -others[None, :], exps[k])
                if REGIONS is None:
                    g0 += (tl.fma(g, tl.broadcast_to(above, g.shape), g_top[k]),)
                    g1 += (tl.fma(g, tl.broadcast_to(below, g.shape), g_bottom[k]),)
                else:
                    z = exps[k] if REGIONS[2] else lerp(top[k], bottom[k], fy)
                    more = saved_gradient(
                        z, terms, own_row == k * ROWS, regions + b * (3 * L), first + k * ROWS + row_of, tables,
                        L, REGIONS,
                    )  # fmt: skip
                    g0 += (tl.fma(g, tl.broadcast_to(above, g.shape), tl.fma(more, 1 - fy, g_top[k])),)
                    g1 += (tl.fma(g, tl.broadcast_to(below, g.shape), tl.fma(more, fy, g_bottom[k])),)
            g_top, g_bottom = g0, g1
    return loss, g_top, g_bottom


@triton.jit
def zeros(N: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr, COMPUTE: tl.constexpr):
    made = ()
    for _ in tl.static_range(N):
        made += (tl.zeros([ROWS, LANES], COMPUTE),)
    return made


@triton.jit
def store(
    g, gradient, strides, b, i, j0, first, source, lanes, tables, L: tl.constexpr, ADDED: tl.constexpr,
    CLASSES: tl.constexpr, INTERVALS: tl.constexpr, OUTPUTS: tl.constexpr, DISTRIBUTION: tl.constexpr,
):  # fmt: skip
    """The gradient of the row i of nodes, from blocks [ROWS, LANES] of that of the output columns."""
    ROWS: tl.constexpr = g[0].shape[0]
    N: tl.constexpr = triton.next_power_of_2(len(g))
    number = tl.arange(0, N * ROWS)
    order = tl.broadcast_to(in_order(ROWS, DISTRIBUTION)[None, :], [N, ROWS])
    classes = first + number // ROWS * ROWS + tl.reshape(order, [N * ROWS])
    sums = stacked(g, N)
    if tables.scale is not None:
        sums *= entries(tables, tables.scale, classes, 1.0, L, sums.dtype)
    sums = nodes(sums, lanes.lerp_weight, INTERVALS, OUTPUTS)
    j = j0 + tl.arange(0, INTERVALS)
    at = pixel_at(gradient, strides, b, i, j)[None, :] + classes.to(tl.int64)[:, None] * strides.label
    known = (classes < first + CLASSES) & (classes < L)
    finished = known[:, None] & ((j < j0 + INTERVALS - 1) & (j < source))[None, :]
    if ADDED:
        sums += tl.load(at, mask=finished, other=0.0)
    tl.store(at, sums, mask=finished)


@triton.jit
def nodes(g, fx, INTERVALS: tl.constexpr, OUTPUTS: tl.constexpr):
    """Lanes added up to the node on the right of each interval, from it and from the next: [CLASSES, INTERVALS]."""
    CLASSES: tl.constexpr = g.shape[0]
    east = tl.sum(tl.reshape(g * fx[None, :], [CLASSES, INTERVALS, OUTPUTS]), 2)
    west = tl.sum(tl.reshape(g * (1 - fx)[None, :], [CLASSES, INTERVALS, OUTPUTS]), 2)
    following = tl.minimum(tl.arange(0, INTERVALS) + 1, INTERVALS - 1)
    return east + tl.gather(west, tl.broadcast_to(following[None, :], [CLASSES, INTERVALS]), 1)

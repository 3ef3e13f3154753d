"""Loss and gradient of logits that are resized to their target: one program a block of source nodes.

Between two neighbouring nodes of a column lies a cell; a lane is one output column of one cell. The
program walks down the output rows with the two node rows above and below, already interpolated along
the row, in registers: an output's logit is one multiplication and addition away, each softmax is
computed once, and its gradient goes to the two node rows in registers. When a node row is done its
lanes are added up to nodes and stored: no atomics, no partial sums in memory.

A program finishes BANDS x (CELLS - 1) nodes and walks one more row and column of cells, which the
neighbours walk too: (1 + 1 / BANDS) (1 + 1 / (CELLS - 1)) of the outputs are computed.

Bytes: (1 + 2 / BANDS) (1 + 2 / (CELLS - 1)) source, the labels of what is computed, each gradient node
once; nothing of L x outputs. Flops for each output and class: 1 exponential and 10 others, and 8 for each
row of cells. At L = 19 and ratio 4 a thread executes 41 instructions for each (sm_90), which bound it.

Where a cell has more outputs than CROWD, launch ``part`` k takes the k-th CROWD of each and, from the second
on, is ADDED to the gradient of those before.

Columns that do not fit in registers come with their ``saved`` computed (by ``loss``), and each program
has one block of the classes: then classes do not depend on each other.
"""

import triton
import triton.language as tl

from .numbers import parameters
from .pixel import (
    AdjustmentTables,
    GradTerms,
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
    uniform_scale,
)
from .resize import begin, lerp, load_flat, node, share, wide


@triton.jit(do_not_specialize=["part", "room", "first_weights"])
def upsample_kernel(
    logits, target, gradient, pixel_weight, grad_output, loss_map, prediction, saved, partial, tables,
    seed, offset, strides, held, resize, part, room, first_weights, ignored_labels,
    L: tl.constexpr, CURVE: tl.constexpr, PARAMETERS: tl.constexpr, DISTRIBUTION: tl.constexpr,
    COMPUTE: tl.constexpr, PTX: tl.constexpr, ADDED: tl.constexpr, CLASSES: tl.constexpr, CELLS: tl.constexpr, CROWD: tl.constexpr,
    BANDS: tl.constexpr,
):  # fmt: skip
    """Arguments as of ``loss_kernel``; ``part``: which CROWD of each cell's outputs."""
    of_curve = parameters(tables, PARAMETERS, COMPUTE)
    noise = NoiseArguments(seed, offset, tables)
    scale = uniform_scale(tables, held.uniform, L, COMPUTE)
    tables = AdjustmentTables(tables, held.scale, held.offset, held.margin, held.variation)
    rows, columns = resize.rows, resize.columns
    across, down = tl.cdiv(columns.source, CELLS - 1), tl.cdiv(rows.source, BANDS)
    blocks = tl.cdiv(L, CLASSES)
    program = tl.program_id(0)
    first = program % blocks * CLASSES
    j0 = (program // blocks % across).to(tl.int64) * (CELLS - 1)
    i0 = (program // (blocks * across) % down).to(tl.int64) * BANDS
    b = (program // (blocks * across * down)).to(tl.int64)
    classes = first + in_order(CLASSES, DISTRIBUTION)
    known = (classes < L)[:, None]

    LANES: tl.constexpr = CELLS * CROWD
    lane = tl.arange(0, LANES)
    cell = j0 - 1 + lane // CROWD
    x = begin(columns, cell) + part * CROWD + lane % CROWD
    inside = x < begin(columns, cell + 1)
    fx = share(columns, cell, x, COMPUTE)
    counted = inside & ((cell >= j0) | (cell < 0))
    west, east = node(columns, cell) * strides.logits.d1, node(columns, cell + 1) * strides.logits.d1
    column = classes.to(tl.int64)[:, None] * strides.logits.label

    bottom = node_row(logits, strides.logits, b, node(rows, i0 - 1), column, west, east, fx, known, COMPUTE)
    g_bottom = tl.zeros([CLASSES, LANES], COMPUTE)
    loss = tl.zeros([LANES], COMPUTE)
    for band in range(i0 - 1, tl.minimum(i0 + BANDS, rows.source)):
        i = wide(band)
        top, g_top = bottom, g_bottom
        bottom = node_row(logits, strides.logits, b, node(rows, i + 1), column, west, east, fx, known, COMPUTE)
        rise = tl.where(top == -float("inf"), 0.0, bottom - top)
        g_bottom = tl.zeros([CLASSES, LANES], COMPUTE)
        owned = tl.where((i >= i0) | (i < 0), counted, False)
        for row in range(begin(rows, i), begin(rows, i + 1)):
            y = wide(row)
            fy = share(rows, i, y, COMPUTE)
            at = target + pixel_of(strides.target, b, y, x)
            own, is_class, ignored = label(at, inside, ignored_labels, L)
            z = tl.where(known, top + fy * rise, -float("inf"))
            a = adjust(z, classes, tables, scale, noise, b, y * columns.size + x, first, L, DISTRIBUTION, CLASSES)
            other = is_other(classes.to(tl.float32)[:, None], compared(own, ignored)[None, :])
            if saved is None:
                w = tl.load(tables.pointer + (first_weights + b) * L + own, mask=is_class, other=float("nan")).to(
                    COMPUTE
                )
                if pixel_weight is not None:
                    at = pixel_weight + pixel_of(strides.pixel_weight, b, y, x)
                    w *= tl.load(at, mask=inside, other=0.0).to(COMPUTE)
                if grad_output is not None:
                    at = grad_output + pixel_of(strides.grad_output, b, y, x)
                    w *= tl.load(at, mask=inside, other=0.0)
                label_a = less_margin(
                    tl.sum(tl.where(other, 0.0, tl.where(known, a, 0.0)), 0), own, is_class, tables, L
                )
                a = tl.where(other, a, -float("inf"))
                e = exponent(tl.maximum(tl.max(a, 0), label_a), scale)
                exps = tl.where(known, exponentials(a, e), 0.0)
                term, terms = loss_and_grad_terms(label_a, e, tl.sum(exps, 0), w, ignored, scale, CURVE, of_curve, PTX)
                if prediction is not None:
                    best = argmax(argmax_update(argmax_init(CLASSES, LANES, COMPUTE), z, classes))
                    at = prediction + pixel_of(strides.prediction, b, y, x)
                    tl.store(at, best, mask=owned)
                if loss_map is not None:
                    at = loss_map + pixel_of(strides.loss_map, b, y, x)
                    tl.store(at, term, mask=owned)
                loss += tl.where(owned, term, 0.0)
            else:
                at = saved + b * strides.saved.image + y * columns.size + x
                e = exponent(tl.load(at, mask=inside, other=0.0), scale)
                terms = GradTerms(
                    tl.load(at + strides.saved.label, mask=inside, other=0.0),
                    tl.load(at + 2 * strides.saved.label, mask=inside, other=0.0),
                )
                exps = exponentials(a, e)
            if gradient is not None:
                g = tl.where(known & other, exps * terms.rate[None, :], tl.where(known, terms.label[None, :], 0.0))
                g_top = tl.where(known, g_top + (1 - fy) * g, 0.0)
                g_bottom = tl.where(known, g_bottom + fy * g, 0.0)
        if gradient is not None:  # noqa: SIM102  (only this one is known to the compiler)
            if i >= i0:
                if tables.scale is not None:
                    g_top *= entries(tables, tables.scale, classes, 1.0, L, COMPUTE)
                j = j0 + tl.arange(0, CELLS)
                at = gradient + pixel_of(strides.gradient, b, i, j)
                at = at[None, :] + classes.to(tl.int64)[:, None] * strides.gradient.label
                finished = known & ((j < j0 + CELLS - 1) & (j < columns.source))[None, :]
                g = nodes(g_top, fx, CELLS, CROWD)
                if ADDED:
                    g += tl.load(at, mask=finished, other=0.0)
                tl.store(at, g, mask=finished)
    if partial is not None:
        tl.store(partial + room + program, tl.sum(loss, 0))


@triton.jit
def pixel_of(strides, b, row, column):
    """Offsets of pixels of image b."""
    return b * strides.image + row * strides.d0 + column * strides.d1


@triton.jit
def node_row(logits, strides, b, i, column, west, east, fx, known, COMPUTE: tl.constexpr):
    """Row i of nodes interpolated at the lanes' columns: [CLASSES, LANES].

    The row is added to the lanes first: otherwise the compiler keeps an address for every class and lane.
    """
    row = b * strides.image + i * strides.d0
    z0 = load_flat(logits + ((row + west)[None, :] + column), known)
    z1 = load_flat(logits + ((row + east)[None, :] + column), known)
    return lerp(z0.to(COMPUTE), z1.to(COMPUTE), fx[None, :])


@triton.jit
def nodes(g, fx, CELLS: tl.constexpr, CROWD: tl.constexpr):
    """Lanes added up to the node on the right of each cell, from it and from the next: [CLASSES, CELLS]."""
    CLASSES: tl.constexpr = g.shape[0]
    east = tl.sum(tl.reshape(g * fx[None, :], [CLASSES, CELLS, CROWD]), 2)
    west = tl.sum(tl.reshape(g * (1 - fx)[None, :], [CLASSES, CELLS, CROWD]), 2)
    following = tl.minimum(tl.arange(0, CELLS) + 1, CELLS - 1)
    return east + tl.gather(west, tl.broadcast_to(following[None, :], [CLASSES, CELLS]), 1)

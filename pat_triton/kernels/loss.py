"""The loss kernel: forward, one-pass loss and gradient, and recomputing backward in one body.

What is not asked for is None and specialises away. Bytes per logit: forward 1 read; one pass 1 read + 1
write, the floor; recomputing backward the same. Per pixel: one label, and the loss map if asked for. The
column lies in registers as a tuple of blocks, however many classes it has.

Logits of another size than the target are interpolated as they are read, four from the cache for one.
Their gradient is ``upsample``'s; for columns that it cannot hold this kernel saves the ``pulls``.
"""

import triton
import triton.language as tl

from .numbers import parameters
from .pixel import AdjustmentTables, NoiseArguments, adjust, better, entries, label, settle, slopes, softmax, worst
from .resize import place, read
from .views import offsets, rows, tile


@triton.jit(do_not_specialize=["room", "first_weights"])
def loss_kernel(
    logits, target, gradient, pixel_weight, grad_output, loss_map, prediction, pulls, partial, tables, seed, offset,
    strides, held, resize, shape, room, first_weights, ignored_labels,
    L: tl.constexpr, CURVE: tl.constexpr, PARAMETERS: tl.constexpr, DISTRIBUTION: tl.constexpr, COMPUTE: tl.constexpr,
    CLASSES: tl.constexpr, PIXELS: tl.constexpr, VECTOR: tl.constexpr,
):  # fmt: skip
    """Pointers, then what the kind of call fixes: ``strides`` of each pointer over ``shape``, which rows of the tables
    are ``held`` and which is that of the ``first_weights``, and the ``room`` of the partial sums: the first element of
    theirs. The tables begin with sigma and the curve's PARAMETERS."""
    of_curve = parameters(tables, PARAMETERS, COMPUTE)
    noise = NoiseArguments(seed, offset, tables)
    tables = AdjustmentTables(tables, held.scale, held.offset, held.margin, held.variation)
    b, pixel, inside = tile(shape, PIXELS, VECTOR)
    y, is_class, ignored = label(target + offsets(strides.target, shape, b, pixel), inside, ignored_labels, L)
    # A label that is neither a class nor ignored weighs NaN: seen in the loss, never indexed.
    w = tl.load(tables.pointer + (first_weights + b) * L + y, mask=is_class, other=float("nan")).to(COMPUTE)
    spot = place(strides.logits, resize, shape, b, pixel, COMPUTE)

    best = worst(PIXELS, COMPUTE)
    column = ()
    for first in tl.static_range(0, L, CLASSES):
        classes = first + tl.arange(0, CLASSES)
        z = read(logits, strides.logits, resize, spot, classes, inside, L, COMPUTE, VECTOR)
        if prediction is not None:
            best = better(best, z, classes, L)
        column += (adjust(z, classes, tables, noise, b, pixel, y, first, L, DISTRIBUTION, CLASSES),)
    if pixel_weight is not None:
        at = pixel_weight + offsets(strides.pixel_weight, shape, b, pixel)
        w *= tl.load(at, mask=inside, other=0.0).to(COMPUTE)
    if grad_output is not None:
        w *= tl.load(grad_output + offsets(strides.grad_output, shape, b, pixel), mask=inside, other=0.0)
    term, pull = settle(softmax(column, y, 0, L), w, ignored, CURVE, of_curve)

    if gradient is not None:
        at = gradient + offsets(strides.gradient, shape, b, pixel)
        for i in tl.static_range(len(column)):
            classes = i * CLASSES + tl.arange(0, CLASSES)
            g = slopes(pull, column[i], classes, y, ignored, L)
            if tables.scale is not None:
                g *= entries(tables, tables.scale, classes, 1.0, L, COMPUTE)
            known = (classes < L)[:, None] & inside[None, :]
            tl.store(at[None, :] + rows(strides.gradient, classes), g, mask=known)
    if pulls is not None:
        at = pulls + b * strides.pulls.image + pixel
        tl.store(at, pull.top, mask=inside)
        tl.store(at + strides.pulls.label, pull.rate, mask=inside)
        tl.store(at + 2 * strides.pulls.label, pull.own, mask=inside)

    if prediction is not None:
        tl.store(prediction + offsets(strides.prediction, shape, b, pixel), best.label, mask=inside)
    if loss_map is not None:
        tl.store(loss_map + offsets(strides.loss_map, shape, b, pixel), term, mask=inside)
    if partial is not None:
        tl.store(partial + room + tl.program_id(0), tl.sum(term, 0))

"""The loss kernel: forward, one-pass loss and gradient, and recomputing backward in one body.

What is not asked for is None and specialises away. Bytes per logit: forward 1 read; one pass 1 read + 1
write, the floor; recomputing backward the same. Per pixel: one label, and the loss map if asked for. The
column lies in registers as a tuple of blocks, however many classes it has.

Logits of another size than the target are interpolated as they are read, four from the cache for one.
Their gradient is ``upsample``'s; for columns that it cannot hold this kernel saves the ``pulls``.
"""

import triton
import triton.language as tl

from .pixel import adjust, better, entries, label, settle, slopes, softmax, worst
from .resize import place, read
from .views import offsets, rows, tile


@triton.jit
def loss_kernel(
    logits, target, gradient, pixel_weight, grad_output, loss_map, prediction, pulls, partial, weights, tables, noise,
    resize, shape, parameters, ignore_index, L: tl.constexpr, CURVE: tl.constexpr, DISTRIBUTION: tl.constexpr,
    COMPUTE: tl.constexpr, CLASSES: tl.constexpr, PIXELS: tl.constexpr, VECTOR: tl.constexpr,
):  # fmt: skip
    b, pixel, inside = tile(shape, PIXELS, VECTOR)
    y, is_class, ignored = label(target, offsets(target, shape, b, pixel), inside, ignore_index, L)
    # A label that is neither a class nor ignored weighs NaN: seen in the loss, never indexed.
    w = tl.load(weights + b * L + y, mask=is_class, other=float("nan"))
    spot = place(logits, resize, shape, b, pixel, COMPUTE)

    best = worst(PIXELS, COMPUTE)
    column = ()
    for first in tl.static_range(0, L, CLASSES):
        classes = first + tl.arange(0, CLASSES)
        z = read(logits, resize, spot, classes, inside, L, COMPUTE, VECTOR)
        if prediction is not None:
            best = better(best, z, classes, L)
        column += (adjust(z, classes, tables, noise, b, pixel, y, first, L, DISTRIBUTION, CLASSES),)
    if pixel_weight is not None:
        w *= tl.load(pixel_weight.pointer + offsets(pixel_weight, shape, b, pixel), mask=inside, other=0.0).to(COMPUTE)
    if grad_output is not None:
        w *= tl.load(grad_output.pointer + offsets(grad_output, shape, b, pixel), mask=inside, other=0.0)
    term, pull = settle(softmax(column, y, 0, L), w, ignored, CURVE, parameters)

    if gradient is not None:
        at = gradient.pointer + offsets(gradient, shape, b, pixel)
        for i in tl.static_range(len(column)):
            classes = i * CLASSES + tl.arange(0, CLASSES)
            g = slopes(pull, column[i], classes, y, ignored, L)
            if tables.scale is not None:
                g *= entries(tables.scale, classes, 1.0, L)
            known = (classes < L)[:, None] & inside[None, :]
            tl.store(at[None, :] + rows(gradient, classes), g, mask=known)
    if pulls is not None:
        at = b * pulls.image + pixel
        tl.store(pulls.pointer + at, pull.top, mask=inside)
        tl.store(pulls.pointer + at + pulls.label, pull.rate, mask=inside)
        tl.store(pulls.pointer + at + 2 * pulls.label, pull.own, mask=inside)

    if prediction is not None:
        tl.store(prediction.pointer + offsets(prediction, shape, b, pixel), best.label, mask=inside)
    if loss_map is not None:
        tl.store(loss_map.pointer + offsets(loss_map, shape, b, pixel), term, mask=inside)
    if partial is not None:
        tl.store(partial + tl.program_id(0), tl.sum(term, 0))

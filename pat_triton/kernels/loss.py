"""The loss kernel: forward, one-pass loss and gradient, and recomputing backward in one body.

What is not asked for is None and specialises away. Bytes per logit of a column that fits in
registers: forward 1 read; one pass 1 read + 1 write, the floor; recomputing backward the same.
Per pixel: one label, and the loss map if asked for. A column past ``tiles.RESIDENT`` classes is
read a second time for the gradient.

Logits of another size than the target are interpolated as they are read, four from the cache for one.
Their gradient is ``upsample``'s; for columns that it cannot hold this kernel saves the ``pulls``.
"""

import triton
import triton.language as tl

from .pixel import adjust, better, entries, fold, label, nothing, settle, slopes, worst
from .resize import place, read
from .views import offsets, tile


@triton.jit
def loss_kernel(
    logits, target, gradient, grad_output, loss_map, prediction, pulls, partial, weights, tables, noise, resize, shape,
    parameters, ignore_index, L: tl.constexpr, CURVE: tl.constexpr, DISTRIBUTION: tl.constexpr,
    COMPUTE: tl.constexpr, CLASSES: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    b, pixel, inside = tile(shape, PIXELS)
    y, is_class, ignored = label(target, offsets(target, shape, b, pixel), inside, ignore_index, L)
    # A label that is neither a class nor ignored weighs NaN: seen in the loss, never indexed.
    w = tl.load(weights + b * L + y, mask=is_class, other=float("nan"))
    spot = place(logits, resize, shape, b, pixel, COMPUTE)

    state, best = nothing(PIXELS, COMPUTE), worst(PIXELS, COMPUTE)
    for first in range(0, L, CLASSES):
        classes = first + tl.arange(0, CLASSES)
        z = read(logits, resize, spot, classes, inside, L, COMPUTE)
        if prediction is not None:
            best = better(best, z, classes, L)
        a = adjust(z, classes, tables, noise, b, pixel, y, first, L, DISTRIBUTION, CLASSES)
        state = fold(state, a, classes, y, ignored, L)
    if grad_output is not None:
        w *= tl.load(grad_output.pointer + offsets(grad_output, shape, b, pixel), mask=inside, other=0.0)
    term, pull = settle(state, w, ignored, CURVE, parameters)

    if gradient is not None:
        at = offsets(gradient, shape, b, pixel)
        # With one block this is the block above: the compiler merges them and reads once.
        for first in range(0, L, CLASSES):
            classes = first + tl.arange(0, CLASSES)
            z = read(logits, resize, spot, classes, inside, L, COMPUTE)
            a = adjust(z, classes, tables, noise, b, pixel, y, first, L, DISTRIBUTION, CLASSES)
            g = slopes(pull, a, classes, y, ignored, L)
            if tables.scale is not None:
                g *= entries(tables.scale, classes, 1.0, L)
            known = (classes < L)[:, None] & inside[None, :]
            tl.store(gradient.pointer + at[None, :] + classes.to(tl.int64)[:, None] * gradient.label, g, mask=known)
    if pulls is not None:
        at = b * pulls.image + pixel
        tl.store(pulls.pointer + at, pull.top, mask=inside)
        tl.store(pulls.pointer + at + pulls.label, pull.rate, mask=inside)
        tl.store(pulls.pointer + at + 2 * pulls.label, pull.own, mask=inside)

    # The loss is stored last: a store between the two loops would keep them from being merged.
    if prediction is not None:
        tl.store(prediction.pointer + offsets(prediction, shape, b, pixel), best.label, mask=inside)
    if loss_map is not None:
        tl.store(loss_map.pointer + offsets(loss_map, shape, b, pixel), term, mask=inside)
    if partial is not None:
        tl.store(partial + tl.program_id(0), tl.sum(term, 0))

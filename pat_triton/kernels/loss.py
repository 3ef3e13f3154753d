"""The loss kernel: forward, one-pass loss and gradient, and recomputing backward in one body.

What is not asked for is None and specialises away. Bytes per logit of a column that fits in
registers: forward 1 read; one pass 1 read + 1 write, the floor; recomputing backward the same.
Per pixel: one label, and the loss map if asked for. A column past ``tiles.RESIDENT`` classes is
read a second time for the gradient.
"""

import triton
import triton.language as tl

from .pixel import adjusted, at_label, entries, finite, label
from .views import offsets, tile


@triton.jit
def loss_kernel(
    logits, target, gradient, grad_output, loss_map, partial, weights, tables, noise, shape,
    parameters, ignore_index, L: tl.constexpr, CURVE: tl.constexpr, DISTRIBUTION: tl.constexpr,
    COMPUTE: tl.constexpr, CLASSES: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    b, pixel, inside = tile(shape, PIXELS)
    y, is_class, ignored = label(target, shape, b, pixel, inside, ignore_index, L)
    # A label that is neither a class nor ignored weighs NaN: seen in the loss, never indexed.
    w = tl.load(weights + b * L + y, mask=is_class, other=float("nan"))
    where = offsets(logits, shape, b, pixel)

    top = tl.full([PIXELS], -float("inf"), COMPUTE)
    label_a = tl.zeros([PIXELS], COMPUTE)
    others = tl.zeros([PIXELS], COMPUTE)
    for first in range(0, L, CLASSES):
        is_label = (first + tl.arange(0, CLASSES))[:, None] == y[None, :]
        a = adjusted(logits, where, tables, noise, b, pixel, inside, y, first, L, DISTRIBUTION, COMPUTE, CLASSES)
        higher = tl.maximum(top, tl.max(a, 0))
        e = tl.exp(a - finite(higher)[None, :])
        others = others * tl.exp(top - finite(higher)) + tl.sum(tl.where(is_label, 0.0, e), 0)
        label_a += tl.sum(tl.where(is_label, a, 0.0), 0)
        top = higher
    top = finite(top)
    u, p, q, total = at_label(label_a, top, others)
    value, slope = CURVE(u, p, q, *parameters)

    if gradient is not None:
        if grad_output is not None:
            w *= tl.load(grad_output.pointer + offsets(grad_output, shape, b, pixel), mask=inside, other=0.0)
        pull = w * slope
        at = offsets(gradient, shape, b, pixel)
        # With one block this is the block above: the compiler merges them and reads once.
        for first in range(0, L, CLASSES):
            classes = first + tl.arange(0, CLASSES)
            is_label = classes[:, None] == y[None, :]
            a = adjusted(logits, where, tables, noise, b, pixel, inside, y, first, L, DISTRIBUTION, COMPUTE, CLASSES)
            e = tl.exp(a - top[None, :])
            g = tl.where(is_label, (pull * q)[None, :], e * (-pull / total)[None, :])
            if tables.scale is not None:
                g *= entries(tables.scale, classes, 1.0, L)
            g = tl.where(ignored[None, :], 0.0, g)
            known = (classes < L)[:, None] & inside[None, :]
            tl.store(gradient.pointer + at[None, :] + classes.to(tl.int64)[:, None] * gradient.label, g, mask=known)

    # The loss is stored last: a store between the two loops would keep them from being merged.
    term = tl.where(ignored, 0.0, w * value)
    if loss_map is not None:
        tl.store(loss_map.pointer + offsets(loss_map, shape, b, pixel), term, mask=inside)
    if partial is not None:
        tl.store(partial + tl.program_id(0), tl.sum(term, 0))

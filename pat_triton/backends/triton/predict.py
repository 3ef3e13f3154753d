"""Predictions without a loss, and what is counted of them."""

import triton
import triton.language as tl

from .pixel import ArgMax, argmax, argmax_init, argmax_update, label
from .resize import begin, bilinear_coords, lerp, lerp_weight, next_block, read_between, rows_between
from .views import pixel_at, pixels_at, read, tile


@triton.jit
def predict_kernel(
    logits, prediction, strides, shape, L: tl.constexpr,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, CLASSES: tl.constexpr, PIXELS: tl.constexpr, VECTOR: tl.constexpr,
):  # fmt: skip
    """The first class with the largest logit of each pixel."""
    b, pixel, inside = tile(shape, PIXELS, VECTOR, INDEX)
    row = tl.arange(0, CLASSES)
    at = pixels_at(logits, strides.logits, shape, b, pixel)[None, :] + row.to(INDEX)[:, None] * strides.logits.label
    best = argmax_init(CLASSES, PIXELS, COMPUTE)
    for first in range(0, L, CLASSES):
        z = read(at, first + row, inside, L, COMPUTE, VECTOR)
        at += strides.logits.label * CLASSES
        best = argmax_update(best, z, first + row)
    tl.store(pixels_at(prediction, strides.prediction, shape, b, pixel), argmax(best), mask=inside)


@triton.jit
def predict_resized_kernel(
    logits, prediction, strides, resize, L: tl.constexpr,
    COMPUTE: tl.constexpr, INDEX: tl.constexpr, CLASSES: tl.constexpr, LANES: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """The same of resized logits: ROWS output rows between the same two rows of nodes at a time, which are read and
    interpolated along the row once."""
    b, i, y, x = rows_between(resize, LANES, ROWS, INDEX)
    row = tl.arange(0, CLASSES)
    coords = bilinear_coords(logits + b * strides.logits.image, strides.logits, resize, i, x, row, COMPUTE, INDEX)
    best = ()
    for _ in tl.static_range(ROWS):
        best += (argmax_init(CLASSES, LANES, COMPUTE),)
    for first in range(0, L, CLASSES):
        north, south = read_between(coords, first + row, L, COMPUTE)
        coords = next_block(coords, strides.logits.label * CLASSES)
        updated = ()
        for k in tl.static_range(ROWS):
            z = lerp(north, south, lerp_weight(resize.rows, i, y + k, COMPUTE))
            updated += (argmax_update(ArgMax(best[k][0], best[k][1]), z, first + row),)
        best = updated
    for k in tl.static_range(ROWS):
        inside = x < tl.where(y + k < begin(resize.rows, i + 1), resize.columns.size, 0)
        at = pixel_at(prediction, strides.prediction, b, y + k, x)
        tl.store(at, argmax(ArgMax(best[k][0], best[k][1])), mask=inside)


@triton.jit
def confusion_kernel(
    target,
    prediction,
    counts,
    strides,
    shape,
    ignored_labels,
    L: tl.constexpr,
    BINS: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """counts is int64 [L + 2, L]: row L of ignored, row L + 1 of wrong labels.

    Integer atomics: the order of additions cannot change the sums. BINS, at least the numbers of
    counts, where a program first counts for itself; None where they are too many.
    """
    b, pixel, inside = tile(shape, PIXELS)
    y, is_class, ignored = label(pixels_at(target, strides.target, shape, b, pixel), inside, ignored_labels, L)
    predicted = tl.load(pixels_at(prediction, strides.prediction, shape, b, pixel), mask=inside, other=0).to(tl.int32)
    bin = tl.where(is_class, y, tl.where(ignored, L, L + 1)) * L + predicted
    if BINS is None:
        tl.atomic_add(counts + bin, tl.full([PIXELS], 1, tl.int64), mask=inside)
    else:
        # Outside pixels count as ignored, predicted 0.
        bins = tl.arange(0, BINS)
        sizes = tl.histogram(bin, BINS)
        tl.atomic_add(counts + bins, sizes.to(tl.int64), mask=(bins < (L + 2) * L) & (sizes > 0))


@triton.jit
def class_sums_kernel(
    target, prediction, loss_map, counts, partial, strides, shape, ignored_labels,
    L: tl.constexpr, INDEX: tl.constexpr, CLASSES: tl.constexpr, PIXELS: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """By image and class: counts int64 [2, B, L], predicted and right pixels; partial [programs, L], summed loss.

    A lane goes through its PIXELS / LANES pixels once for each block of classes, and lanes meet once a block. The two
    counts are halves of one number. Instructions for each pixel and class: 7 of the 4 that it takes to compare twice
    and to add twice (sm_90, L = 19).
    """
    pixels = shape[0] * shape[1] * shape[2]
    tiles = tl.cdiv(pixels, PIXELS)
    images = tl.num_programs(0) // tiles
    b = (tl.program_id(0) // tiles).to(tl.int64)
    begin = (tl.program_id(0) % tiles).to(INDEX) * PIXELS
    end = tl.minimum(begin + PIXELS, pixels)
    for first in range(0, L, CLASSES):
        classes = first + tl.arange(0, CLASSES)
        known = classes < L
        loss = tl.zeros([CLASSES, LANES], loss_map.dtype.element_ty)
        found = tl.zeros([CLASSES, LANES], tl.int32)
        for at in range(begin, end, LANES):
            pixel = at + tl.arange(0, LANES)
            inside = pixel < end
            y, is_class, _ = label(pixels_at(target, strides.target, shape, b, pixel), inside, ignored_labels, L)
            best = tl.load(pixels_at(prediction, strides.prediction, shape, b, pixel), mask=inside, other=0).to(
                tl.int32
            )
            term = tl.load(pixels_at(loss_map, strides.loss_map, shape, b, pixel), mask=inside, other=0.0)
            # Rows past the last class cost nothing: that they stay empty is said for the compiler.
            loss += tl.where(known[:, None] & (classes[:, None] == y[None, :]), term[None, :], 0.0)
            count = tl.where(is_class, tl.where(best == y, 0x10001, 1), 0)
            found += tl.where(known[:, None] & (classes[:, None] == best[None, :]), count[None, :], 0)
        tl.store(partial + tl.program_id(0) * L + classes, tl.sum(loss, 1), mask=known)
        both = tl.sum(found, 1)
        at_class = counts + b * L + classes
        tl.atomic_add(at_class, (both & 0xFFFF).to(tl.int64), mask=known & (both > 0))
        tl.atomic_add(at_class + images.to(tl.int64) * L, (both >> 16).to(tl.int64), mask=known & (both >> 16 > 0))

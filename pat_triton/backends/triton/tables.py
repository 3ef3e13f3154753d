"""The tables of a call, made on the device after the histogram: how much a pixel weighs, and how logits are adjusted.

``pat_triton.weights`` and ``pat_triton.adjustment`` describe the same in plain torch; both work in fp64.
"""

import triton
import triton.language as tl

from .numbers import double, number
from .pixel import HIDDEN, log1p


@triton.jit
def expm1(x):
    """For x <= 0, accurate for small x: the rounding of exp cancels in (e - 1) / log(e)."""
    e = tl.exp(x)
    ratio = (e - 1) * (x / tl.log(e))
    return tl.where(e == 1, x, tl.where(e == 0, -1.0, ratio))


@triton.jit
def effective_number(n, known, rest, numbers):
    """(1 - beta) / (1 - beta ** n) of the classes that occur, which sum to their number; 0 for the others."""
    if rest is None:
        share = 1 / tl.maximum(tl.sum(n, 0), 1.0)
    else:
        share = number(rest, numbers, 1)
    occurs = known & (n > 0)
    own = tl.where(occurs, share / -expm1(tl.maximum(n, 1.0) * log1p(-share)), 0.0)
    # The smallest normal number, for a batch without a labelled pixel: 0, not 0 / 0.
    return own * (tl.sum(occurs.to(tl.float64), 0) / tl.maximum(tl.sum(own, 0), 2.2250738585072014e-308))


@triton.jit
def inverse_mask_size(labelled, mask_sizes, known):
    """1 / S of image b, 0 for a class that is not in it; nan where the caller's S is less than the pixels there are."""
    size = labelled.to(tl.float64)
    if mask_sizes is not None:
        given = tl.load(mask_sizes, mask=known, other=0).to(tl.int64)
        size = tl.where(given < labelled, float("nan"), given.to(tl.float64))
    return tl.where(size == 0, 0.0, 1 / tl.where(size == 0, 1.0, size))


@triton.jit(do_not_specialize=["images"])
def tables_kernel(
    histogram, class_counts, class_weight, mask_sizes, numbers, tables, factors, amounts, strides, ignored, images,
    L: tl.constexpr, LEAD: tl.constexpr, ROWS: tl.constexpr, GAIN: tl.constexpr, WEIGHED: tl.constexpr,
    NUMERATOR: tl.constexpr, DIVISOR: tl.constexpr, BATCH: tl.constexpr, SCALE: tl.constexpr, OFFSET: tl.constexpr,
    MARGIN: tl.constexpr, VARIATION: tl.constexpr, BLOCK: tl.constexpr, LEAD_BLOCK: tl.constexpr,
):  # fmt: skip
    """tables [ROWS + heads * B, L]: by program 0 the LEAD rows, sigma and the curve's parameters, and the adjustment,
    whose rows SCALE ... name; then the weights, an image a program.

    histogram int64 [B, L + 1]. BATCH: the classes of the whole batch are needed. strides: of a class in class_counts
    and in class_weight, and of an image and a class in mask_sizes. factors: of each head's weights, pairs. amounts:
    ``NumberPairs``; ``numbers``, fp64, where they are in memory, WEIGHED: and after
    them a factor of each head. GAIN: of sigma. Classes that are ``ignored`` count nowhere, and have no margin and no
    variation.
    """
    b = tl.program_id(0).to(tl.int64)
    classes = tl.arange(0, BLOCK)
    known = classes < L
    counted = known
    for i in tl.static_range(len(ignored)):
        counted &= classes != (ignored[i] ^ HIDDEN)
    batch = tl.zeros([BLOCK], tl.int64)
    if BATCH:
        for image in range(images):
            batch += tl.load(histogram + image * (L + 1) + classes, mask=known, other=0)
    if class_counts is None:
        n = batch.to(tl.float64)
    else:
        n = tl.load(class_counts + classes * strides[0], mask=counted, other=0).to(tl.float64)

    if NUMERATOR == "effective_number":
        w = effective_number(n, known, amounts.rest, numbers)
    elif NUMERATOR == "mask_size":
        labelled = tl.load(histogram + b * (L + 1) + classes, mask=known, other=0)
        if mask_sizes is not None:
            mask_sizes += b * strides[2] + classes * strides[3]
        w = inverse_mask_size(labelled, mask_sizes, known)
    else:
        w = tl.full([BLOCK], 1.0, tl.float64)
    each = tl.full([BLOCK], 1.0, tl.float64)
    if class_weight is not None:
        at = class_weight + classes * strides[1]
        each = tl.load(at, mask=known, other=0.0).to(tl.float64)
        w = each * w
    if DIVISOR is not None:
        by = tl.sum(batch.to(tl.float64) * each, 0) if DIVISOR == "weighted" else tl.sum(batch, 0).to(tl.float64)
        w /= tl.where(by == 0, 1.0, by)  # nothing labelled: 0 / 1, not 0 / 0
    for head in tl.static_range(len(factors)):
        at = tables + (ROWS + head * images + b) * L + classes
        factor = double(factors[head], tl.float64) * number(amounts.loss_weight, numbers, 0)
        if WEIGHED:
            factor *= tl.load(numbers + 6 + len(amounts.parameters) + head)
        tl.store(at, w * factor, mask=known)

    if b == 0:
        place = tl.arange(0, LEAD_BLOCK)
        lead = tl.where(place == 0, number(amounts.sigma, numbers, 5) * GAIN, 0.0)
        for i in tl.static_range(len(amounts.parameters)):
            lead = tl.where(place == 1 + i, number(amounts.parameters[i], numbers, 6 + i), lead)
        tl.store(tables + place, lead, mask=place < LEAD * L)
        at_least_one = tl.maximum(n, 1.0)
        if SCALE is not None:
            scale = tl.zeros([BLOCK], tl.float64) + number(amounts.scale, numbers, 2)
            tl.store(tables + SCALE * L + classes, scale, mask=known)
        if OFFSET is not None:
            offset = tl.log(at_least_one) * number(amounts.offset, numbers, 3)
            tl.store(tables + OFFSET * L + classes, offset, mask=known)
        if MARGIN is not None:
            root = tl.where(counted, 1 / tl.sqrt(tl.sqrt(at_least_one)), 0.0)
            margin = root * (number(amounts.margin, numbers, 4) / tl.max(root, 0))
            tl.store(tables + MARGIN * L + classes, margin, mask=known)
        if VARIATION is not None:
            rarity = tl.where(counted, tl.log(tl.maximum(tl.sum(n, 0), 1.0)) - tl.log(at_least_one), 0.0)
            largest = tl.max(rarity, 0)
            variation = rarity / tl.where(largest > 0, largest, 1.0)
            tl.store(tables + VARIATION * L + classes, variation, mask=known)

"""Region losses of the sums by class, and their derivatives, as ``pat_triton.regions`` says them; in fp64."""

import triton
import triton.language as tl

from .numbers import number
from .pixel import HIDDEN


@triton.jit(do_not_specialize=["images"])
def region_loss_kernel(
    histogram, class_weight, numbers, loss, derivatives, factor, stride, ignored, images,
    L: tl.constexpr, HITS: tl.constexpr, OF_HITS: tl.constexpr, OF_PREDICTED: tl.constexpr, OF_LABELLED: tl.constexpr,
    SMOOTH: tl.constexpr, GAMMA: tl.constexpr, LOSS_WEIGHT: tl.constexpr, PER_IMAGE: tl.constexpr,
    CLASSES: tl.constexpr, SKIP_ABSENT: tl.constexpr, SQUARED: tl.constexpr, MEAN: tl.constexpr, ADDED: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """One region loss, added to ``loss``; one program. histogram int64 [B, L + 1], where it is T; derivatives
    [B, 3, L], ADDED to those of the losses before, and after them the sums [B, 4, L]. factor: of the loss, a pair, or
    the first of ``numbers``. stride: of class_weight. The constants from HITS on are those of
    ``pat_triton.regions.Region``."""
    sums = derivatives + tl.full([], images, tl.int64) * (3 * L)
    classes = tl.arange(0, BLOCK)
    known = classes < L
    part = known
    for i in tl.static_range(len(ignored)):
        part &= classes != (ignored[i] ^ HIDDEN)
    if CLASSES is not None:
        chosen = classes < 0
        for i in tl.static_range(len(CLASSES)):
            chosen |= classes == CLASSES[i]
        part &= chosen
    weight = part.to(tl.float64)
    if class_weight is not None:
        weight *= tl.load(class_weight + classes * stride, mask=known, other=0.0).to(tl.float64)
    by = number(factor, numbers, 0) * LOSS_WEIGHT
    value = tl.load(loss).to(tl.float64)
    zeros = tl.zeros([BLOCK], tl.float64)
    if PER_IMAGE:
        for b in range(images):
            hits, predicted, labelled = sums_of(sums, histogram, b, classes, known, L, SQUARED)
            term, by_hits, by_predicted, counts = terms(
                hits, predicted, labelled, weight, HITS, OF_HITS, OF_PREDICTED, OF_LABELLED, SMOOTH, GAMMA,
                SKIP_ABSENT, MEAN,
            )  # fmt: skip
            if MEAN:
                counts /= images
            counts *= by
            value += tl.sum(tl.where(counts != 0, counts * term, 0.0), 0)
            put(derivatives, b, classes, known, counts * by_hits, counts * by_predicted, L, SQUARED, ADDED)
    else:
        hits, predicted, labelled = zeros, zeros, zeros
        for b in range(images):
            more_hits, more_predicted, more_labelled = sums_of(sums, histogram, b, classes, known, L, SQUARED)
            hits += more_hits
            predicted += more_predicted
            labelled += more_labelled
        term, by_hits, by_predicted, counts = terms(
            hits, predicted, labelled, weight, HITS, OF_HITS, OF_PREDICTED, OF_LABELLED, SMOOTH, GAMMA, SKIP_ABSENT,
            MEAN,
        )  # fmt: skip
        counts *= by
        value += tl.sum(tl.where(counts != 0, counts * term, 0.0), 0)
        for b in range(images):
            put(derivatives, b, classes, known, counts * by_hits, counts * by_predicted, L, SQUARED, ADDED)
    tl.store(loss, value)


@triton.jit
def sums_of(sums, histogram, b, classes, known, L: tl.constexpr, SQUARED: tl.constexpr):
    """I, P or Q, and T of image b, [BLOCK] fp64."""
    at = sums + tl.full([], b, tl.int64) * (4 * L) + classes
    hits = tl.load(at, mask=known, other=0.0).to(tl.float64)
    predicted = tl.load(at + (2 if SQUARED else 1) * L, mask=known, other=0.0).to(tl.float64)
    if histogram is None:
        labelled = tl.load(at + 3 * L, mask=known, other=0.0).to(tl.float64)
    else:
        at_class = histogram + tl.full([], b, tl.int64) * (L + 1) + classes
        labelled = tl.load(at_class, mask=known, other=0).to(tl.float64)
    return hits, predicted, labelled


@triton.jit
def terms(
    hits, predicted, labelled, weight, HITS: tl.constexpr, OF_HITS: tl.constexpr, OF_PREDICTED: tl.constexpr,
    OF_LABELLED: tl.constexpr, SMOOTH: tl.constexpr, GAMMA: tl.constexpr, SKIP_ABSENT: tl.constexpr, MEAN: tl.constexpr,
):  # fmt: skip
    """Of each class: the term, its derivatives by the first two sums, and what it counts, together 1 for a mean."""
    rest = OF_PREDICTED * predicted + OF_LABELLED * labelled
    whole = OF_HITS * hits + rest + SMOOTH
    inverse = tl.where(whole == 0, 0.0, 1 / tl.where(whole == 0, 1.0, whole))
    missed = ((OF_HITS - HITS) * hits + rest) * inverse  # 1 - r
    slope = inverse
    term = missed
    if GAMMA != 1:
        # nan stays nan; and nothing missed has slope 0, which may be infinite.
        some = ~(missed <= 0)
        power = tl.exp(tl.log(tl.where(some, missed, 1.0)) * (GAMMA - 1))
        term = tl.where(some, missed * power, 0.0)
        slope *= tl.where(some, GAMMA * power, 0.0)
    counts = weight
    if SKIP_ABSENT:
        counts = tl.where(labelled > 0, weight, 0.0)
    if MEAN:
        total = tl.sum(counts, 0)
        counts /= tl.where(total == 0, 1.0, total)
    return term, (OF_HITS - HITS - missed * OF_HITS) * slope, (OF_PREDICTED - missed * OF_PREDICTED) * slope, counts


@triton.jit
def put(
    derivatives, b, classes, known, by_hits, by_predicted, L: tl.constexpr, SQUARED: tl.constexpr, ADDED: tl.constexpr
):
    at = derivatives + tl.full([], b, tl.int64) * (3 * L) + classes
    OF: tl.constexpr = 2 if SQUARED else 1
    if ADDED:
        by_hits += tl.load(at, mask=known, other=0.0).to(tl.float64)
        by_predicted += tl.load(at + OF * L, mask=known, other=0.0).to(tl.float64)
    else:
        tl.store(at + (3 - OF) * L, tl.zeros_like(by_hits), mask=known)
    tl.store(at, by_hits, mask=known)
    tl.store(at + OF * L, by_predicted, mask=known)

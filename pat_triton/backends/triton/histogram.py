"""The label histogram: mask sizes S[b, l], and how many labels are neither class nor ignored."""

import triton
import triton.language as tl

from .pixel import label
from .planes import labelled, ones, packed_planes, planes_of_labels
from .views import pixels_at, tile


@triton.jit
def histogram_kernel(
    target, counts, strides, pixels, ignored_labels,
    L: tl.constexpr, PACKED: tl.constexpr, BITS: tl.constexpr, BINS: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """counts is int64 [B, L + 1]; wrong labels in the last column. Integer atomics: the order of additions cannot
    change the sums.

    A program counts 32 labels a lane, for each class by one population count of a word that says which of them are of
    it (see ``planes``). An image's ``pixels`` are equally far apart, and no ignored label lies outside their dtype.
    PACKED: they are bytes, read in words of four. BITS: of L, and where not PACKED of L + 1. BINS: of a block of
    classes.
    """
    programs = tl.cdiv(pixels, 32 * LANES)
    b = (tl.program_id(0) // programs).to(tl.int64)
    first = (tl.program_id(0) % programs).to(tl.int64) * (32 * LANES)
    left = tl.minimum(pixels - first, 32 * LANES).to(tl.int32)
    at = target + b * strides.image + first * strides.d0
    if PACKED:
        planes, kept = packed_planes(at, left, ignored_labels, L, LANES)
    else:
        planes, kept = planes_of_labels(at, strides.d0, left, ignored_labels, L, LANES)
    for start in tl.static_range(0, L + 1, BINS):
        bins = start + tl.arange(0, BINS)
        # Bins past the last cost nothing: that they are empty is said for the compiler.
        words = tl.where((bins <= L)[:, None], labelled(planes, kept, bins, BITS), 0)
        sizes = tl.sum(ones(words), 1)
        tl.atomic_add(counts + b * (L + 1) + bins, sizes.to(tl.int64), mask=(bins <= L) & (sizes > 0))


@triton.jit
def plain_histogram_kernel(
    target, counts, strides, shape, ignored_labels, L: tl.constexpr, BINS: tl.constexpr, PIXELS: tl.constexpr
):
    """The same, label by label, where ``tiles.histogram_tile`` says so. BINS >= L + 2."""
    b, pixel, inside = tile(shape, PIXELS)
    y, is_class, ignored = label(pixels_at(target, strides, shape, b, pixel), inside, ignored_labels, L)
    sizes = tl.histogram(tl.where(is_class, y, tl.where(ignored, L + 1, L)), BINS)
    bins = tl.arange(0, BINS)
    tl.atomic_add(counts + b * (L + 1) + bins, sizes.to(tl.int64), mask=(bins <= L) & (sizes > 0))

"""The label histogram: mask sizes S[b, l], and how many labels are neither class nor ignored."""

import triton
import triton.language as tl

from .pixel import label
from .views import offsets, tile


@triton.jit
def histogram_kernel(
    target, counts, strides, shape, ignored_labels, L: tl.constexpr, BINS: tl.constexpr, PIXELS: tl.constexpr
):
    """counts is int64 [B, L + 1]; wrong labels in the last column. BINS >= L + 2.

    Integer atomics: the order of additions cannot change the sums.
    """
    b, pixel, inside = tile(shape, PIXELS)
    y, is_class, ignored = label(target + offsets(strides, shape, b, pixel), inside, ignored_labels, L)
    sizes = tl.histogram(tl.where(is_class, y, tl.where(ignored, L + 1, L)), BINS)
    bins = tl.arange(0, BINS)
    tl.atomic_add(counts + b * (L + 1) + bins, sizes.to(tl.int64), mask=(bins <= L) & (sizes > 0))

"""Numbers that came in pairs, see ``pat_triton.numbers``."""

import triton
import triton.language as tl


@triton.jit
def double(pair, DTYPE: tl.constexpr):
    """The number of a pair."""
    if tl.float64 == DTYPE:
        return tl.full([], pair[0], DTYPE) + tl.full([], pair[1], DTYPE)
    else:
        return tl.full([], pair[0], DTYPE)


@triton.jit
def numbers(pairs, DTYPE: tl.constexpr):
    """``double`` of each."""
    made = ()
    for i in tl.static_range(len(pairs)):
        made += (double(pairs[i], DTYPE),)
    return made

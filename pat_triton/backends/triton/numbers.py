"""The options' numbers, see ``pat_triton.numbers``: as they come, and as the kernels that read logits find them."""

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
def number(pair, numbers, INDEX: tl.constexpr):
    """fp64, of a pair, or element INDEX of ``numbers`` where these are in memory."""
    if numbers is None:
        return double(pair, tl.float64)
    else:
        return tl.load(numbers + INDEX)


@triton.jit
def parameters(tables, PARAMETERS: tl.constexpr, DTYPE: tl.constexpr):
    """A curve's, which follow sigma at the head of the tables."""
    made = ()
    for i in tl.static_range(PARAMETERS):
        made += (tl.load(tables + 1 + i).to(DTYPE),)
    return made

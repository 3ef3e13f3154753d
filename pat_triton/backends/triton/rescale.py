"""Rescale a one-pass gradient in place by a factor that arrives in backward."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["factor"])
def rescale_kernel(gradient, factor, elements, ELEMENTS: tl.constexpr):
    """factor: one element on the device. A small, fixed grid, which ends at once where it is 1: then nothing else is
    read or written."""
    by = tl.load(factor)
    if by != 1:
        for block in range(tl.program_id(0), tl.cdiv(elements, ELEMENTS), tl.num_programs(0)):
            at = tl.full([], block, tl.int64) * ELEMENTS + tl.arange(0, ELEMENTS)
            g = tl.load(gradient + at, mask=at < elements)
            tl.store(gradient + at, g.to(by.dtype) * by, mask=at < elements)

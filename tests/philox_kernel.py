"""A kernel that writes the package's Philox words out, for comparison."""

import triton
import triton.language as tl

from pat_triton.kernels.philox import philox


@triton.jit
def write_words(counters, key, out):
    row = tl.program_id(0)
    c = counters + 4 * row
    c0, c1 = tl.load(c).to(tl.uint32), tl.load(c + 1).to(tl.uint32)
    c2, c3 = tl.load(c + 2).to(tl.uint32), tl.load(c + 3).to(tl.uint32)
    words = philox(tl.load(key).to(tl.uint32), tl.load(key + 1).to(tl.uint32), c0, c1, c2, c3)
    for i in tl.static_range(4):
        tl.store(out + 4 * row + i, words[i].to(tl.int64))

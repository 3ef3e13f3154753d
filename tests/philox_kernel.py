"""Kernels that write out the package's Philox words, and the noise that it makes of words."""

import triton
import triton.language as tl

from pat_triton.backends.triton.philox import philox


@triton.jit
def write_words(counters, key, out, MULTIPLY: tl.constexpr):
    row = tl.program_id(0)
    c = counters + 4 * row
    c0, c1 = tl.load(c).to(tl.uint32), tl.load(c + 1).to(tl.uint32)
    c2, c3 = tl.load(c + 2).to(tl.uint32), tl.load(c + 3).to(tl.uint32)
    key0, key1 = tl.load(key).to(tl.uint32), tl.load(key + 1).to(tl.uint32)
    words = philox(key0, key1, c0, c1, c2, c3, MULTIPLY)
    for i in tl.static_range(4):
        tl.store(out + 4 * row + i, words[i].to(tl.int64))


@triton.jit
def write_pairs(word0, word1, sigma, out0, out1, PAIR: tl.constexpr, PAIRS: tl.constexpr):
    """|v| of PAIRS pairs of words a program."""
    at = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    v0, v1 = PAIR(tl.load(word0 + at).to(tl.uint32), tl.load(word1 + at).to(tl.uint32), tl.load(sigma))
    tl.store(out0 + at, v0)
    tl.store(out1 + at, v1)

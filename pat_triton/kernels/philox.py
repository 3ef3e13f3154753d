"""Counter-based noise: Philox4x32-10 (Salmon et al. 2011), and the variates made of its words.

One counter, (pixel low, pixel high, image, class // 4), under a key of two words serves four
neighbouring classes of one pixel. ``pat_triton.noise`` is the same in plain torch.
"""

import triton
import triton.language as tl


@triton.jit
def philox(key0, key1, c0, c1, c2, c3):
    """Four uint32 words; all arguments uint32: with 64-bit counters some Triton versions draw another stream."""
    for _ in tl.static_range(10):
        product0, product2 = c0.to(tl.uint64) * 0xD2511F53, c2.to(tl.uint64) * 0xCD9E8D57
        high0, high2 = (product0 >> 32).to(tl.uint32), (product2 >> 32).to(tl.uint32)
        c0, c1, c2, c3 = high2 ^ c1 ^ key0, product2.to(tl.uint32), high0 ^ c3 ^ key1, product0.to(tl.uint32)
        key0, key1 = key0 + 0x9E3779B9, key1 + 0xBB67AE85
    return c0, c1, c2, c3


@triton.jit
def unit(word):
    """uint32 -> fp32 in (0, 1), both ends excluded, without rounding: 23 bits and a half."""
    return ((word >> 9).to(tl.int32).to(tl.float32) + 0.5) * 1.1920928955078125e-07


@triton.jit
def turn(x):
    """(cos, sin) of 2 pi x for x in (0, 1), to about an fp32 ulp.

    The library functions accept any angle, and the path that reduces huge ones spills. Here the
    quarter turns come off exactly, and the rest, within an eighth, is Cephes' two polynomials.
    """
    quarter = tl.floor(4 * x + 0.5)
    t = (4 * x - quarter) * 1.5707963267948966
    s = t * t
    sin = t + t * s * (-1.6666654611e-1 + s * (8.3321608736e-3 + s * -1.9515295891e-4))
    cos = 1 - 0.5 * s + s * s * (4.166664568298827e-2 + s * (-1.388731625493765e-3 + s * 2.443315711809948e-5))
    odd = (quarter == 1) | (quarter == 3)
    c, s = tl.where(odd, sin, cos), tl.where(odd, cos, sin)
    return tl.where((quarter == 1) | (quarter == 2), -c, c), tl.where((quarter == 2) | (quarter == 3), -s, s)


@triton.jit
def gaussian(word0, word1):
    """Box-Muller: two N(0, 1) variates."""
    radius = tl.sqrt(-2 * tl.log(unit(word0)))
    cos, sin = turn(unit(word1))
    return radius * cos, radius * sin


@triton.jit
def uniform(word0, word1):
    """Two U(-1, 1) variates."""
    return 2 * unit(word0) - 1, 2 * unit(word1) - 1


@triton.jit
def stack(even, odd):
    """[N, PIXELS] twice -> [2 N, PIXELS], rows alternating."""
    return tl.join(even, odd).permute(0, 2, 1).reshape(2 * even.shape[0], even.shape[1])


@triton.jit
def magnitude(noise, b, pixel, first, DISTRIBUTION: tl.constexpr, CLASSES: tl.constexpr):
    """|v| of BLV for classes first .. first + CLASSES: [CLASSES, PIXELS] fp32 in [0, 1]."""
    if noise.offset is not None:
        b, pixel = b + tl.load(noise.offset), pixel + tl.load(noise.offset + 1)
    block = (first // 4 + tl.arange(0, CLASSES // 4)).to(tl.uint32)[:, None]  # [CLASSES / 4, 1]
    zero = tl.zeros([CLASSES // 4, pixel.shape[0]], tl.uint32)
    low, high = zero + pixel.to(tl.uint32)[None, :], zero
    if pixel.dtype == tl.int64:
        high = zero + (pixel >> 32).to(tl.uint32)[None, :]
    key0, key1 = tl.load(noise.seed).to(tl.uint32), tl.load(noise.seed + 1).to(tl.uint32)
    w0, w1, w2, w3 = philox(key0, key1, low, high, zero + b.to(tl.uint32), zero + block)
    v0, v1 = DISTRIBUTION(w0, w1)
    v2, v3 = DISTRIBUTION(w2, w3)
    # Class 4k + 2i + j is variate j of pair i: interleave 0 with 2 and 1 with 3, then both.
    variate = stack(stack(v0, v2), stack(v1, v3))
    return tl.minimum(tl.abs(variate) * tl.load(noise.sigma).to(tl.float32), 1.0)

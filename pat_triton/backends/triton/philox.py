"""Counter-based noise: Philox4x32-10 (Salmon et al. 2011), and the variates made of its words.

One counter, (pixel low, pixel high, image, class // 4), under a key of two words serves four
neighbouring classes of one pixel. ``pat_triton.noise`` is the same in plain torch.

The words are the same everywhere. What is made of them is rounded otherwise on NVIDIA's GPUs, see ``box_muller_ptx``,
and ``distribution`` chooses.
"""

from typing import Any

import torch
import triton
import triton.language as tl

from . import hardware


@triton.jit
def multiply(word, FACTOR: tl.constexpr):
    """The upper and the lower word of a product of uint32."""
    product = word.to(tl.uint64) * FACTOR
    return (product >> 32).to(tl.uint32), product.to(tl.uint32)


@triton.jit
def multiply_ptx(word, FACTOR: tl.constexpr):
    """By one instruction: where LLVM has widened what is multiplied, ptxas needs two for ``multiply``."""
    return tl.inline_asm_elementwise(
        "{ .reg .b64 product; mul.wide.u32 product, $2, $3; mov.b64 {$1, $0}, product; }", "=r,=r,r,r",
        [word, FACTOR], dtype=(tl.uint32, tl.uint32), is_pure=True, pack=1,
    )  # fmt: skip


@triton.jit
def philox(key0, key1, c0, c1, c2, c3, MULTIPLY: tl.constexpr):
    """Four uint32 words; all arguments uint32: with 64-bit counters some Triton versions draw another stream."""
    for _ in tl.static_range(10):
        high0, low0 = MULTIPLY(c0, 0xD2511F53)
        high2, low2 = MULTIPLY(c2, 0xCD9E8D57)
        c0, c1, c2, c3 = high2 ^ c1 ^ key0, low2, high0 ^ c3 ^ key1, low0
        key0, key1 = key0 + 0x9E3779B9, key1 + 0xBB67AE85
    return c0, c1, c2, c3


@triton.jit
def unit(word):
    """uint32 -> fp32 in (0, 1), both ends excluded, without rounding: 23 bits and a half."""
    return ((word >> 9).to(tl.int32).to(tl.float32) + 0.5) * 1.1920928955078125e-07


@triton.jit
def turn(x):
    """(|cos|, |sin|) of 2 pi x for x in (0, 1), to about an fp32 ulp.

    The library functions accept any angle, and the path that reduces huge ones spills. Here the
    quarter turns come off exactly, and the rest, within an eighth, is Cephes' two polynomials.
    """
    quarter = tl.floor(4 * x + 0.5)
    t = (4 * x - quarter) * 1.5707963267948966
    s = t * t
    sin = tl.abs(t + t * s * (-1.6666654611e-1 + s * (8.3321608736e-3 + s * -1.9515295891e-4)))
    cos = 1 - 0.5 * s + s * s * (4.166664568298827e-2 + s * (-1.388731625493765e-3 + s * 2.443315711809948e-5))
    odd = (quarter == 1) | (quarter == 3)
    return tl.where(odd, sin, cos), tl.where(odd, cos, sin)


@triton.jit
def box_muller(word0, word1, sigma):
    """|v| of two N(0, sigma) variates, clamped at 1."""
    radius = tl.sqrt(-2 * tl.log(unit(word0))) * sigma
    cos, sin = turn(unit(word1))
    return tl.minimum(radius * cos, 1.0), tl.minimum(radius * sin, 1.0)


# Of words $2 and $3, and $4 = 2 ln(2) sigma ** 2. The upper 23 bits become the fraction of a number in [1, 2). Less
# 1 - 2 ** -24 that is ``unit``, exactly; times 2 pi, less 3 pi - 2 pi * 2 ** -24, the angle less half a turn, in
# [-pi, pi]. A logarithm of the wrong sign, near 1, is as small as the right one, and its root would be nan: its
# magnitude is taken. That costs nothing, nor does ``sat``, which clamps at 1.
BOX_MULLER = tl.constexpr("""{
    .reg .b32 bits;
    .reg .f32 radius, angle, cosine, sine;
    shf.r.wrap.b32 bits, $2, 0x7f, 9;
    add.rn.ftz.f32 radius, bits, 0fBF7FFFFF;
    lg2.approx.ftz.f32 radius, radius;
    abs.ftz.f32 radius, radius;
    mul.rn.ftz.f32 radius, radius, $4;
    sqrt.approx.ftz.f32 radius, radius;
    shf.r.wrap.b32 bits, $3, 0x7f, 9;
    fma.rn.ftz.f32 angle, bits, 0f40C90FDB, 0fC116CBE4;
    cos.approx.ftz.f32 cosine, angle;
    sin.approx.ftz.f32 sine, angle;
    abs.ftz.f32 cosine, cosine;
    abs.ftz.f32 sine, sine;
    mul.rn.ftz.sat.f32 $0, radius, cosine;
    mul.rn.ftz.sat.f32 $1, radius, sine;
}""")


@triton.jit
def box_muller_ptx(word0, word1, sigma):
    """``box_muller`` in twelve instructions, four of which are the special function unit's.

    Within 1e-5 sigma where the radius is 0.02 sigma or more, as one pair in 5000 is not; 5e-4 sigma below, where the
    logarithm has lost its digits.
    """
    sigma = tl.minimum(sigma, 1e18)  # what is larger clamps as much, and its square may overflow
    return tl.inline_asm_elementwise(
        BOX_MULLER, "=f,=f,r,r,f", [word0, word1, 1.3862943611198906 * sigma * sigma],
        dtype=(tl.float32, tl.float32), is_pure=True, pack=1,
    )  # fmt: skip


@triton.jit
def interval(word0, word1, sigma):
    """|v| of two U(-sigma, sigma) variates, clamped at 1."""
    v0, v1 = tl.abs(2 * unit(word0) - 1), tl.abs(2 * unit(word1) - 1)
    return tl.minimum(v0 * sigma, 1.0), tl.minimum(v1 * sigma, 1.0)


@triton.jit
def rows(words, sigma, PAIR: tl.constexpr):
    """Four words [N, PIXELS] each -> [4 N, PIXELS], by a PAIR that makes two numbers of two words."""
    v0, v1 = PAIR(words[0], words[1], sigma)
    v2, v3 = PAIR(words[2], words[3], sigma)
    of_each = tl.join(tl.join(v0, v1), tl.join(v2, v3))  # [N, PIXELS, second of the pair, second pair]
    return of_each.permute(3, 2, 0, 1).reshape(4 * v0.shape[0], v0.shape[1])


@triton.jit
def gaussian(key0, key1, c0, c1, c2, c3, sigma):
    return rows(philox(key0, key1, c0, c1, c2, c3, multiply), sigma, box_muller)


@triton.jit
def gaussian_ptx(key0, key1, c0, c1, c2, c3, sigma):
    return rows(philox(key0, key1, c0, c1, c2, c3, multiply_ptx), sigma, box_muller_ptx)


@triton.jit
def uniform(key0, key1, c0, c1, c2, c3, sigma):
    return rows(philox(key0, key1, c0, c1, c2, c3, multiply), sigma, interval)


@triton.jit
def uniform_ptx(key0, key1, c0, c1, c2, c3, sigma):
    return rows(philox(key0, key1, c0, c1, c2, c3, multiply_ptx), sigma, interval)


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
    sigma = tl.load(noise.sigma).to(tl.float32)
    return DISTRIBUTION(key0, key1, low, high, zero + b.to(tl.uint32), zero + block, sigma)


def distribution(name: str, device: torch.device) -> Any:
    """What the kernels draw: a DISTRIBUTION."""
    if hardware.has_ptx(device):
        return {"gaussian": gaussian_ptx, "uniform": uniform_ptx}[name]
    return {"gaussian": gaussian, "uniform": uniform}[name]

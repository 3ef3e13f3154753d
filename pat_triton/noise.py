"""BLV's noise in plain torch: the same numbers as ``pat_triton.backends.triton.philox`` draws in the kernel.

Philox4x32-10 (Salmon et al. 2011) keyed by two words, counter (pixel low, pixel high, image,
class // 4): the four words serve four neighbouring classes, words (0, 1) and (2, 3) as pairs.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

MASK = 0xFFFFFFFF
# sin(2 pi x) / x and cos(2 pi x) of x ** 2 up to 1 / 16, highest power first: Chebyshev's, to 5e-8.
SINE = (39.76072207856149, -76.58128455967793, 81.60248074287716, -41.341680668063255, 6.283185280261415)
COSINE = (56.24054044105261, -85.24010035717119, 64.93458164580079, -19.739171322478555, 0.9999999532476083)
ROUND_0, ROUND_2 = 0xD2511F53, 0xCD9E8D57
KEY_0, KEY_1 = 0x9E3779B9, 0xBB67AE85


# Two words: Python numbers, or tensors where reading them would synchronise with the host.
Key = tuple[int, int] | tuple[Tensor, ...]


def seeds(device: torch.device, keys: int = 1) -> Callable[[], Tensor]:
    """Draws, when called, two words for each key from torch's generator of that device: int64 (2 * keys,), each in
    [0, 2 ** 32)."""
    return partial(torch.randint, 1 << 32, (2 * keys,), device=device)


def of_heads(seeds: Tensor | None, heads: int) -> Sequence[Tensor | None]:
    """Each head's words, of those of all."""
    if seeds is None or heads == 1:  # a split costs as much as the draw
        return [seeds] * heads
    return seeds.split(2)


def philox(key: Key, c0: Tensor, c1: Tensor, c2: Tensor, c3: Tensor) -> tuple[Tensor, ...]:
    """Four tensors of 32-bit words in int64, from counters in int64 that broadcast to one shape.

    A product of two words wraps into 64 signed bits, which leaves both halves right; only what is
    multiplied next needs its upper half cleared.
    """
    k0, k1 = key
    free: Sequence[Tensor | None] = (None, None)
    for i in range(10):
        low0, low2 = torch.mul(c0, ROUND_0, out=free[0]), torch.mul(c2, ROUND_2, out=free[1])
        if i < 3:  # the counters reach their common shape; before that nothing can be done in place
            c0, c2 = (low2 >> 32) ^ c1, (low0 >> 32) ^ c3
        else:
            torch.bitwise_right_shift(low2, 32, out=c0).bitwise_xor_(c1)
            torch.bitwise_right_shift(low0, 32, out=c2).bitwise_xor_(c3)
            if i > 3:
                free = c1, c3
        c0.bitwise_xor_(k0).bitwise_and_(MASK)
        c2.bitwise_xor_(k1).bitwise_and_(MASK)
        c1, c3 = low2, low0
        k0, k1 = (k0 + KEY_0) & MASK, (k1 + KEY_1) & MASK
    return c0, c1.bitwise_and_(MASK), c2, c3.bitwise_and_(MASK)


def unit(word: Tensor) -> Tensor:
    """A word -> fp32 in (0, 1), both ends excluded, without rounding: 23 bits and a half."""
    return (word >> 9).to(torch.float32).add_(0.5).mul_(2.0**-23)


def gaussian(word0: Tensor, word1: Tensor) -> tuple[Tensor, Tensor]:
    """Box-Muller: two N(0, 1) variates."""
    if word0.device.type == "cpu":
        return _gaussian_on_cpu(unit(word0), unit(word1))
    radius = unit(word0).log_().mul_(-2).sqrt_()
    angle = unit(word1).mul_(2 * math.pi)
    return angle.cos().mul_(radius), angle.sin_().mul_(radius)


def _gaussian_on_cpu(u: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
    """The same without logarithm, root and sine, which MKL computes: with threads of its own even where torch has none,
    which takes a hundred times as long where another program has their core.

    The logarithm is log1p's, u - 1 being exact. turns, of the angle, are folded exactly to a quarter on both sides of
    0, where sine and cosine are polynomials.
    """
    square = u.sub_(1).log1p_().mul_(-2)
    radius = square.rsqrt().mul_(square)
    half = turns.sub_(0.5)
    folded = half.abs().sub_(0.25)
    power = folded * folded
    cosine = _polynomial(power, SINE).mul_(folded)
    sine = torch.copysign(_polynomial(power, COSINE), half.neg_())
    return cosine.mul_(radius), sine.mul_(radius)


def _polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    first, *rest = coefficients
    made = x * first
    for coefficient in rest[:-1]:
        made.add_(coefficient).mul_(x)
    return made.add_(rest[-1])


def uniform(word0: Tensor, word1: Tensor) -> tuple[Tensor, Tensor]:
    """Two U(-1, 1) variates."""
    return unit(word0).mul_(2).sub_(1), unit(word1).mul_(2).sub_(1)


DISTRIBUTIONS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "gaussian": gaussian,
    "uniform": uniform,
}


def magnitude(
    key: Key, distribution: str, sigma: float, images: Tensor, pixel: Tensor, classes: int, out: Tensor | None = None
) -> Tensor:
    """|v| of images (B, 1) and pixels (n,), both numbered in int64: fp32 (classes, B, n)."""
    if out is None:
        out = torch.empty((classes, len(images), len(pixel)), dtype=torch.float32, device=pixel.device)
    block = torch.arange(-(-classes // 4), device=pixel.device).view(-1, 1, 1)
    words = philox(key, pixel & MASK, pixel >> 32, images, block)
    draw = DISTRIBUTIONS[distribution]
    for i, variate in enumerate((*draw(*words[:2]), *draw(*words[2:]))):
        own = out[i::4]
        torch.mul(variate[: len(own)].abs_(), sigma, out=own)
    return out.clamp_(max=1)

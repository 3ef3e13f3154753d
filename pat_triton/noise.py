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


# name, shape, like -> memory for a tensor of that dtype and device.
Take = Callable[[str, Sequence[int], Tensor], Tensor]


def _new(_: str, shape: Sequence[int], like: Tensor) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device)


def philox(key: Key, c0: Tensor, c1: Tensor, c2: Tensor, c3: Tensor, take: Take = _new) -> tuple[Tensor, ...]:
    """Four tensors of 32-bit words in int64, from counters in int64 that broadcast to one shape.

    A product of two words wraps into 64 signed bits, which leaves both halves right; only what is
    multiplied next needs its upper half cleared.
    """
    k0, k1 = key
    shape = torch.broadcast_shapes(c0.shape, c1.shape, c2.shape, c3.shape)
    into0, into2, *products = (take(f"words {number}", shape, c0) for number in range(6))
    for i in range(10):
        # The products of a round are read in the next.
        low0, low2 = _product(c0, ROUND_0, products[i % 2]), _product(c2, ROUND_2, products[2 + i % 2])
        c0 = _upper_xor(low2, c1, into0).bitwise_xor_(k0).bitwise_and_(MASK)
        c2 = _upper_xor(low0, c3, into2).bitwise_xor_(k1).bitwise_and_(MASK)
        c1, c3 = low2, low0
        k0, k1 = (k0 + KEY_0) & MASK, (k1 + KEY_1) & MASK
    return c0, c1.bitwise_and_(MASK), c2, c3.bitwise_and_(MASK)


def _product(word: Tensor, factor: int, into: Tensor) -> Tensor:
    """In ``into`` when the counters have reached their common shape, the third round; before that it is smaller."""
    return torch.mul(word, factor, out=into) if word.shape == into.shape else word * factor


def _upper_xor(product: Tensor, word: Tensor, into: Tensor) -> Tensor:
    """The upper half of a product, exclusive-or a word."""
    if product.shape == into.shape:
        return torch.bitwise_right_shift(product, 32, out=into).bitwise_xor_(word)
    upper = product >> 32
    reached = torch.broadcast_shapes(upper.shape, word.shape) == into.shape
    return torch.bitwise_xor(upper, word, out=into) if reached else upper ^ word


def unit(word: Tensor, into: Tensor | None = None) -> Tensor:
    """A word -> fp32 in (0, 1), both ends excluded, without rounding: 23 bits and a half. into: memory for it; the word
    is then lost."""
    made = (word >> 9).to(torch.float32) if into is None else into.copy_(word.bitwise_right_shift_(9))
    return made.add_(0.5).mul_(2.0**-23)


def gaussian(word0: Tensor, word1: Tensor, take: Take) -> tuple[Tensor, Tensor]:
    """Box-Muller: two N(0, 1) variates."""
    if word0.device.type == "cpu":
        return _gaussian_on_cpu(word0, word1, take)
    radius = unit(word0).log_().mul_(-2).sqrt_()
    angle = unit(word1).mul_(2 * math.pi)
    return angle.cos().mul_(radius), angle.sin_().mul_(radius)


def _gaussian_on_cpu(word0: Tensor, word1: Tensor, take: Take) -> tuple[Tensor, Tensor]:
    """The same without logarithm, root and sine, which MKL computes: with threads of its own even where torch has none,
    which takes a hundred times as long where another program has their core.

    The logarithm is log1p's, u - 1 being exact. The angle's turns are folded exactly to a quarter on both sides of 0,
    where sine and cosine are polynomials.
    """
    like = torch.empty(0, dtype=torch.float32, device=word0.device)
    square, half, radius, folded, power, sine, cosine = (take(f"normal {k}", word0.shape, like) for k in range(7))
    unit(word0, square).sub_(1).log1p_().mul_(-2)
    torch.rsqrt(square, out=radius).mul_(square)
    unit(word1, half).sub_(0.5)
    torch.abs(half, out=folded).sub_(0.25)
    torch.mul(folded, folded, out=power)
    _polynomial(power, SINE, cosine).mul_(folded)
    _polynomial(power, COSINE, sine)
    torch.copysign(sine, half.neg_(), out=sine)
    return cosine.mul_(radius), sine.mul_(radius)


def _polynomial(x: Tensor, coefficients: Sequence[float], into: Tensor) -> Tensor:
    first, *rest = coefficients
    torch.mul(x, first, out=into)
    for coefficient in rest[:-1]:
        into.add_(coefficient).mul_(x)
    return into.add_(rest[-1])


def uniform(word0: Tensor, word1: Tensor, take: Take) -> tuple[Tensor, Tensor]:
    """Two U(-1, 1) variates."""
    return unit(word0).mul_(2).sub_(1), unit(word1).mul_(2).sub_(1)


DISTRIBUTIONS: dict[str, Callable[[Tensor, Tensor, Take], tuple[Tensor, Tensor]]] = {
    "gaussian": gaussian,
    "uniform": uniform,
}


def magnitude(
    key: Key, distribution: str, sigma: float, images: Tensor, pixel: Tensor, classes: int, take: Take = _new
) -> Tensor:
    """|v| of images (B, 1) and pixels (n,), both numbered in int64: fp32 (classes, B, n). Memory is asked of ``take``,
    by name, for fresh memory costs as much as the noise."""
    like = torch.empty(0, dtype=torch.float32, device=pixel.device)
    out = take("noise", (classes, len(images), len(pixel)), like)
    block = torch.arange(-(-classes // 4), device=pixel.device).view(-1, 1, 1)
    words = philox(key, pixel & MASK, pixel >> 32, images, block, take)
    draw = DISTRIBUTIONS[distribution]
    for first in (0, 2):
        for i, variate in enumerate(draw(words[first], words[first + 1], take), first):
            own = out[i::4]
            torch.mul(variate[: len(own)].abs_(), sigma, out=own)
    return out.clamp_(max=1)

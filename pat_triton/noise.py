"""BLV's noise in plain torch: the same numbers as ``pat_triton.kernels.philox`` draws in the kernel.

Philox4x32-10 (Salmon et al. 2011) keyed by two words, counter (pixel low, pixel high, image,
class // 4): the four words serve four neighbouring classes, words (0, 1) and (2, 3) as pairs.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

MASK = 0xFFFFFFFF
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
    for i in range(10):
        low0, low2 = c0 * ROUND_0, c2 * ROUND_2
        # The counters reach their common shape in three rounds; before that nothing can be done in place.
        xor = Tensor.bitwise_xor if i < 3 else Tensor.bitwise_xor_
        c0 = xor(xor(low2 >> 32, c1), k0).bitwise_and_(MASK)
        c2 = xor(xor(low0 >> 32, c3), k1).bitwise_and_(MASK)
        c1, c3 = low2, low0
        k0, k1 = (k0 + KEY_0) & MASK, (k1 + KEY_1) & MASK
    return c0, c1.bitwise_and_(MASK), c2, c3.bitwise_and_(MASK)


def unit(word: Tensor) -> Tensor:
    """A word -> fp32 in (0, 1), both ends excluded, without rounding: 23 bits and a half."""
    return (word >> 9).to(torch.float32).add_(0.5).mul_(2.0**-23)


def gaussian(word0: Tensor, word1: Tensor) -> tuple[Tensor, Tensor]:
    """Box-Muller: two N(0, 1) variates."""
    radius = unit(word0).log_().mul_(-2).sqrt_()
    angle = unit(word1).mul_(2 * math.pi)
    return angle.cos().mul_(radius), angle.sin_().mul_(radius)


def uniform(word0: Tensor, word1: Tensor) -> tuple[Tensor, Tensor]:
    """Two U(-1, 1) variates."""
    return unit(word0).mul_(2).sub_(1), unit(word1).mul_(2).sub_(1)


DISTRIBUTIONS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "gaussian": gaussian,
    "uniform": uniform,
}


def magnitude(key: Key, distribution: str, sigma: float, images: Tensor, pixel: Tensor, classes: int) -> Tensor:
    """|v| of images (B, 1) and pixels (n,), both numbered in int64: fp32 (classes, B, n)."""
    blocks = -(-classes // 4)
    block = torch.arange(blocks, device=pixel.device).view(-1, 1, 1)
    words = philox(key, pixel & MASK, pixel >> 32, images, block)
    draw = DISTRIBUTIONS[distribution]
    variate = torch.stack((*draw(*words[:2]), *draw(*words[2:])), 1).flatten(0, 1)[:classes]
    return variate.abs_().mul_(sigma).clamp_(max=1)

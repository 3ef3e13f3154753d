"""BLV's random variates: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").

32-bit words are held in int64 tensors. One call serves four classes of one pixel.
"""

import math

import torch
from torch import Tensor

WORD = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)

Words = tuple[Tensor, Tensor, Tensor, Tensor]


def multiply(multiplier: int, word: Tensor) -> tuple[Tensor, Tensor]:
    """(high, low) words of the 64-bit product, by 16-bit halves: no step exceeds 49 bits."""
    bottom = word * (multiplier & 0xFFFF)
    top = word * (multiplier >> 16) + (bottom >> 16)
    return top >> 16, (top & 0xFFFF) << 16 | (bottom & 0xFFFF)


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Four random words for every counter; the counter's words broadcast."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        high_a, low_a = multiply(MULTIPLIERS[0], a)
        high_c, low_c = multiply(MULTIPLIERS[1], c)
        a, b, c, d = high_c ^ b ^ k0, low_c, high_a ^ d ^ k1, low_a
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return a, b, c, d


def words(shape: torch.Size, seed: tuple[int, int], device: torch.device) -> Words:
    """Words (B, ceil(L / 4), pixels) for logits (B, L, *spatial); counter (pixel low, high, b, l // 4)."""
    batch, classes, *spatial = shape
    pixel = torch.arange(math.prod(spatial), device=device).view(1, 1, -1)
    image = torch.arange(batch, device=device).view(-1, 1, 1)
    group = torch.arange((classes + 3) // 4, device=device).view(1, -1, 1)
    return philox((pixel & WORD, pixel >> 32, image, group), seed)


def unit(word: Tensor) -> Tensor:
    """The top 23 bits as a float32 in (0, 1), exactly."""
    return ((word >> 9).float() + 0.5) * 2**-23


def box_muller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two standard normals from two words."""
    radius = (-2 * unit(first).log()).sqrt()
    angle = 2 * math.pi * unit(second)
    return radius * angle.cos(), radius * angle.sin()


def variates(shape: torch.Size, seed: tuple[int, int], uniform: bool, device: torch.device) -> Tensor:
    """float32 variates, N(0, 1) or U(-1, 1), one per logit."""
    w = words(shape, seed, device)
    v = [2 * unit(word) - 1 for word in w] if uniform else [*box_muller(*w[:2]), *box_muller(*w[2:])]
    return torch.stack(v, dim=2).flatten(1, 2)[:, : shape[1]].reshape(shape)

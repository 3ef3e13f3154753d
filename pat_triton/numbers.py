"""Numbers of the caller's that a kernel takes with all their digits, and that may change at every call.

A Python float as an argument is a float32 in a kernel, and one that is compiled in is compiled again when it
changes. So a number comes as the float32 next to it and the float32 next to what is left: 48 bits.
"""

import ctypes
from functools import lru_cache
from typing import NamedTuple

Pair = tuple[float, float]


@lru_cache(maxsize=1024)
def pair(number: float) -> Pair:
    """As a kernel takes it; ``pat_triton.kernels.numbers.double`` makes the number again."""
    high = ctypes.c_float(number).value
    if high - high != 0:
        raise ValueError(
            f"backend: the kernels take factors up to 3.4e38, got {number:g} (loss_weight times a head's weight, over "
            "what a mean divides by, or a parameter); choose backend='torch'"
        )
    return high, number - high


@lru_cache(maxsize=256)
def pairs(numbers: tuple[float, ...]) -> tuple[Pair, ...]:
    """``pair`` of each."""
    return tuple(pair(number) for number in numbers)


class TableNumbers(NamedTuple):
    """What tables are made of, None where a part has none: 1 - beta of the effective numbers (None for 1 / N), the
    factor of the logits, that of log n, and the largest margin."""

    rest: Pair | None = None
    scale: Pair | None = None
    offset: Pair | None = None
    margin: Pair | None = None

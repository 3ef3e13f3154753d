"""The numbers among a criterion's options, which may change at every call, and how a kernel takes them.

A Python float as an argument is a float32 in a kernel, and one that is compiled in is compiled again when it
changes. So a number comes as the float32 next to it and the float32 next to what is left: 48 bits.
"""

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

Pair = tuple[float, float]


@lru_cache(maxsize=1024)
def pair(number: float) -> Pair:
    """As a kernel takes it; ``pat_triton.backends.triton.numbers.double`` makes the number again."""
    high = ctypes.c_float(number).value
    return high, number - high


class Numbers(NamedTuple):
    """0 where a part has none. Floats; in a graph of torch.compile tensors without dimensions.

    rest: 1 - beta of the effective numbers. scale: of the logits; offset: the factor of log n; margin: the largest.
    sigma: of the variation's noise. parameters: the curve's.
    """

    loss_weight: Any
    rest: Any
    scale: Any
    offset: Any
    margin: Any
    sigma: Any
    parameters: tuple[Any, ...]

    @property
    def flat(self) -> tuple[Any, ...]:
        """All of them, the parameters last."""
        return *self[:FIXED], *self.parameters

    @classmethod
    def of(cls, flat: Sequence[Any]) -> "Numbers":
        return cls(*flat[:FIXED], tuple(flat[FIXED:]))  # type: ignore[call-arg]


FIXED = 6  # of the numbers, before a curve's parameters


class NumberPairs(NamedTuple):
    """``Numbers`` as a kernel takes them, None where a part has none."""

    loss_weight: Pair
    rest: Pair | None
    scale: Pair | None
    offset: Pair | None
    margin: Pair | None
    sigma: Pair | None
    parameters: tuple[Pair, ...]

"""What a call's way depends on of its tensors, and a bounded memory of what was worked out for a kind of call."""

import threading
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

PLAIN = frozenset((Tensor, torch.nn.Parameter))
ALIGNED = 16  # bytes; whether a pointer is divisible by them decides how wide a kernel reads


def kinds(tensors: Iterable[Tensor | None]) -> tuple[Hashable, ...] | None:
    """Of tensors, all but their numbers and where in memory they are; None where one is not a plain, dense
    torch.Tensor that lies in memory as it is, and so may depend on more."""
    found: list[Hashable] = []
    try:
        for t in tensors:
            if t is None:
                found.append(None)
            elif t.__class__ in PLAIN and not t.is_neg():
                found += t.shape, t.stride(), t.dtype, t.device, t.requires_grad, t.data_ptr() % ALIGNED
            else:
                return None
    except RuntimeError:  # sparse and nested tensors have no strides
        return None
    return tuple(found)


class Cache:
    """By kind of call; of more than ``size`` kinds the one that was made first goes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.held: dict[Hashable, Any] = {}
        self.get = self.held.get  # what was put there; None if nothing was
        self._changing = threading.Lock()

    def put(self, key: Hashable, value: Any) -> None:
        with self._changing:
            while len(self.held) >= self.size:
                del self.held[next(iter(self.held))]
            self.held[key] = value

    def of(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is there, made if nothing is."""
        made = self.get(key)
        if made is None:
            made = make()
            self.put(key, made)
        return made

    def clear(self) -> None:
        with self._changing:
            self.held.clear()

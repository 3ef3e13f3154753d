"""Scratch memory that is used again, from chunk to chunk and from call to call.

On a CPU fresh pages cost more than what is written to them. Each thread keeps one room, a few chunks large.
"""

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


class Room:
    def __init__(self) -> None:
        self.held: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """Uninitialised, dense, of the dtype and device of ``like``; valid until the name is taken again."""
        size, key = math.prod(shape), (name, like.dtype)
        held = self.held.get(key)
        if held is None or held.numel() < size:
            # What inference mode allocates cannot be written to outside it.
            with torch.inference_mode(False):
                held = self.held[key] = torch.empty(size, dtype=like.dtype, device=like.device)
        return held[:size].view(shape)


_kept = threading.local()


@contextlib.contextmanager
def borrowed(tensor: Tensor) -> Iterator[Room]:
    """This thread's room for plain CPU tensors; whoever comes while it is lent, and others, get one of their own."""
    if tensor.device.type != "cpu" or type(tensor) is not Tensor:
        yield Room()
        return
    room = getattr(_kept, "room", None) or Room()
    _kept.room = None
    try:
        yield room
    finally:
        _kept.room = room


def forget() -> None:
    """Give this thread's room back to the system."""
    _kept.room = None

"""Scratch memory that is used again, from chunk to chunk and from call to call.

On a CPU fresh pages cost more than what is written to them. As many workspaces are kept as threads have worked at once,
each a few chunks large.
"""

import contextlib
import math
from collections.abc import Callable, Hashable, Iterator, Sequence

import torch
from torch import Tensor


class Workspace:
    def __init__(self) -> None:
        self.held: dict[tuple[str, torch.dtype], Tensor] = {}
        self.constants: dict[tuple[str, torch.dtype], tuple[Hashable, Tensor]] = {}

    def take(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """Uninitialised, dense, of the dtype and device of ``like``; valid until the name is taken again."""
        size, key = math.prod(shape), (name, like.dtype)
        held = self.held.get(key)
        if held is None or held.numel() < size:
            # What inference mode allocates cannot be written to outside it.
            with torch.inference_mode(False):
                held = self.held[key] = torch.empty(size, dtype=like.dtype, device=like.device)
        return (held if held.numel() == size else held[:size]).view(shape)

    def constant(self, name: str, kind: Hashable, n: int, make: Callable[..., Tensor], like: Tensor) -> Tensor:
        """The first n of the numbers that ``make(n, dtype=, device=)`` gives, of which more begin the same; not to be
        written to. Those of one kind are kept, the last."""
        key = name, like.dtype
        held = self.constants.get(key)
        if held is None or held[0] != kind or held[1].shape[0] < n:
            with torch.inference_mode(False):
                held = self.constants[key] = kind, make(n, dtype=like.dtype, device=like.device)
        numbers = held[1]
        return numbers if numbers.shape[0] == n else numbers[:n]

    @property
    def nbytes(self) -> int:
        return sum(held.nbytes for held in (*self.held.values(), *(made for _, made in self.constants.values())))


# Those that nobody works in; the last that was given back is warm.
_free: list[Workspace] = []


@contextlib.contextmanager
def lent(keep: bool) -> Iterator[Workspace]:
    """A workspace that nobody else has meanwhile: one that was kept and is kept again, or one of its own."""
    try:
        workspace = _free.pop() if keep else Workspace()
    except IndexError:
        workspace = Workspace()
    try:
        yield workspace
    finally:
        if keep:
            _free.append(workspace)


def forget() -> None:
    """Give the memory back to the system."""
    _free.clear()


def kept() -> list[int]:
    """The bytes of each that is kept."""
    return [workspace.nbytes for workspace in _free]

"""Counting without waiting for the device, and in integers, whose sums do not depend on their order."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from .slices import Where, part_of, slices
from .workers import in_order
from .workspace import Workspace

# Labels in a chunk: on a CPU what the cache holds, elsewhere a bound on memory.
CPU_LABELS = 1 << 16
DEVICE_LABELS = 1 << 24
# As many elements of logits take the time of a label: to count one takes long.
OPERATORS = 4


def add(counts: Tensor, bins: Tensor, workspace: Workspace) -> None:
    """counts (n,) int64 += how often each number below n is in ``bins``, int64."""
    # Not by bincount: it would synchronise a GPU with its host, and looks at all bins before it counts them.
    counts.scatter_add_(0, bins, workspace.constant("one", None, len(bins), torch.ones, bins))


def by_image(
    bins: Tensor, images: int, width: int, workspace: Workspace, low: int = 0, out: Tensor | None = None
) -> Tensor:
    """bins (n,) from ``low`` on, ``width`` of them, of the pixels of ``images`` in turn -> bins of (images, width) laid
    flat, from 0 on. out: their memory, if it is not to be new."""
    if images <= 1 and not low:
        return bins
    first = workspace.constant(f"images from {low}", width, images, partial(_first, width, low), bins)
    shape = images, bins.shape[0] // images
    return torch.add(bins.view(shape), first.view(images, 1), out=None if out is None else out.view(shape)).view(-1)


def _first(width: int, low: int, images: int, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.arange(-low, images * width - low, width, dtype=dtype, device=device)


def count(width: int, bins: Callable[..., Tensor], *maps: Tensor, low: int = 0) -> Tensor:
    """How often each of ``width`` bins, from ``low`` on, is in each image, int64 (B, width); bins: of a chunk of each
    (B, ...) map."""
    shape, device = maps[0].shape, maps[0].device
    parts = slices(shape, CPU_LABELS if device.type == "cpu" else DEVICE_LABELS)
    total = None if len(parts) == 1 else torch.zeros(shape[0], width, dtype=torch.int64, device=device)

    def work(where: Where, workspace: Workspace) -> Tensor:
        labels = [part_of(m, where) for m in maps]
        images = labels[0].shape[0]
        counts = torch.zeros(images * width, dtype=torch.int64, device=device)
        own = bins(*(label.reshape(-1) for label in labels))  # new memory
        add(counts, by_image(own, images, width, workspace, low, own), workspace)
        return counts.view(images, width)

    def finish(where: Where, counts: Tensor) -> None:
        nonlocal total
        if total is None:
            total = counts
        else:
            total[where[0]].add_(counts)

    in_order(parts, OPERATORS * maps[0].numel(), maps[0], work, finish)
    assert total is not None
    return total


def largest(z: Tensor, scratch: Tensor) -> Tensor:
    """``z.argmax(0)`` of (L, ...), the first where several are; scratch, of z's shape, is overwritten.

    On a CPU without argmax, which is ten times slower than to rank the classes that equal the maximum.
    """
    top = z.amax(0)
    if z.device.type != "cpu" or bool(top.sum().isnan()):
        return z.max(0).indices
    rank = torch.arange(len(z), 0, -1, dtype=scratch.dtype, device=z.device).view(-1, *(1,) * (z.ndim - 1))
    return len(z) - torch.eq(z, top, out=scratch).mul_(rank).amax(0).long()

"""The torch path: loss and gradient in closed form, in pixel chunks that stay in cache.

No autograd graph over the logits and no full-size temporary: beyond the gradient it holds one
chunk. Logits of any strides are read through views.
"""

import ctypes
import itertools
import math
import sys
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from . import noise
from .problem import Problem, Result

# Elements of the logits, and labels, in a chunk. On a CPU the chunk and its per-pixel vectors share the cache;
# elsewhere the bound is on memory alone.
CPU_CHUNK = 1 << 20
CPU_LABELS = 1 << 16
DEVICE_CHUNK = 1 << 24


def histogram(target: Tensor, classes: int, ignore_index: int) -> Tensor:
    on_cpu = target.device.type == "cpu"
    # Below the classes, the L classes, above them, ignored.
    counts = torch.zeros(len(target), classes + 3, dtype=torch.int64, device=target.device)
    for row, labels in zip(counts, target.flatten(1), strict=True):
        for part in labels.split(CPU_LABELS if on_cpu else DEVICE_CHUNK):
            y = part.long()
            bins = y.clamp(-1, classes).masked_fill_(y == ignore_index, classes + 1).add_(1)
            if on_cpu:
                row += torch.bincount(bins, minlength=classes + 3)
            else:  # bincount would synchronise with the host
                row.scatter_add_(0, bins, torch.ones_like(bins))
    return torch.cat((counts[:, 1:-2], (counts[:, 0] + counts[:, -2])[:, None]), 1)


def run(
    logits: Tensor, target: Tensor, problem: Problem, *,
    reduce: bool = True, gradient: bool = False, grad_output: Tensor | None = None,
) -> Result:  # fmt: skip
    compute = problem.weights.dtype
    grad = _empty_like(logits) if gradient or grad_output is not None else None
    factor = None if grad_output is None else grad_output.expand(target.shape)
    terms = None if reduce else torch.empty(target.shape, dtype=compute, device=target.device)
    chunk = _Chunk(logits, problem)
    sums = []
    for b, where in chunks(logits):
        chunk.read(logits[b][:, *where], target[b][where], b, where, target.shape[1:])
        term = chunk.softmax()
        if terms is not None:
            terms[b][where] = term.view(terms[b][where].shape)
        if grad_output is None:
            sums.append(term.sum())
        if grad is not None:
            chunk.write(grad[b][:, *where], None if factor is None else factor[b][where])
    if grad_output is not None:
        return Result(None, grad)
    total = torch.stack(sums).sum() if sums else torch.zeros((), dtype=compute, device=logits.device)
    return Result(total if terms is None else terms, grad)


def rescale(gradient: Tensor, factor: Tensor) -> None:
    if factor.device.type != "cpu" or factor.item() != 1:
        gradient.mul_(factor)


class _Chunk:
    """The pixels of one chunk: ``e`` holds a, then exp(a - top), then the gradient, as (L + 2, n).

    Row L belongs to ignored pixels and row L + 1 to labels that are no class: gathered and
    scattered like any other, never summed. Channels stay innermost where the logits have them so.
    """

    def __init__(self, logits: Tensor, problem: Problem) -> None:
        self.problem = problem
        self.classes = logits.shape[1]
        self.inner = logits.stride(1) == 1 and logits.shape[2:].numel() > 1
        self.buffer = problem.weights.new_empty(0)
        aside = problem.weights.new_zeros(len(logits), 2)
        aside[:, 1] = math.nan
        self.weights = torch.cat((problem.weights, aside), 1)
        self.tables = problem.tables
        self.key: noise.Key = ()
        if problem.seed is not None:
            on_cpu = logits.device.type == "cpu"
            self.key = tuple(problem.seed.tolist()) if on_cpu else problem.seed.unbind()

    def _hold(self, pixels: int) -> Tensor:
        rows = self.classes + 2
        if self.buffer.numel() < rows * pixels:
            self.buffer = self.buffer.new_empty(rows * pixels)
        flat = self.buffer[: rows * pixels]
        return flat.view(pixels, rows).t() if self.inner else flat.view(rows, pixels)

    def read(self, z: Tensor, y: Tensor, b: int, where: tuple[slice, ...], size: torch.Size) -> None:
        """Adjusted logits into e, less their maximum."""
        L, shape = self.classes, z.shape
        self.row = _rows(y.flatten(), L, self.problem.ignore_index)[None]
        self.e = self._hold(self.row.numel())
        self.w = self.weights[b].index_select(0, self.row[0])
        e, t = self.e[:L], self.tables
        a = e.unflatten(1, shape[1:])
        if t.unchanged and z.dtype == e.dtype:
            torch.sub(z, z.amax(0), out=a)
        else:
            a.copy_(z)
            if t.offset is not None:
                e.add_(t.offset[:, None])
            if t.margin is not None:
                margin = torch.cat((t.margin, t.margin.new_zeros(2)))
                label_a = self.e.gather(0, self.row).sub_(margin[self.row])
                self.e.scatter_(0, self.row, label_a)
            if t.scale is not None:
                e.mul_(t.scale[:, None])
            if t.variation is not None and t.noise is not None:
                pixel = _numbers(size, where, z.device).flatten()
                v = noise.magnitude(self.key, t.noise.distribution, t.noise.sigma, b, pixel, L)
                e.addcmul_(t.variation[:, None], v.to(e.dtype))
            e.sub_(e.amax(0))
        self.e[L:] = 0
        self.label_a = self.e.gather(0, self.row)[0]
        if t.scale is not None:
            # A scale makes differences whose exponentials are subnormal, which a CPU handles ten
            # times slower: below 1e-28 of the leading class they become 0.
            F.threshold(e, 0.75 * math.log(torch.finfo(e.dtype).tiny), -math.inf, inplace=True)

    def softmax(self) -> Tensor:
        """The weighted loss of each pixel; leaves e as exponentials, others in the label's place."""
        e, row = self.e[: self.classes], self.row
        e.exp_()
        self.e.scatter_(0, row, 0.0)
        others = e.sum(0)
        own = self.label_a.exp()
        # own is exactly 1 where the label leads, and others at least 1 elsewhere: nothing cancels.
        u = self.label_a - torch.log1p(others + (own - 1))
        inverse = (own + others).reciprocal_()
        value, slope = self.problem.curve(u, own.mul_(inverse), others * inverse)
        term = value * self.w
        self.pull = slope * self.w
        # Where an ignored pixel's logits are not finite, 0 * nan must still be 0.
        self.clean = inverse.device.type == "cpu" and bool(inverse.sum().isfinite())
        if not self.clean:
            ignored = row[0] == self.classes
            term.masked_fill_(ignored, 0)
            self.pull.masked_fill_(ignored, 0)
        self.e.scatter_(0, row, others.neg_()[None])
        self.rate = inverse.neg_()
        return term

    def write(self, grad: Tensor, factor: Tensor | None) -> None:
        """e * -pull / total: at the label -others * -pull / total = pull * q."""
        e = self.e[: self.classes]
        pull = self.pull if factor is None else self.pull * factor.flatten()
        if self.tables.scale is not None:
            e.mul_(self.tables.scale[:, None])
        rate = self.rate.mul_(pull)
        if not self.clean:
            e.masked_fill_(self.row == self.classes, 0)
            rate.masked_fill_(self.row[0] == self.classes, 0)
        if grad.dtype == e.dtype:
            torch.mul(e.unflatten(1, grad.shape[1:]), rate.view(grad.shape[1:]), out=grad)
        else:
            grad.copy_(e.mul_(rate).unflatten(1, grad.shape[1:]))


def chunks(logits: Tensor) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """(image, spatial slices) that cover the pixels in chunks of bounded size."""
    limit = CPU_CHUNK if logits.device.type == "cpu" else DEVICE_CHUNK
    pixels = max(1, limit // logits.shape[1])
    return itertools.product(range(len(logits)), list(_slices(logits.shape[2:], pixels)))


def _slices(shape: tuple[int, ...], pixels: int) -> Iterator[tuple[slice, ...]]:
    first, rest = shape[0], shape[1:]
    inner = math.prod(rest)
    if not first or not inner:
        return
    step = max(1, pixels // inner)
    within = list(_slices(rest, pixels)) if rest and inner > pixels else [(slice(None),) * len(rest)]
    for start in range(0, first, step):
        for others in within:
            yield (slice(start, min(start + step, first)), *others)


def _numbers(size: torch.Size, where: tuple[slice, ...], device: torch.device) -> Tensor:
    """The flat pixel numbers of a chunk, int64, in its shape."""
    number = torch.zeros((), dtype=torch.int64, device=device)
    for extent, part in zip(size, where, strict=True):
        index = torch.arange(*part.indices(extent), device=device)
        number = number[..., None] * extent + index
    return number


def _rows(y: Tensor, classes: int, ignore_index: int) -> Tensor:
    """Labels -> int64 rows of a chunk: a class, L where ignored, L + 1 where neither."""
    rows = torch.where(y == ignore_index, classes, y.long())
    if y.device.type != "cpu":  # on a CPU the labels have been checked
        rows = torch.where((rows < 0) | (rows > classes), classes + 1, rows)
    return rows


_HUGE_PAGES = 14  # MADV_HUGEPAGE
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _empty_like(logits: Tensor) -> Tensor:
    """``torch.empty_like``, backed by huge pages where Linux grants them.

    The gradient is fresh memory at every step; touching it 4 KiB at a time costs as much as the
    rest of the loss.
    """
    out = torch.empty_like(logits)
    if _LIBC is not None and out.device.type == "cpu" and out.nbytes >= 1 << 22:
        start = -(-out.data_ptr() // 4096) * 4096
        length = (out.data_ptr() + out.nbytes - start) // 4096 * 4096
        _LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _HUGE_PAGES)
    return out

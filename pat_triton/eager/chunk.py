"""The loss and the gradient of one chunk of pixels."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import noise
from ..problem import Problem, Tally
from . import count
from .source import Where


class Chunk:
    """The pixels of one chunk: ``e`` holds a, then exp(a - top), then the gradient, as (L + 2, n).

    Row L belongs to ignored pixels and row L + 1 to labels that are no class: gathered and
    scattered like any other, never summed. Channels stay innermost where the logits have them so.
    """

    def __init__(self, logits: Tensor, problem: Problem) -> None:
        self.problem = problem
        self.classes = logits.shape[1]
        self.buffer = problem.weights.new_empty(0)
        aside = problem.weights.new_zeros(len(logits), 2)
        aside[:, 1] = math.nan
        self.weights = torch.cat((problem.weights, aside), 1)
        self.tables = problem.tables
        self.key: noise.Key = ()
        if problem.seed is not None:
            on_cpu = logits.device.type == "cpu"
            self.key = tuple(problem.seed.tolist()) if on_cpu else problem.seed.unbind()

    def _hold(self, z: Tensor) -> Tensor:
        rows, pixels = self.classes + 2, z[0].numel()
        if self.buffer.numel() < rows * pixels:
            self.buffer = self.buffer.new_empty(rows * pixels)
        flat = self.buffer[: rows * pixels]
        inner = z.stride(0) == 1 and pixels > 1
        return flat.view(pixels, rows).t() if inner else flat.view(rows, pixels)

    def read(self, z: Tensor, y: Tensor, b: int, where: Where, size: torch.Size, tally: Tally | None) -> None:
        """Adjusted logits into e, less their maximum; z (L, *spatial) and y are pixels ``where`` of ``size``."""
        L, shape = self.classes, z.shape
        self.row = rows(y.flatten(), L, self.problem.ignore_index, checked=y.device.type == "cpu")[None]
        self.e = self._hold(z)
        self.w = self.weights[b].index_select(0, self.row[0])
        e, t = self.e[:L], self.tables
        a = e.unflatten(1, shape[1:])
        if tally is not None:
            self._count(count.largest(z, a).flatten(), tally.predicted[b], tally.correct[b])
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

    def _count(self, best: Tensor, predicted: Tensor, correct: Tensor) -> None:
        """Labelled pixels predicted as each class, and those that are right, added up: (L,) each."""
        L, row = self.classes, self.row[0]
        for counts, counted in ((predicted, row < L), (correct, row == best)):
            bins = counts.new_zeros(L + 1)
            count.add(bins, torch.where(counted, best, L))
            counts += bins[:L]

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

    def by_class(self, term: Tensor) -> Tensor:
        """The sum of ``term`` over each class's pixels: (L,). Overwrites e."""
        return self.e.zero_().scatter_(0, self.row, term[None])[: self.classes].sum(1)


def _numbers(size: torch.Size, where: Where, device: torch.device) -> Tensor:
    """The flat pixel numbers of a chunk, int64, in its shape."""
    number = torch.zeros((), dtype=torch.int64, device=device)
    for extent, part in zip(size, where, strict=True):
        index = torch.arange(*part.indices(extent), device=device)
        number = number[..., None] * extent + index
    return number


def rows(y: Tensor, classes: int, ignore_index: int, checked: bool = False) -> Tensor:
    """Labels -> int64: a class, L where ignored, L + 1 where neither, which ``checked`` labels are not."""
    label = y.long()  # a comparison in uint8 would wrap ignore_index
    row = label if checked else torch.where((label < 0) | (label >= classes), classes + 1, label)
    return torch.where(label == ignore_index, classes, row)

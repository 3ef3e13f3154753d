"""The loss and the gradient of one chunk of pixels."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import noise
from ..adjustment import ROWS
from ..inputs import ClassSums, Ignored, LossInputs, compute_dtype
from . import count
from .room import Room
from .source import Where

# 1 / ln 2
LOG2_E = 1.4426950408889634


class Chunk:
    """The pixels of one chunk, of one image or more: ``e`` holds a, then exp(a - top), then the gradient, (L + 2, n).

    Row L belongs to ignored pixels and row L + 1 to labels that are no class: read and written
    like any other, never summed. Channels stay innermost where the logits have them so.

    flat: the memory of e. at: where in it the label's element of each pixel lies, (n,); one-dimensional
    indexing is twice as fast as along a dimension.
    """

    def __init__(self, logits: Tensor, inputs: LossInputs, room: Room) -> None:
        self.inputs, self.room = inputs, room
        self.curve: Any = inputs.curve
        self.classes = logits.shape[1]
        self.compute = compute_dtype(logits)
        assert inputs.tables is not None  # but while a call is planned
        tables = inputs.tables.to(self.compute)
        weights = tables[inputs.first : inputs.first + len(logits)]
        self.weights = _aside(_aside(weights, 0.0), math.nan)
        self.scale, self.offset, self.margin, self.variation = (
            None if (row := inputs.row(name)) is None else tables[row] for name in ROWS
        )
        if self.margin is not None:
            self.margin = _aside(_aside(self.margin, 0.0), 0.0)
        self.key: noise.Key = ()
        if inputs.seed is not None:
            on_cpu = logits.device.type == "cpu"
            self.key = tuple(inputs.seed.tolist()) if on_cpu else inputs.seed.unbind()

    def _hold(self, z: Tensor) -> None:
        rows, pixels = self.classes + 2, z[0].numel()
        self.flat = self.room.take("e", (rows * pixels,), self.weights)
        inner = z.stride(0) == 1 and pixels > 1
        self.e = self.flat.view(pixels, rows).t() if inner else self.flat.view(rows, pixels)
        row, step = self.e.stride()
        first = torch.arange(0, pixels * step, step, device=z.device)
        self.at = first.add_(self.row, alpha=row)

    def read(self, z: Tensor, y: Tensor, where: Where, size: torch.Size, sums: ClassSums | None) -> None:
        """Adjusted logits into e, less their maximum; z (L, images, *spatial) and y: pixels ``where`` of ``size``."""
        L, shape = self.classes, z.shape
        self.row = rows(y.flatten(), L, self.inputs.ignored, checked=y.device.type == "cpu")
        self._hold(z)
        weights = self.weights[where[0]]
        self.w = weights.view(-1).index_select(0, count.by_image(self.row, *weights.shape))
        if self.inputs.pixel_weight is not None:
            self.w *= self.inputs.pixel_weight[where].flatten()
        e = self.e[:L]
        a = e.view(shape)
        if sums is not None:
            self._count(count.largest(z, a).flatten(), sums.predicted[where[0]], sums.correct[where[0]])
        if not self.inputs.rows and z.dtype == e.dtype:
            torch.sub(z, z.amax(0), out=a)
        else:
            a.copy_(z)
            if self.offset is not None:
                e.add_(self.offset[:, None])
            if self.margin is not None:
                own = self.flat.index_select(0, self.at).sub_(self.margin.index_select(0, self.row))
                self.flat.scatter_(0, self.at, own)
            if self.scale is not None:
                e.mul_(self.scale[:, None])
            if self.variation is not None and (drawn := self.inputs.noise) is not None:
                images, pixel = _numbers(size, where, z.device)
                if self.inputs.offset is not None:
                    images, pixel = images + self.inputs.offset[0], pixel + self.inputs.offset[1]
                v = noise.magnitude(self.key, drawn.distribution, drawn.sigma, images, pixel, L)
                e.addcmul_(self.variation[:, None], v.view(e.shape).to(e.dtype))
            e.sub_(e.amax(0))
        self.e[L:] = 0
        self.label_a = self.flat.index_select(0, self.at)

    def _count(self, best: Tensor, predicted: Tensor, correct: Tensor) -> None:
        """Labelled pixels predicted as each class, and those that are right, added up: (images, L) each."""
        L, row = self.classes, self.row
        for counts, counted in ((predicted, row < L), (correct, row == best)):
            bins = counts.new_zeros(len(counts), L + 1)
            count.add(bins.view(-1), count.by_image(torch.where(counted, best, L), *bins.shape))
            counts += bins[:, :L]

    def softmax(self) -> None:
        """``term``, the weighted loss of each pixel, and ``total``, its sum; leaves e as exponentials, -others
        in the label's place."""
        e = self.e[: self.classes]
        own = self.exp_(self.label_a.clone())
        self.exp_(e)
        self.flat.scatter_(0, self.at, torch.zeros_like(own))
        others = e.sum(0)
        # own is exactly 1 where the label leads, and others at least 1 elsewhere: nothing cancels.
        u = self.label_a.sub_((own - 1).add_(others).log1p_())
        inverse = (own + others).reciprocal_()
        value, slope = self.curve(u, own.mul_(inverse), others * inverse)
        self.term = value * self.w
        self.pull = slope * self.w
        self.total = self.term.sum()
        # Where an ignored pixel's logits are not finite, 0 * nan must still be 0.
        self.clean = e.device.type == "cpu" and math.isfinite(self.total.item())
        if not self.clean:
            ignored = self.row == self.classes
            self.total = self.term.masked_fill_(ignored, 0).sum()
            self.pull.masked_fill_(ignored, 0)
        self.flat.scatter_(0, self.at, others.neg_())
        self.rate = inverse.neg_()

    def exp_(self, a: Tensor) -> Tensor:
        """In place."""
        if a.device.type != "cpu" or a.dtype != torch.float32:
            return a.exp_()
        # A CPU's exp2 is four times faster than its exp, and does not slow down at -inf.
        a.mul_(LOG2_E)
        if self.scale is not None:
            # A scale makes differences whose exponentials are subnormal, which are slow: they become 0.
            F.threshold(a, -126, -math.inf, inplace=True)
        return a.exp2_()

    def write(self, grad: Tensor, factor: Tensor | None) -> None:
        """e * -pull / total: at the label -others * -pull / total = pull * q."""
        e = self.e[: self.classes]
        pull = self.pull if factor is None else self.pull * factor.flatten()
        if self.scale is not None:
            e.mul_(self.scale[:, None])
        rate = self.rate.mul_(pull)
        if not self.clean:
            ignored = self.row == self.classes
            e.masked_fill_(ignored, 0)
            rate.masked_fill_(ignored, 0)
        if grad.dtype == e.dtype:
            torch.mul(e.view(grad.shape), rate.view(grad.shape[1:]), out=grad)
        else:
            grad.copy_(e.mul_(rate).view(grad.shape))

    def by_class(self, images: int) -> Tensor:
        """The sum of ``term`` over each class's pixels: (images, L). Overwrites e."""
        self.flat.zero_().scatter_(0, self.at, self.term)
        return self.e[: self.classes].view(self.classes, images, -1).sum(2).t()


def _aside(table: Tensor, value: float) -> Tensor:
    """A table with one more entry."""
    return F.pad(table, (0, 1), value=value)


def _numbers(size: torch.Size, where: Where, device: torch.device) -> tuple[Tensor, Tensor]:
    """The images of a chunk (images, 1), and the flat numbers of its pixels (n,), int64."""
    number = torch.zeros((), dtype=torch.int64, device=device)
    for extent, part in zip(size, where[1:], strict=True):
        index = torch.arange(*part.indices(extent), device=device)
        number = number[..., None] * extent + index
    return torch.arange(where[0].start, where[0].stop, device=device)[:, None], number.flatten()


def is_ignored(label: Tensor, ignored: Ignored) -> Tensor:
    """Of int64 labels."""
    found = label == ignored[0]
    for other in ignored[1:]:
        found |= label == other
    return found


def rows(y: Tensor, classes: int, ignored: Ignored, checked: bool = False) -> Tensor:
    """Labels -> int64: a class, L where ignored, L + 1 where neither, which ``checked`` labels are not."""
    label = y.long()  # a comparison in uint8 would wrap an ignored one
    if checked and min(ignored) >= classes:
        return label.clamp(max=classes)
    row = label if checked else torch.where((label < 0) | (label >= classes), classes + 1, label)
    return torch.where(is_ignored(label, ignored), classes, row)

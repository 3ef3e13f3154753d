"""The loss and the gradient of one chunk of pixels, by as few operators as it takes.

A chunk's operators take microseconds each, and torch's way to one takes as long: what can be said once a call is in
``Formula``, numbers that do not change are kept in the workspace, and nothing is computed that is not used.
"""

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import noise
from ...adjustment import ROWS
from ...curves import LOG2_E
from ...inputs import Ignored, LossInputs, compute_dtype
from . import count
from .slices import Where
from .workspace import Workspace


class Formula:
    """What is the same in all chunks of a call, and shared by all who work on them: never written to.

    weights: (images, L + 2); labelled: 1 for each class, (L + 2,); scale, offset, variation (L, 1) and margin (L + 2,),
    where there are such.
    """

    def __init__(self, logits: Tensor, inputs: LossInputs, shape: torch.Size) -> None:
        """shape: (B, *spatial), the labels'."""
        self.inputs, self.shape = inputs, shape
        self.curve: Any = inputs.curve
        self.classes = logits.shape[1]
        self.compute = compute_dtype(logits)
        self.on_cpu = logits.device.type == "cpu"
        assert inputs.tables is not None  # but while a call is planned
        tables = inputs.tables.to(self.compute)
        self.weights = F.pad(tables[inputs.first : inputs.first + len(logits)], (0, 2))
        self.labelled = F.pad(self.weights.new_ones(self.classes), (0, 2))
        if not self.on_cpu:  # where labels were not looked at
            self.weights[:, -1] = self.labelled[-1] = math.nan
        self.scale, self.offset, self.margin, self.variation = (
            None if (row := inputs.row(name)) is None else tables[row][:, None] for name in ROWS
        )
        if self.margin is not None:
            self.margin = F.pad(self.margin[:, 0], (0, 2))
        self.key: noise.Key = ()
        if inputs.seed is not None:
            self.key = tuple(inputs.seed.tolist()) if self.on_cpu else inputs.seed.unbind()

    @property
    def cost(self) -> int:
        """Of an element, in the time of one without noise, which takes ten times as long to draw."""
        return 10 if self.variation is not None else 1

    @property
    def adjusts(self) -> bool:
        return bool(self.inputs.rows)


class Chunk:
    """The pixels of one chunk, of one image or more: ``e`` holds a, then exp(a - top), then the gradient, (L, n).

    flat: the memory of e, and of two rows more: row L belongs to ignored pixels and row L + 1 to labels that are no
    class, read and written like any other, never summed. Channels stay innermost where the logits have them so.
    at: where in flat the label's element of each pixel lies, (n,); one-dimensional indexing is twice as fast as along
    a dimension.
    """

    def __init__(
        self, formula: Formula, workspace: Workspace, z: Tensor, y: Tensor, where: Where, name: str = "e"
    ) -> None:
        """z (L, images, *spatial) and y (images, *spatial): the pixels ``where``. name: of e in the workspace."""
        self.formula, self.workspace, self.where, self.shape = formula, workspace, where, z.shape
        self.images = z.shape[1]
        self.row = rows(y.reshape(-1), formula.classes, formula.inputs.ignored, checked=formula.on_cpu)
        n, height = self.row.shape[0], formula.classes + 2
        self.channels_last = z.stride(0) == 1 and n > 1
        row, step = (1, height) if self.channels_last else (n, 1)
        self.flat, self.e = self.like_e(name)
        every = workspace.constant(("every", step), n, partial(_every, step), formula.weights)
        self.at = torch.add(every, self.row, alpha=row)
        self.a = self.e.view(z.shape)

    def like_e(self, name: str) -> tuple[Tensor, Tensor]:
        """Memory of that name, as ``flat`` and as ``e``; the two rows more are 0."""
        n, height = self.row.shape[0], self.formula.classes + 2
        flat = self.workspace.take(name, (height * n,), self.formula.weights)
        grid = flat.view(n, height).t() if self.channels_last else flat.view(height, n)
        grid[height - 2 :].zero_()
        return flat, grid[: height - 2]

    def read(self, z: Tensor) -> None:
        """Adjusted logits into e, less their maximum."""
        f, e = self.formula, self.e
        if not f.adjusts and z.dtype == e.dtype:
            torch.sub(z, z.amax(0), out=self.a)
        else:
            self.a.copy_(z)
            if f.offset is not None:
                e.add_(f.offset)
            if f.margin is not None:
                own = self.flat.index_select(0, self.at).sub_(f.margin.index_select(0, self.row))
                self.flat.scatter_(0, self.at, own)
            if f.scale is not None:
                e.mul_(f.scale)
            if f.variation is not None and f.inputs.noise is not None:
                e.addcmul_(f.variation, self._noise().to(e.dtype))
            e.sub_(e.amax(0))
        self.label_a = self.flat.index_select(0, self.at)

    def _noise(self) -> Tensor:
        """|v|: (L, n)."""
        f = self.formula
        drawn, offset = f.inputs.noise, f.inputs.offset
        assert drawn is not None
        images, pixel = _numbers(f.shape, self.where, self.flat.device)
        if offset is not None:
            images, pixel = images + offset[0], pixel + offset[1]
        out = self.workspace.take(
            "noise", (f.classes, len(images), len(pixel)), torch.empty(0, device=self.flat.device, dtype=torch.float32)
        )
        return noise.magnitude(f.key, drawn.distribution, drawn.sigma, images, pixel, f.classes, out).view(self.e.shape)

    def correct(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Labelled pixels predicted as each class, and those of them that are right: (images, L) each. Overwrites e."""
        L, row = self.formula.classes, self.row
        best = count.largest(z, self.a).flatten()
        made = []
        for counted in (row < L, row == best):
            bins = torch.zeros(self.images, L + 1, dtype=torch.int64, device=row.device)
            count.add(bins.view(-1), count.by_image(torch.where(counted, best, L), *bins.shape))
            made.append(bins[:, :L])
        return made[0], made[1]

    def softmax(self) -> None:
        """``term``, the weighted loss of each pixel, and ``total``, its sum; leaves e as exponentials, -others
        in the label's place."""
        f, e = self.formula, self.e
        weights = f.weights[self.where[0]]
        w = weights.view(-1).index_select(0, count.by_image(self.row, *weights.shape))
        if f.inputs.pixel_weight is not None:
            w *= f.inputs.pixel_weight[self.where].flatten()
        own = self._exp(self.label_a)
        self._exp(e, out=e)
        self.flat.scatter_(0, self.at, self.workspace.constant("zero", own.shape[0], torch.zeros, own))
        others = e.sum(0)
        # own is exactly 1 where the label leads, and others at least 1 elsewhere: nothing cancels.
        u = self.label_a.sub_((own - 1).add_(others).log1p_())
        inverse = (own + others).reciprocal_()
        self.p, self.q = own.mul_(inverse), others * inverse
        value, slope = f.curve(u, self.p, self.q)
        self.term = value * w
        self.weighted_slope = slope * w
        self.total = self.term.sum()
        # Where an ignored pixel's logits are not finite, 0 * nan must still be 0.
        finite = self.total if f.inputs.regions is None else self.total + inverse.sum()
        self.clean = f.on_cpu and math.isfinite(finite.item())
        if not self.clean:
            ignored = self.row == f.classes
            self.total = self.term.masked_fill_(ignored, 0).sum()
            self.weighted_slope.masked_fill_(ignored, 0)
        self.flat.scatter_(0, self.at, others.neg_())
        self.rate = inverse.neg_()

    def _exp(self, a: Tensor, out: Tensor | None = None) -> Tensor:
        if not self.formula.on_cpu:
            return torch.exp(a, out=out)
        # A CPU's exp2 is four times faster than its exp, does not slow down at -inf, and is not MKL's, whose exp opens
        # a parallel region even in a thread that is alone.
        out = torch.mul(a, LOG2_E, out=out)
        if self.formula.scale is not None and a.dtype == torch.float32:
            # A scale makes differences whose exponentials are subnormal, which are slow: they become 0.
            F.threshold(out, -126, -math.inf, inplace=True)
        return out.exp2_()

    def write(self, grad: Tensor, factor: Tensor | None) -> None:
        """e * -weighted_slope / total: at the label -others * -weighted_slope / total = weighted_slope * q."""
        e = self.e
        weighted_slope = self.weighted_slope if factor is None else self.weighted_slope * factor[self.where].flatten()
        if self.formula.scale is not None:
            e.mul_(self.formula.scale)
        rate = self.rate.mul_(weighted_slope)
        if not self.clean:
            ignored = self.row == self.formula.classes
            e.masked_fill_(ignored, 0)
            rate.masked_fill_(ignored, 0)
        if grad.dtype == e.dtype:
            torch.mul(self.a, rate.view(grad.shape[1:]), out=grad)
        else:
            grad.copy_(e.mul_(rate).view(grad.shape))

    @property
    def pixel_weight(self) -> Tensor:
        """Of each pixel beside its class: 0 where it is ignored, nan where its label is no class, (n,)."""
        w, given = self.formula.labelled.index_select(0, self.row), self.formula.inputs.pixel_weight
        return w if given is None else torch.where(w == 0, w, w * given[self.where].flatten())

    def probabilities(self) -> Tensor:
        """e as the probabilities of all classes but the label's, 0 in its place."""
        self.flat.scatter_(0, self.at, 0.0)
        e = self.e.mul_(self.rate.neg())
        return e if self.clean else e.masked_fill_(self.row == self.formula.classes, 0)

    def by_class(self) -> Tensor:
        """The sum of ``term`` over each class's pixels: (images, L). Overwrites e."""
        self.flat.zero_().scatter_(0, self.at, self.term)
        return self.e.reshape(self.formula.classes, self.images, -1).sum(2).t()


def _every(step: int, n: int, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """0, step, 2 * step, ...: n of them, int64."""
    return torch.arange(0, n * step, step, device=device)


def _numbers(shape: torch.Size, where: Where, device: torch.device) -> tuple[Tensor, Tensor]:
    """The images of a chunk (images, 1), and the flat numbers of its pixels (n,), int64."""
    images, *indices = (torch.arange(*p.indices(extent), device=device) for extent, p in zip(shape, where, strict=True))
    number = torch.zeros((), dtype=torch.int64, device=device)
    for extent, index in zip(shape[1:], indices, strict=True):
        number = number[..., None] * extent + index
    return images[:, None], number.flatten()


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

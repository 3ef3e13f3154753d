"""The loss and the gradient of one chunk of pixels, by as few operators as it takes.

A chunk's operators take microseconds each, and torch's way to one takes as long: what can be said once a call is in
``Formula``, numbers that do not change are kept in the workspace, and nothing is computed that is not used.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import noise
from ...curves import LOG2_E
from ...inputs import Ignored
from . import count
from .formula import Formula
from .slices import Where, part_of
from .workspace import Workspace

# Of the sum of the exponentials beside the label's, which is 1. 1 / FAR times a weight of 1e-15 and more is not
# subnormal, and rounding of an exponent changes none by more than 3e-6.
FAR = 2.0**64


class Chunk:
    """The pixels of one chunk, of one image or more: ``e`` holds a, then its exponentials, then the gradient,
    (L, images, pixels), and ``a`` is the same memory as (L, images, *spatial). Channels stay innermost where the logits
    have them so.

    row: of each pixel, (n,), see ``rows``. at: where in ``flat``, e's memory, its label's element lies, (n,), for
    one-dimensional indexing is twice as fast as along a dimension; of a pixel without a class that of the last class,
    which is read and written like any other, with a weight of 0, or of nan where labels were not looked at.
    """

    def __init__(
        self, formula: Formula, workspace: Workspace, z: Tensor, y: Tensor, where: Where, into: Tensor | None = None,
        name: str = "e",
    ) -> None:  # fmt: skip
        """z (L, images, *spatial) and y (images, *spatial): the pixels ``where``. into: memory of z's shape for e, if
        it will do; else it is that of this name in the workspace."""
        self.formula, self.workspace, self.where, self.shape = formula, workspace, where, z.shape
        self.images = z.shape[1]
        self.row = rows(y.reshape(-1), formula.classes, formula.inputs.ignored, checked=formula.on_cpu)
        self.bins = count.by_image(self.row, self.images, formula.classes + 2, workspace)
        self.channels_last = z.stride(0) == 1 and self.row.shape[0] > 1
        self.in_place = into is not None and into.dtype == formula.compute and _is_even(into)
        self.a = into if into is not None and self.in_place else self._memory(name)
        self.flat, self.e = flat(self.a), self.a.view(formula.classes, self.images, -1)
        n, steps = self.row.shape[0], self.e.stride()
        laid = ("every", steps[2:]) if self.images == 1 else ("every image", (self.e.shape[2], *steps[1:]))
        every = workspace.constant(*laid, n, partial(_every, self.e), self.row)
        at = torch.clamp(self.row, max=formula.classes - 1, out=workspace.take("at " + name, (n,), self.row))
        self.at = torch.add(every, at, alpha=steps[0], out=at)

    def _memory(self, name: str) -> Tensor:
        """Of that name, for ``a``."""
        classes, *pixels = self.shape
        shape = (*pixels, classes) if self.channels_last else self.shape
        made = self.workspace.take(name, shape, self.formula.weights)
        return made.movedim(-1, 0) if self.channels_last else made

    def like_a(self, name: str) -> Tensor:
        """Memory of that name, laid as ``a`` is."""
        made = self.workspace.take(name, (_length(self.a),), self.formula.weights)
        return made.as_strided(self.a.shape, self.a.stride())

    def softmax(self, z: Tensor, again: Callable[[], Tensor]) -> None:
        """``term``, the weighted loss of each pixel, and ``total``, its sum; leaves e as exponentials, -others
        in the label's place. again: reads z once more, where e lies in its memory."""
        f = self.formula
        self.clean = f.on_cpu
        if not f.on_cpu or f.scale is not None:
            self._from_largest(z)
        elif not self._from_label(z):
            self._from_largest(again())
        w = part_of(f.weights, self.where[:1]).view(-1).index_select(0, self.bins)
        if f.inputs.pixel_weight is not None:
            w *= f.inputs.pixel_weight[self.where].flatten()
        value, slope = f.curve(self.u, self.p, self.q)
        self.term = value * w
        self.weighted_slope = slope * w
        self.total = self.term.sum()
        # Where an ignored pixel's logits are not finite, 0 * nan must still be 0.
        finite = self.total if f.inputs.regions is None else self.total + self.q.sum()
        self.clean = self.clean and math.isfinite(finite.item())
        if not self.clean:
            ignored = self.row == f.classes
            self.total = self.term.masked_fill_(ignored, 0).sum()
            self.weighted_slope.masked_fill_(ignored, 0)
        self.flat.scatter_(0, self.at, self.others.neg_())

    def _from_label(self, z: Tensor) -> bool:
        """Exponentials of the logits less their label's, whose own is then 1: without a maximum to look for, and none
        to divide by. Not where they overflow, or the probability is so small that rounding is felt: False."""
        if self.formula.adjusts or z.dtype != self.a.dtype or z.stride() != self.a.stride():
            self._adjusted(z)
            z = self.a
        label = flat(z).index_select(0, self.at).view(z.shape[1:])
        # 2 * (z - label) * half: as the gradient of a squared error it takes one pass over memory, not two.
        half = self.workspace.constant("half of log2(e)", None, 1, _half, self.a)
        torch.ops.aten.mse_loss_backward.grad_input(half, z, label, 0, grad_input=self.a)
        others = self._sum_others(self.e.exp2_())
        if not others.amax().item() < FAR:  # nan is not
            if not others.masked_fill(self.row == self.formula.classes, 0).amax().item() < FAR:
                return False
            self.clean = False  # what is far, or no number, is ignored
        self.others, self.u = others, others.log1p().neg_()
        self.p = self.inverse = (others + 1).reciprocal_()
        self.q = others * self.p
        return True

    def _from_largest(self, z: Tensor) -> None:
        """Exponentials of the logits less the largest: none overflows."""
        f = self.formula
        if not f.adjusts and z.dtype == self.a.dtype:
            torch.sub(z, z.amax(0), out=self.a)
        else:
            self._adjusted(z)
            self.e.sub_(self.e.amax(0))
        label = self.flat.index_select(0, self.at)
        own = self._exp(label)
        others = self._sum_others(self._exp(self.e, out=self.e))
        # own is exactly 1 where the label leads, and others at least 1 elsewhere: nothing cancels.
        self.others, self.u = others, label.sub_((own - 1).add_(others).log1p_())
        self.inverse = (own + others).reciprocal_()
        self.p, self.q = own.mul_(self.inverse), others * self.inverse

    def _adjusted(self, z: Tensor) -> None:
        """Adjusted logits into e."""
        f, e = self.formula, self.e
        if f.offset is not None and z.dtype == e.dtype:
            torch.add(z, f.offset.view(-1, *(1,) * (z.ndim - 1)), out=self.a)
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

    def _sum_others(self, exponentials: Tensor) -> Tensor:
        """Of e, (n,); its label's become 0."""
        zero = self.workspace.constant("zero", None, self.at.shape[0], torch.zeros, exponentials)
        self.flat.scatter_(0, self.at, zero)  # of a number it takes twice as long
        return exponentials.sum(0).view(-1)

    def _noise(self) -> Tensor:
        """|v|: (L, images, pixels)."""
        f = self.formula
        drawn, offset = f.inputs.noise, f.inputs.offset
        assert drawn is not None
        images, pixel = _numbers(f.shape, self.where, self.a.device)
        if offset is not None:
            images, pixel = images + offset[0], pixel + offset[1]
        out = self.workspace.take(
            "noise", (f.classes, len(images), len(pixel)), torch.empty(0, device=self.a.device, dtype=torch.float32)
        )
        return noise.magnitude(f.key, drawn.distribution, drawn.sigma, images, pixel, f.classes, out).view(self.e.shape)

    def correct(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Labelled pixels predicted as each class, and those of them that are right: (images, L) each. Before
        the softmax: overwrites e."""
        L, row = self.formula.classes, self.row
        best = count.largest(z, self.like_a("rank") if self.a is z else self.a).flatten()
        made = []
        for counted in (row < L, row == best):
            counts = torch.zeros(self.images, L + 1, dtype=torch.int64, device=row.device)
            bins = count.by_image(torch.where(counted, best, L), self.images, L + 1, self.workspace)
            count.add(counts.view(-1), bins, self.workspace)
            made.append(counts[:, :L])
        return made[0], made[1]

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
        rate = (self.inverse * weighted_slope).neg_()
        if not self.clean:
            ignored = self.row == self.formula.classes
            e.masked_fill_(ignored.view(self.images, -1), 0)
            rate.masked_fill_(ignored, 0)
        if self.in_place:
            e.mul_(rate.view(self.images, -1))
        elif grad.dtype == e.dtype:
            torch.mul(self.a, rate.view(grad.shape[1:]), out=grad)
        else:
            grad.copy_(self.a.mul_(rate.view(grad.shape[1:])))

    @property
    def pixel_weight(self) -> Tensor:
        """Of each pixel beside its class: 0 where it is ignored, nan where its label is no class, (n,)."""
        assert self.formula.labelled is not None
        w, given = self.formula.labelled.index_select(0, self.row), self.formula.inputs.pixel_weight
        return w if given is None else torch.where(w == 0, w, w * given[self.where].flatten())

    def probabilities(self) -> Tensor:
        """e as the probabilities of all classes but the label's, 0 in its place."""
        self.flat.scatter_(0, self.at, 0.0)
        e = self.e.mul_(self.inverse.view(self.images, -1))
        return e if self.clean else e.masked_fill_((self.row == self.formula.classes).view(self.images, -1), 0)

    def by_class(self, values: Tensor) -> Tensor:
        """The sum of (n,) over the pixels of each class: (images, L), in a fixed order."""
        images, L = self.images, self.formula.classes
        if not self.formula.on_cpu:  # where several threads add up by atomics
            scratch = self.like_a("by class").zero_()
            flat(scratch).scatter_(0, self.at, torch.where(self.row < L, values, 0))
            return scratch.view(L, images, -1).sum(2).t()
        total = torch.zeros(images * (L + 2), dtype=torch.float64, device=values.device)
        total.scatter_add_(0, self.bins, values.double())
        return total.view(images, L + 2)[:, :L].to(values.dtype)


def _half(n: int, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.full((n,), LOG2_E / 2, dtype=dtype, device=device)


def _is_even(a: Tensor) -> bool:
    """Whether the pixels of (L, images, *spatial) are one step apart in each image."""
    steps, extents = a.stride()[2:], a.shape[3:]
    return all(step == inner * extent for step, inner, extent in zip(steps, steps[1:], extents, strict=False))


def flat(a: Tensor) -> Tensor:
    """All memory from the first element to the last."""
    return a.as_strided((_length(a),), (1,))


def _length(a: Tensor) -> int:
    return 1 + sum((extent - 1) * step for extent, step in zip(a.shape, a.stride(), strict=True))


def _every(e: Tensor, n: int, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Where in memory the first class's element of each pixel of e lies, int64."""
    _, images, pixels = e.shape
    _, image, pixel = e.stride()
    first = torch.arange(images, device=device)[:, None] * image
    return (first + torch.arange(pixels, device=device) * pixel).view(-1)


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

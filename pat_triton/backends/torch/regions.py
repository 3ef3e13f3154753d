"""Region losses of one chunk: the sums by class of its softmax, and what the loss of all sums adds to its gradient.

Of a ``Chunk`` of the logits as they came, after its softmax. See ``pat_triton.regions`` for the sums I, P, Q and T and
for the derivatives A, C and D by I, P and Q, with which the gradient of a pixel with weight w is

    w p_c (h_c - sum over k of p_k h_k),    h_c = A_c [c = y] + C_c + 2 p_c D_c

As in ``chunk``, what belongs to the label is computed apart, so that 1 - p does not cancel.
"""

import torch
from torch import Tensor

from ...curves import NoPixelLoss
from . import count
from .chunk import Chunk, Formula


def unadjusted(formula: Formula, logits: Tensor) -> Formula:
    """That of the logits as they came: the same, if nothing adjusts them."""
    if not formula.adjusts:
        return formula
    inputs = formula.inputs._replace(curve=NoPixelLoss(), rows=(), noise=None, seed=None)
    return Formula(logits, inputs, formula.shape)


def sums(chunk: Chunk) -> Tensor:
    """I, P, Q and T: (images, 4, L). Overwrites e."""
    regions = chunk.formula.inputs.regions
    assert regions is not None
    plain, squared = regions.needs
    w, p = chunk.pixel_weight, chunk.probabilities()
    hits = _by_class(chunk, w * chunk.p)
    made = [hits, torch.zeros_like(hits), torch.zeros_like(hits), _by_class(chunk, w)]
    if squared:
        into = chunk.like_e("h")[1] if plain else p
        made[2] = _over_pixels(chunk, torch.mul(p, p, out=into).mul_(w)) + _by_class(chunk, w * chunk.p * chunk.p)
    if plain:
        made[1] = hits + _over_pixels(chunk, p.mul_(w))
    return torch.stack(made, 1)


def write(chunk: Chunk, grad: Tensor, factor: Tensor | None, pixels: Chunk | None) -> None:
    """The gradient, times ``factor``, and with it that of the terms of single pixels: of this chunk, or of ``pixels``,
    whose logits were adjusted."""
    regions, L = chunk.formula.inputs.regions, chunk.formula.classes
    assert regions is not None and regions.derivatives is not None
    given = regions.derivatives[chunk.where[0]].to(chunk.e.dtype)
    of_hits, of_plain, of_squared = given.unbind(1)  # (images, L) each
    upstream = None if factor is None else factor[chunk.where].flatten()
    w = chunk.pixel_weight if upstream is None else chunk.pixel_weight * upstream
    weighted_slope = torch.zeros_like(w)
    if pixels is None:
        weighted_slope = chunk.weighted_slope if upstream is None else chunk.weighted_slope * upstream
    p = chunk.probabilities()
    flat, h = chunk.like_e("h")
    by_class = (L, chunk.images, -1)
    row = count.by_image(chunk.row, chunk.images, L + 2)

    def at_label(table: Tensor) -> Tensor:
        return torch.nn.functional.pad(table, (0, 2)).view(-1).index_select(0, row)

    own = at_label(of_hits + of_plain)
    slope = of_plain.t()[:, :, None]
    if regions.needs[1]:
        own += 2 * chunk.p * at_label(of_squared)
        slope = torch.mul(p.view(by_class), 2 * of_squared.t()[:, :, None]).add_(slope)
    others = torch.mul(p.view(by_class), slope, out=h.view(by_class)).sum(0).view(-1)
    mean = others + chunk.p * own
    # h becomes what a probability is multiplied by, and at the label, with 1 for p, all.
    aside = (w * mean).add_(weighted_slope).neg_().view(chunk.images, -1)
    torch.addcmul(aside, slope, w.view(chunk.images, -1), out=h.view(by_class))
    label = w * chunk.p * (own * chunk.q - others) + weighted_slope * chunk.q
    if not chunk.clean:
        label = label.masked_fill(chunk.row == L, 0)
        h.masked_fill_(chunk.row == L, 0)
    flat.scatter_(0, chunk.at, label)
    chunk.flat.scatter_(0, chunk.at, 1.0)
    made = grad if grad.dtype == p.dtype else chunk.a
    if pixels is None:
        torch.mul(chunk.a, h.view(grad.shape), out=made)
    else:
        pixels.write(pixels.a, factor)
        torch.addcmul(pixels.a, chunk.a, h.view(grad.shape), out=made)
    if made is not grad:
        grad.copy_(made)


def _over_pixels(chunk: Chunk, values: Tensor) -> Tensor:
    """(L, n) -> (images, L)."""
    return values.view(chunk.formula.classes, chunk.images, -1).sum(2).t()


def _by_class(chunk: Chunk, values: Tensor) -> Tensor:
    """The sum of (n,) over the pixels of each class: (images, L), in a fixed order."""
    images, L = chunk.images, chunk.formula.classes
    if not chunk.formula.on_cpu:  # where several threads add up by atomics
        flat, e = chunk.like_e("h")
        flat.zero_().scatter_(0, chunk.at, values)
        return _over_pixels(chunk, e)
    total = torch.zeros(images * (L + 2), dtype=torch.float64, device=values.device)
    total.scatter_add_(0, count.by_image(chunk.row, images, L + 2), values.double())
    return total.view(images, L + 2)[:, :L].to(values.dtype)

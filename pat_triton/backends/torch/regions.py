"""Region losses of one chunk: the sums by class of its softmax, and what the loss of all sums adds to its gradient.

Of a ``Chunk`` of the logits as they came, after its softmax. See ``pat_triton.regions`` for the sums I, P, Q and T and
for the derivatives A, C and D by I, P and Q, with which the gradient of a pixel with weight w is

    w p_c (h_c - sum over k of p_k h_k),    h_c = A_c [c = y] + C_c + 2 p_c D_c

As in ``chunk``, what belongs to the label is computed apart, so that 1 - p does not cancel.
"""

import torch
from torch import Tensor

from ...curves import NoPixelLoss
from .chunk import Chunk, flat
from .formula import Formula


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
    of_pixels = w.view(chunk.images, -1)
    hits = chunk.by_class(w * chunk.p)
    made = [hits, torch.zeros_like(hits), torch.zeros_like(hits), chunk.by_class(w)]
    if squared:
        into = chunk.like_a("h").view(p.shape) if plain else p
        made[2] = _over_pixels(torch.mul(p, p, out=into).mul_(of_pixels)) + chunk.by_class(w * chunk.p * chunk.p)
    if plain:
        made[1] = hits + _over_pixels(p.mul_(of_pixels))
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
    p, all_h = chunk.probabilities(), chunk.like_a("h")
    h = all_h.view(p.shape)

    def at_label(table: Tensor) -> Tensor:
        return torch.nn.functional.pad(table, (0, 2)).view(-1).index_select(0, chunk.bins)

    own = at_label(of_hits + of_plain)
    slope = of_plain.t()[:, :, None]
    if regions.needs[1]:
        own += 2 * chunk.p * at_label(of_squared)
        slope = torch.mul(p, 2 * of_squared.t()[:, :, None]).add_(slope)
    others = torch.mul(p, slope, out=h).sum(0).view(-1)
    mean = others + chunk.p * own
    # h becomes what a probability is multiplied by, and at the label, with 1 for p, all.
    aside = (w * mean).add_(weighted_slope).neg_().view(chunk.images, -1)
    torch.addcmul(aside, slope, w.view(chunk.images, -1), out=h)
    label = w * chunk.p * (own * chunk.q - others) + weighted_slope * chunk.q
    if not chunk.clean:
        ignored = chunk.row == L
        label = label.masked_fill(ignored, 0)
        h.masked_fill_(ignored.view(chunk.images, -1), 0)
    flat(all_h).scatter_(0, chunk.at, label)
    chunk.flat.scatter_(0, chunk.at, 1.0)
    made = grad if grad.dtype == p.dtype else chunk.a
    if pixels is None:
        torch.mul(chunk.a, all_h, out=made)
    else:
        pixels.write(pixels.a, factor)
        torch.addcmul(pixels.a, chunk.a, all_h, out=made)
    if made is not grad:
        grad.copy_(made)


def _over_pixels(values: Tensor) -> Tensor:
    """(L, images, pixels) -> (images, L)."""
    return values.sum(2).t()

"""Region losses in the kernels that read logits: the softmax of the logits as they came, its sums by class, and what
the loss of those adds to the gradient.

The sums of a class over the labelled pixels, each times its weight: I of p where it is the label, P of p, Q of p ** 2,
T of 1 where it is the label. A program leaves its own, rows of L numbers in this order: P and Q where REGIONS says so,
T where pixels have weights (it is the histogram where they have none), else zeros. ``pat_triton.regions`` makes the
loss of their total, and its derivatives by I, P and Q. With those of the class c, (A, C, D)[c], the gradient of a
pixel of weight w is

    w * p_c * (h_c - mean),    h_c = A_c * [c = y] + C_c + 2 * p_c * D_c,    mean = sum of p_k * h_k over k

At the label it is w * p_y * (h_y * (1 - p_y) - sum of p_k * h_k over the others), where 1 - p_y is the sum of the other
probabilities: nothing cancels where a pixel is quite sure.

Bytes: the derivatives or the sums of L classes, and nothing of a pixel but what its loss reads anyway.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from .hardware import reciprocal
from .pixel import entries, exponent, exponentials, stacked


class Region(NamedTuple):
    """The softmax of a pixel's column as it came. exps: blocks of exponentials, 0 at the label. own: the label's;
    others: the sum of the others'. inverse: 1 / the sum of all. weight: of the pixel; 0 where it is not labelled.
    kept: whether it is. [PIXELS]"""

    exps: Any
    own: Any
    others: Any
    inverse: Any
    weight: Any
    kept: Any


@triton.jit
def softmax_of(column, label_z, weight, kept, PTX: tl.constexpr):
    """Of a ``column`` of blocks of logits, -inf at the label, whose logit is ``label_z``."""
    top = label_z
    for i in tl.static_range(len(column)):
        top = tl.maximum(top, tl.max(column[i], 0))
    e = exponent(top, tl.full([], 1.0, top.dtype))
    exps = ()
    for i in tl.static_range(len(column)):
        exps += (exponentials(column[i], e),)
    return region_of(exps, tl.exp2(tl.fma(label_z, e.factor, -e.shift)), weight, kept, PTX)


@triton.jit
def region_of(exps, own, weight, kept, PTX: tl.constexpr):
    """Of exponentials that are there already."""
    others = tl.zeros_like(exps[0])
    for i in tl.static_range(len(exps)):
        others += exps[i]
    others = tl.sum(others, 0)
    return Region(exps, own, others, reciprocal(own + others, PTX), weight, kept)


@triton.jit
def factor_of(pixel_weight, grad_output, is_class, COMPUTE: tl.constexpr):
    """What multiplies a labelled pixel's part, 0 of others. pixel_weight, grad_output: pointers, or None."""
    w = is_class.to(COMPUTE)
    if pixel_weight is not None:
        w *= tl.load(pixel_weight, mask=is_class, other=0.0).to(COMPUTE)
    if grad_output is not None:
        w *= tl.load(grad_output, mask=is_class, other=0.0)
    return w


@triton.jit
def probabilities(exps, r):
    """[CLASSES, PIXELS], 0 at the label and where a pixel is not labelled, whose logits may be anything."""
    return tl.where(r.kept[None, :], exps * r.inverse[None, :], 0.0)


@triton.jit
def own_probability(r):
    return tl.where(r.kept, r.own * r.inverse, 0.0)


@triton.jit
def store_sums(at, r, own_row, row, L: tl.constexpr, REGIONS: tl.constexpr, WEIGHTED: tl.constexpr):
    """A program's sums, at the pointer ``at``. own_row: the label less the number of its row. WEIGHTED: pixels have
    weights; without them T is the histogram."""
    CLASSES: tl.constexpr = row.shape[0]
    N: tl.constexpr = triton.next_power_of_2(len(r.exps))
    p_label = own_probability(r)
    own = p_label * r.weight
    hits, plain, squared, labelled = (), (), (), ()
    for i in tl.static_range(len(r.exps)):
        is_label = own_row == i * CLASSES
        p = probabilities(r.exps[i], r)
        weighted = p * r.weight[None, :]
        hits += (tl.where(is_label, own[None, :], 0.0),)
        if WEIGHTED:
            labelled += (tl.where(is_label, r.weight[None, :], 0.0),)
        if REGIONS[0]:
            plain += (tl.where(is_label, own[None, :], weighted),)
        if REGIONS[1]:
            squared += (tl.where(is_label, (own * p_label)[None, :], weighted * p),)
    number = tl.arange(0, N * CLASSES)
    classes = number // CLASSES * CLASSES + tl.reshape(tl.broadcast_to(row[None, :], [N, CLASSES]), [N * CLASSES])
    store_rows(at, hits, classes, L, N)
    store_rows(at + L, plain, classes, L, N)
    store_rows(at + 2 * L, squared, classes, L, N)
    store_rows(at + 3 * L, labelled, classes, L, N)


@triton.jit
def store_rows(at, blocks, classes, L: tl.constexpr, N: tl.constexpr):
    """The sums over pixels of blocks of classes, zeros where there is none. All at once, so that lanes meet once."""
    if len(blocks) == 0:
        tl.store(at + classes, 0.0, mask=classes < L)
    else:
        tl.store(at + classes, tl.sum(stacked(blocks, N), 1), mask=classes < L)


@triton.jit
def slope(derivatives, p, classes, L: tl.constexpr, REGIONS: tl.constexpr):
    """By a probability that is not the label's, [CLASSES, PIXELS]."""
    made = tl.zeros_like(p)
    if REGIONS[0]:
        made += tl.load(derivatives + L + classes, mask=classes < L, other=0.0).to(p.dtype)[:, None]
    if REGIONS[1]:
        made += 2 * p * tl.load(derivatives + 2 * L + classes, mask=classes < L, other=0.0).to(p.dtype)[:, None]
    return made


@triton.jit
def label_slope(derivatives, p, y, is_class, L: tl.constexpr, REGIONS: tl.constexpr):
    """By the label's probability p, [PIXELS]."""
    made = tl.load(derivatives + y, mask=is_class, other=0.0).to(p.dtype)
    if REGIONS[0]:
        made += tl.load(derivatives + L + y, mask=is_class, other=0.0).to(made.dtype)
    if REGIONS[1]:
        made += 2 * p * tl.load(derivatives + 2 * L + y, mask=is_class, other=0.0).to(made.dtype)
    return made


class RegionTerms(NamedTuple):
    """What the gradient of a column needs of its region losses. derivatives: pointer to the image's. mean: see above.
    label: what is added at the label. [PIXELS]"""

    region: Any
    derivatives: Any
    mean: Any
    label: Any


@triton.jit
def region_terms(derivatives, r, y, is_class, row, L: tl.constexpr, REGIONS: tl.constexpr):
    CLASSES: tl.constexpr = row.shape[0]
    total = tl.zeros_like(r.exps[0])
    for i in tl.static_range(len(r.exps)):
        p = probabilities(r.exps[i], r)
        total += p * slope(derivatives, p, i * CLASSES + row, L, REGIONS)
    total = tl.sum(total, 0)
    own = own_probability(r)
    by_label = label_slope(derivatives, own, y, is_class, L, REGIONS)
    missed = tl.where(r.kept, r.others * r.inverse, 0.0)
    return RegionTerms(r, derivatives, total + own * by_label, r.weight * own * (by_label * missed - total))


@triton.jit
def region_gradient(t, i, classes, L: tl.constexpr, REGIONS: tl.constexpr):
    """Of the i-th block of classes but the label, [CLASSES, PIXELS]."""
    p = probabilities(t.region.exps[i], t.region)
    return t.region.weight[None, :] * p * (slope(t.derivatives, p, classes, L, REGIONS) - t.mean[None, :])


class SavedTerms(NamedTuple):
    """Of a resized column, as ``resized_loss`` has saved it: p = 2 ** (factor * z - shift) * inverse. mean, label: as
    of ``RegionTerms``. [PIXELS]"""

    factor: Any
    shift: Any
    inverse: Any
    weight: Any
    mean: Any
    label: Any


@triton.jit
def saved_terms(at, step, kept):
    """at: where the third row of the pixels is, with rows a ``step`` apart. Nothing of those that are not ``kept``."""
    at += 3 * step
    return SavedTerms(
        tl.load(at, mask=kept, other=0.0), tl.load(at + step, mask=kept, other=0.0),
        tl.load(at + 2 * step, mask=kept, other=0.0), tl.load(at + 3 * step, mask=kept, other=0.0),
        tl.load(at + 4 * step, mask=kept, other=0.0), tl.load(at + 5 * step, mask=kept, other=0.0),
    )  # fmt: skip


@triton.jit
def saved_gradient(z, t, is_label, derivatives, classes, tables, L: tl.constexpr, REGIONS: tl.constexpr):
    """Of a block of classes, the label's too. z: logits, or where they are as they came their exponentials. What is
    added up is multiplied by a scale of each class afterwards, so that this is divided by it."""
    if not REGIONS[2]:
        z = tl.exp2(tl.fma(z, tl.broadcast_to(t.factor[None, :], z.shape), tl.broadcast_to(-t.shift[None, :], z.shape)))
    kept = t.inverse != 0
    p = tl.where(kept[None, :], z * t.inverse[None, :], 0.0)
    g = t.weight[None, :] * p * (slope(derivatives, p, classes, L, REGIONS) - t.mean[None, :])
    g = tl.where(is_label, t.label[None, :], g)
    if tables.scale is not None:
        g /= entries(tables, tables.scale, classes, 1.0, L, g.dtype)
    return g

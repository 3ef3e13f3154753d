"""Strided access without copies: a tensor as a pointer and its strides over a common pixel grid."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from ...resize import Resize


class Strides(NamedTuple):
    """Of a (B, [L,] *spatial) tensor over a pixel grid, in elements; ``label`` is 0 without L."""

    image: int
    label: int
    d0: int
    d1: int
    d2: int


def strides_over_pixels(
    *tensors: Tensor | None, rank: int, merge: bool = True
) -> tuple[tuple[int, int, int], list[Strides | None]]:
    """The pixel grid that tensors share, their last ``rank`` dimensions, and the strides of each over it.

    Neighbouring spatial dimensions are merged (if ``merge``) wherever every tensor allows it, and the grid is
    padded by ones at the end. Triton specialises on an argument equal to 1, so that for the usual
    layouts (NCHW, channels_last) the whole index arithmetic folds away.
    """
    given = [t for t in tensors if t is not None]
    sizes = list(given[0].shape[-rank:])
    strides = [list(t.stride()[-rank:]) for t in given]
    for d in reversed(range(rank - 1)):
        if merge and all(s[d] == s[d + 1] * sizes[d + 1] or sizes[d] == 1 for s in strides):
            sizes[d : d + 2] = [sizes[d] * sizes[d + 1]]
            for s in strides:
                del s[d]
    n0, n1, n2 = sizes + [1] * (3 - len(sizes))
    padded = iter([*s, 0, 0][:3] for s in strides)
    made = [
        None if t is None else Strides(t.stride(0), t.stride(1) * (t.ndim == rank + 2), *next(padded)) for t in tensors
    ]
    return (n0, n1, n2), made


# What 32-bit numbers and offsets must be less than.
LIMIT = 1 << 31


def index_dtype(tensors: Iterable[Tensor | None], past: int, resize: Resize | None = None) -> tl.dtype:
    """Of the numbers of pixels, and of offsets inside an image of any of the tensors, (B, [L,] *spatial).

    past: so many classes or pixels after the last may be named, though not read. resize: what the numbers of a resize
    come to is less than four times a source length times a size.
    """
    given = [t for t in tensors if t is not None]
    reach = [sum(n * d for n, d in zip(t.shape[1:], t.stride()[1:], strict=True)) + past * t.stride(1) for t in given]
    reach += [math.prod(t.shape[2:]) + past for t in given]
    reach += [4 * (axis.source + 2) * (axis.size + 2) for axis in resize or ()]
    return tl.int32 if max(reach) < LIMIT else tl.int64


@triton.jit
def pixels_at(pointer, strides, shape, b, pixel):
    """[PIXELS] pointers to pixels of image b. Their offsets inside the image have the dtype of ``pixel``."""
    d0 = pixel // (shape[1] * shape[2])
    d1 = pixel // shape[2] % shape[1]
    return pointer + b * strides.image + (d0 * strides.d0 + d1 * strides.d1 + pixel % shape[2] * strides.d2)


@triton.jit
def pixel_at(pointer, strides, b, row, column):
    """Pointers to pixels of image b, whose offsets have the dtype of ``column``."""
    return pointer + b * strides.image + (row * strides.d0 + column * strides.d1)


@triton.jit
def tile(
    shape, PIXELS: tl.constexpr, VECTOR: tl.constexpr = None, INDEX: tl.constexpr = tl.int64, EVEN: tl.constexpr = False
):
    """This program's image and pixels: (b int64, pixel [PIXELS] INDEX, inside [PIXELS]).

    One image a tile: a tile that straddled two images would lose the wide loads. VECTOR: at most so many
    neighbours go to one thread. EVEN: no program reaches past the end, and nothing is asked about it.
    """
    pixels = shape[0] * shape[1] * shape[2]
    tiles = tl.cdiv(pixels, PIXELS)
    b = (tl.program_id(0) // tiles).to(tl.int64)
    pixel = (tl.program_id(0) % tiles).to(INDEX) * PIXELS + tl.arange(0, PIXELS)
    if VECTOR is not None:
        pixel = tl.max_contiguous(pixel, VECTOR)
    if EVEN:
        inside = tl.full([PIXELS], 1, tl.int1)
    else:
        inside = pixel < pixels
    return b, pixel, inside


@triton.jit
def load_flat(at, known):
    """[CLASSES, PIXELS] loads, -inf where not ``known``, in one dimension: of two, without runs of pixels in
    memory, Triton may choose the classes and lay a column across threads."""
    mask = tl.reshape(tl.broadcast_to(known, at.shape), [at.numel])
    z = tl.load(tl.reshape(at, [at.numel]), mask=mask, other=-float("inf"))
    return tl.reshape(z, at.shape)


@triton.jit
def read(at, classes, inside, L: tl.constexpr, COMPUTE: tl.constexpr, VECTOR: tl.constexpr):
    """Logits of a block of classes: [CLASSES, PIXELS] in COMPUTE, -inf past the last class."""
    return loaded(load(at, classes, inside, L, VECTOR), classes, L, COMPUTE)


@triton.jit
def load(at, classes, inside, L: tl.constexpr, VECTOR: tl.constexpr):
    """As they are in memory. Outside the image a column is anything: nothing of it is stored or added up."""
    known = (classes < L)[:, None] & inside[None, :]
    if VECTOR == 1:
        return load_flat(at, known)
    else:
        return tl.load(at, mask=known)


@triton.jit
def loaded(z, classes, L: tl.constexpr, COMPUTE: tl.constexpr):
    return tl.where((classes < L)[:, None], z.to(COMPUTE), -float("inf"))

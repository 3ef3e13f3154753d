"""Device steps of ``pat_triton.resize``: where an output lies between the nodes, and a column read there."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from .views import pixels_at


@triton.jit
def wide(number):
    return tl.full([], number, tl.int64)


@triton.jit
def begin(axis, cell):
    """The first output in an int64 cell or beyond."""
    ahead = tl.maximum(cell * axis.whole - axis.first + axis.step - 1, 0)
    return tl.minimum(ahead // axis.step, axis.size)


@triton.jit
def share(axis, cell, output, COMPUTE: tl.constexpr):
    """Of the second node of its cell in an output, both int64; beyond the ends, of the only one that there is."""
    rest = (output * axis.step + axis.first - cell * axis.whole).to(COMPUTE) / wide(axis.whole).to(COMPUTE)
    return tl.where(cell < 0, 1.0, tl.where(cell >= axis.source - 1, 0.0, rest))


@triton.jit
def node(axis, cell):
    """A cell's first node, inside the source."""
    return tl.minimum(tl.maximum(cell, 0), axis.source - 1)


@triton.jit
def lerp(z0, z1, share):
    """-inf at the first node stays -inf towards any second: -inf - -inf would be nan."""
    return z0 + share * tl.where(z0 == -float("inf"), 0.0, z1 - z0)


class Spot(NamedTuple):
    """Where pixels lie in the source: pointers to their four nodes, [CLASSES, PIXELS] each, and the second ones'
    shares, [PIXELS]."""

    nw: Any
    ne: Any
    sw: Any
    se: Any
    y: Any
    x: Any


@triton.jit
def place(logits, strides, resize, shape, b, pixel, row, COMPUTE: tl.constexpr, INDEX: tl.constexpr):
    """Where to read the first block of the columns of ``pixel``: pointers, or a Spot where they are resized."""
    classes = row.to(INDEX)[:, None] * strides.label
    if resize is None:
        return pixels_at(logits, strides, shape, b, pixel)[None, :] + classes
    else:
        rows, columns = resize.rows, resize.columns
        row, column = pixel // columns.size, pixel % columns.size
        # Never below -1, and // rounds towards 0.
        i = (row * rows.step + rows.first + rows.whole) // rows.whole - 1
        j = (column * columns.step + columns.first + columns.whole) // columns.whole - 1
        image = logits + b * strides.image
        north, south = node(rows, i) * strides.d0, node(rows, i + 1) * strides.d0
        west, east = node(columns, j) * strides.d1, node(columns, j + 1) * strides.d1
        return Spot(
            image + ((north + west)[None, :] + classes), image + ((north + east)[None, :] + classes),
            image + ((south + west)[None, :] + classes), image + ((south + east)[None, :] + classes),
            share(rows, i, row, COMPUTE), share(columns, j, column, COMPUTE),
        )  # fmt: skip


@triton.jit
def load_flat(at, known):
    """[CLASSES, PIXELS] loads, -inf where not ``known``, in one dimension: of two, without runs of pixels in
    memory, Triton may choose the classes and lay a column across threads."""
    mask = tl.reshape(tl.broadcast_to(known, at.shape), [at.numel])
    z = tl.load(tl.reshape(at, [at.numel]), mask=mask, other=-float("inf"))
    return tl.reshape(z, at.shape)


@triton.jit
def following(spot, resize, step):
    """Where to read the next block of classes, ``step`` elements on. One addition an address: from the first block on
    each would take two."""
    if resize is None:
        return spot + step
    else:
        return Spot(spot.nw + step, spot.ne + step, spot.sw + step, spot.se + step, spot.y, spot.x)


@triton.jit
def read(spot, resize, classes, inside, L: tl.constexpr, COMPUTE: tl.constexpr, VECTOR: tl.constexpr):
    """Logits of a block of classes: [CLASSES, PIXELS] in COMPUTE, -inf past the last class."""
    known = (classes < L)[:, None] & inside[None, :]
    if resize is None:
        # Outside the image a column is anything: nothing of it is stored or added up.
        if VECTOR == 1:
            z = load_flat(spot, known).to(COMPUTE)
        else:
            z = tl.load(spot, mask=known).to(COMPUTE)
        return tl.where((classes < L)[:, None], z, -float("inf"))
    else:
        nw = load_flat(spot.nw, known).to(COMPUTE)
        ne = load_flat(spot.ne, known).to(COMPUTE)
        sw = load_flat(spot.sw, known).to(COMPUTE)
        se = load_flat(spot.se, known).to(COMPUTE)
        x = spot.x[None, :]
        return lerp(lerp(nw, ne, x), lerp(sw, se, x), spot.y[None, :])

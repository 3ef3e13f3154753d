"""Device steps of ``pat_triton.resize``: where an output lies between the nodes, and a column read there."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from ...resize import Axis, Resize
from .views import load_flat

# Ratios of such numbers are compiled in: divisions become multiplications.
SIMPLE = 64


def compiled_in(resize: Resize) -> Resize:
    """As the kernels take it."""
    return Resize(*(_compiled_in(axis) for axis in resize))


def _compiled_in(axis: Axis) -> Axis:
    numbers = axis.step, axis.first, axis.whole
    if max(numbers) > SIMPLE:
        return axis
    return Axis(axis.source, axis.size, *(tl.constexpr(n) for n in numbers))


@triton.jit
def to_int64(number):
    return tl.full([], number, tl.int64)


@triton.jit
def begin(axis, interval):
    """The first output in an interval or beyond."""
    ahead = tl.maximum(interval * axis.whole - axis.first + axis.step - 1, 0)
    return tl.minimum(ahead // axis.step, axis.size)


@triton.jit
def lerp_weight(axis, interval, output, COMPUTE: tl.constexpr):
    """Of the second node of its interval in an output; beyond the ends, where there is one node only, all."""
    whole = to_int64(axis.whole).to(COMPUTE)
    rest = (output * axis.step + axis.first - interval * axis.whole).to(COMPUTE) * (1 / whole)
    return tl.where(interval < 0, 1.0, tl.where(interval >= axis.source - 1, 0.0, rest))


@triton.jit
def node(axis, interval):
    """An interval's first node, inside the source."""
    return tl.minimum(tl.maximum(interval, 0), axis.source - 1)


# The weight of a node that an output has nothing of, which no number feels: 0 times -inf would be nan.
LEAST = tl.constexpr(2.0**-126)


@triton.jit
def lerp(z0, z1, weight):
    """Between two nodes, by the weight of the second. By two products, so that -inf at a node stays -inf, where a
    difference would be nan."""
    far = tl.broadcast_to(tl.maximum(weight, LEAST), z1.shape)
    return tl.fma(z1, far, z0 * tl.maximum(1 - weight, LEAST))


class BilinearCoords(NamedTuple):
    """Where output columns lie between two rows of nodes: pointers to their four nodes, [CLASSES, LANES] each, and the
    east ones' weight, [LANES]."""

    nw: Any
    ne: Any
    sw: Any
    se: Any
    x: Any


@triton.jit
def rows_between(resize, LANES: tl.constexpr, ROWS: tl.constexpr, INDEX: tl.constexpr):
    """What a program has: (b int64, i, y, x [LANES]), ROWS output rows from y on between nodes i and i + 1. Programs
    are counted as by ``programs_between``."""
    rows, columns = resize.rows, resize.columns
    across, groups = tl.cdiv(columns.size, LANES), tl.cdiv(tl.cdiv(rows.whole, rows.step), ROWS)
    program = tl.program_id(0)
    x = (program % across).to(INDEX) * LANES + tl.arange(0, LANES)
    i = (program // (across * groups) % (rows.source + 1)).to(INDEX) - 1
    y = begin(rows, i) + program // across % groups * ROWS
    return (program // (across * groups * (rows.source + 1))).to(tl.int64), i, y, x


def programs_between(resize: Resize, images: int, lanes: int, rows: int) -> int:
    """Of LANES output columns and ROWS output rows between two rows of nodes."""
    groups = triton.cdiv(triton.cdiv(resize.rows.whole, resize.rows.step), rows)
    return images * (resize.rows.source + 1) * groups * triton.cdiv(resize.columns.size, lanes)


@triton.jit
def bilinear_coords(image, strides, resize, i, x, row, COMPUTE: tl.constexpr, INDEX: tl.constexpr):
    """Where to read the first block of classes."""
    rows, columns = resize.rows, resize.columns
    classes = row.to(INDEX)[:, None] * strides.label
    # Never below -1, and // rounds towards 0. Columns past the end are like the last.
    x = tl.minimum(x, columns.size - 1)
    j = (x * columns.step + columns.first + columns.whole) // columns.whole - 1
    west, east = node(columns, j) * strides.d1, node(columns, j + 1) * strides.d1
    north, south = image + node(rows, i) * strides.d0, image + node(rows, i + 1) * strides.d0
    return BilinearCoords(
        north + (west[None, :] + classes), north + (east[None, :] + classes),
        south + (west[None, :] + classes), south + (east[None, :] + classes), lerp_weight(columns, j, x, COMPUTE),
    )  # fmt: skip


@triton.jit
def read_between(coords, classes, L: tl.constexpr, COMPUTE: tl.constexpr):
    """A block of classes in the rows of nodes above and below: two of [CLASSES, LANES], -inf past the last class."""
    known, x = (classes < L)[:, None], coords.x[None, :]
    nw, ne = load_flat(coords.nw, known).to(COMPUTE), load_flat(coords.ne, known).to(COMPUTE)
    sw, se = load_flat(coords.sw, known).to(COMPUTE), load_flat(coords.se, known).to(COMPUTE)
    return lerp(nw, ne, x), lerp(sw, se, x)


@triton.jit
def next_block(coords, step):
    """One addition an address: from the first block on each would take two."""
    return BilinearCoords(coords.nw + step, coords.ne + step, coords.sw + step, coords.se + step, coords.x)

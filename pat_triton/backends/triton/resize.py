"""Device steps of ``pat_triton.resize``: where an output lies between the nodes, and a column read there."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from ...resize import Axis, Resize
from .views import load_flat

# Ratios of such numbers are compiled in: divisions become multiplications.
SIMPLE = 64


def compiled_in(how: Resize) -> Resize:
    """As the kernels take it."""
    return Resize(*(_compiled_in(axis) for axis in how))


def _compiled_in(axis: Axis) -> Axis:
    numbers = axis.step, axis.first, axis.whole
    if max(numbers) > SIMPLE:
        return axis
    return Axis(axis.source, axis.size, *(tl.constexpr(n) for n in numbers))


@triton.jit
def wide(number):
    return tl.full([], number, tl.int64)


@triton.jit
def begin(axis, cell):
    """The first output in a cell or beyond."""
    ahead = tl.maximum(cell * axis.whole - axis.first + axis.step - 1, 0)
    return tl.minimum(ahead // axis.step, axis.size)


@triton.jit
def share(axis, cell, output, COMPUTE: tl.constexpr):
    """Of the second node of its cell in an output; beyond the ends, of the only one that there is."""
    rest = (output * axis.step + axis.first - cell * axis.whole).to(COMPUTE) * (1 / wide(axis.whole).to(COMPUTE))
    return tl.where(cell < 0, 1.0, tl.where(cell >= axis.source - 1, 0.0, rest))


@triton.jit
def node(axis, cell):
    """A cell's first node, inside the source."""
    return tl.minimum(tl.maximum(cell, 0), axis.source - 1)


# A node of which an output has no share has this one, which no number feels: 0 times -inf would be nan.
LEAST = tl.constexpr(2.0**-126)


@triton.jit
def lerp(z0, z1, share):
    """Between two nodes. By two products, so that -inf at a node stays -inf: a difference of two would be nan."""
    far = tl.broadcast_to(tl.maximum(share, LEAST), z1.shape)
    return tl.fma(z1, far, z0 * tl.maximum(1 - share, LEAST))


class Between(NamedTuple):
    """Where output columns lie between two rows of nodes: pointers to their four nodes, [CLASSES, LANES] each, and the
    east ones' share, [LANES]."""

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


def programs_between(how: Resize, images: int, lanes: int, rows: int) -> int:
    """Of LANES output columns and ROWS output rows between two rows of nodes."""
    groups = triton.cdiv(triton.cdiv(how.rows.whole, how.rows.step), rows)
    return images * (how.rows.source + 1) * groups * triton.cdiv(how.columns.size, lanes)


@triton.jit
def place_between(image, strides, resize, i, x, row, COMPUTE: tl.constexpr, INDEX: tl.constexpr):
    """Where to read the first block of classes."""
    rows, columns = resize.rows, resize.columns
    classes = row.to(INDEX)[:, None] * strides.label
    # Never below -1, and // rounds towards 0. Columns past the end are like the last.
    x = tl.minimum(x, columns.size - 1)
    j = (x * columns.step + columns.first + columns.whole) // columns.whole - 1
    west, east = node(columns, j) * strides.d1, node(columns, j + 1) * strides.d1
    north, south = image + node(rows, i) * strides.d0, image + node(rows, i + 1) * strides.d0
    return Between(
        north + (west[None, :] + classes), north + (east[None, :] + classes),
        south + (west[None, :] + classes), south + (east[None, :] + classes), share(columns, j, x, COMPUTE),
    )  # fmt: skip


@triton.jit
def read_between(spot, classes, L: tl.constexpr, COMPUTE: tl.constexpr):
    """A block of classes in the rows of nodes above and below: two of [CLASSES, LANES], -inf past the last class."""
    known, x = (classes < L)[:, None], spot.x[None, :]
    nw, ne = load_flat(spot.nw, known).to(COMPUTE), load_flat(spot.ne, known).to(COMPUTE)
    sw, se = load_flat(spot.sw, known).to(COMPUTE), load_flat(spot.se, known).to(COMPUTE)
    return lerp(nw, ne, x), lerp(sw, se, x)


@triton.jit
def next_block(spot, step):
    """One addition an address: from the first block on each would take two."""
    return Between(spot.nw + step, spot.ne + step, spot.sw + step, spot.se + step, spot.x)

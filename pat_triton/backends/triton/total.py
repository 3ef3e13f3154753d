"""The second stage of the loss, and of the sums of region losses: what programs left added up in a fixed order."""

import triton
import triton.language as tl


@triton.jit
def total_kernel(partial, loss, first, programs, BLOCK: tl.constexpr):
    """partial: from element ``first`` on, a number for each of the programs. loss: one element."""
    places = tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], partial.dtype.element_ty)
    for start in range(0, programs, BLOCK):
        total += tl.load(partial + first + start + places, mask=start + places < programs, other=0.0)
    tl.store(loss, tl.sum(total, 0))


@triton.jit
def region_totals_kernel(
    partial, loss, totals, first, programs, each, start,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """``total_kernel`` in the first program, and in the others the sums by class of an image, COLUMNS of its WIDTH.

    partial: to its front those that each program left, WIDTH numbers, ``each`` programs an image. totals: from element
    ``start`` on [images, WIDTH].
    """
    if tl.program_id(0) == 0:
        total_kernel(partial, loss, first, programs, BLOCK)
    else:
        blocks: tl.constexpr = (WIDTH + COLUMNS - 1) // COLUMNS
        b = ((tl.program_id(0) - 1) // blocks).to(tl.int64)
        columns = (tl.program_id(0) - 1) % blocks * COLUMNS + tl.arange(0, COLUMNS)
        total = tl.zeros([ROWS, COLUMNS], partial.dtype.element_ty)
        for row in range(0, each, ROWS):
            rows = row + tl.arange(0, ROWS)
            at = partial + (b * each + rows)[:, None] * WIDTH + columns[None, :]
            total += tl.load(at, mask=(rows < each)[:, None] & (columns < WIDTH)[None, :], other=0.0)
        tl.store(totals + start + b * WIDTH + columns, tl.sum(total, 0), mask=columns < WIDTH)

"""The only tuning table: how many classes and pixels one program holds, and on how many warps."""

from typing import NamedTuple

import torch
import triton

from ...resize import Axis, Resize


class Tile(NamedTuple):
    """CLASSES: of a block of the column. VECTOR: pixels that lie side by side in a thread. OWN: the label's logit is
    read, and its gradient written, by an address of its own."""

    CLASSES: int
    PIXELS: int
    num_warps: int
    VECTOR: int
    OWN: bool = False


# Logits that a thread holds, and blocks of a column.
ELEMENTS, BLOCKS = 80, 64


def loss_tile(L: int, noisy: bool, flat: bool, wide: bool, warp: int) -> Tile:
    """The tile of the loss kernel for L classes: ``noisy`` with variation, ``flat`` where an image's pixels lie in one
    run, ``wide`` for fp64.

    A column stays in registers, and each thread that has a part of it repeats some sixty instructions a pixel for the
    whole. So it has as few threads as can hold it, and these lie in different warps: the lanes of a warp are
    neighbouring pixels, four or two of each, whole sectors of memory. A thread has one class of a block, which makes
    the number of the class a constant; with noise four, which one Philox call serves.
    """
    elements = ELEMENTS >> wide
    vector = 1 if wide or not flat else 2 if noisy or elements < 4 * L else 4
    rows = triton.next_power_of_2(triton.cdiv(L * vector, elements))
    warps = min(max(rows, 64 // warp), 8)
    each = 4 if noisy else triton.next_power_of_2(triton.cdiv(L, rows * BLOCKS))
    pixels = max(warps * warp * vector // rows, vector)
    return Tile(rows * each, pixels, warps, vector, OWN=rows > 1 and not noisy)


class UpsampleTile(NamedTuple):
    """Lanes are INTERVALS x OUTPUTS; see ``upsample``. ROWS: classes of a block of the column. maxnreg:
    registers that a thread has at most, None for as many as it likes."""

    CLASSES: int
    INTERVALS: int
    OUTPUTS: int
    SOURCE_ROWS: int
    num_warps: int
    ROWS: int = 4
    maxnreg: int | None = None


# Most classes of a program of the upsample kernel: of whole columns, of parts of longer ones, of these with noise, and
# with 128 registers a thread.
WHOLE, PART, NOISY_PART, FEW = 32, 20, 12, 20


def upsample_tile(L: int, columns: Axis, noisy: bool, wide: bool, by_row: bool, capped: bool) -> UpsampleTile:
    """The tile of the upsample kernel, which holds whole columns where CLASSES >= L; ``columns`` is their axis.

    A lane a thread, with five numbers a class in its registers: logits and gradient of the nodes above and below, and
    the output's own. Longer columns come in parts. An interval of more outputs than lanes takes several
    launches.

    by_row: a block has one class, or with noise the four that one Philox call serves, whose numbers are constants; the
    interpreter, which takes as long for a block as for a row, has the column in one. capped: where it can be said how
    many registers a thread has, 128 for few classes (not of fp64, whose times nobody has fitted), so that 16 warps are
    resident: 28 accesses to what is spilled at 19 classes, 64 with noise, most of them once a row of intervals, and 492
    to 428 us by the calibrated model. The most are 48, in parts of 150 classes with margins (303 to 222 us), and 90, in
    the backward with noise (66 to 55 us): predicted, too. Measured on an H200 is the kernel before this one: with 76
    it went from 776 to 551 us.
    """
    lanes = 128
    outputs = min(triton.next_power_of_2(columns.outputs_per_interval), lanes // 2)
    intervals = min(lanes // outputs, triton.next_power_of_2(columns.source + 1))
    part = (NOISY_PART if noisy else PART) >> wide
    whole = WHOLE >> wide
    classes = L if whole >= L else triton.cdiv(L, triton.cdiv(L, part))
    each = 4 if noisy else 1
    classes = triton.cdiv(classes, each) * each
    rows = each if by_row else max(each, triton.next_power_of_2(classes))
    cap = 128 if capped and not wide and classes <= FEW else None
    return UpsampleTile(classes, intervals, outputs, SOURCE_ROWS=16, num_warps=4, ROWS=rows, maxnreg=cap)


class BetweenTile(NamedTuple):
    """CLASSES of a block of the column; LANES output columns; ROWS output rows between the same nodes."""

    CLASSES: int
    LANES: int
    ROWS: int
    num_warps: int


def between_tile(L: int, resize: Resize, classes: int, few: bool) -> BetweenTile:
    """For kernels that only read resized logits, a lane a thread. few: so many classes at a time; the interpreter has
    more, which takes as long for a block as for a row."""
    rows = min(4, triton.next_power_of_2(resize.rows.outputs_per_interval))
    return BetweenTile(classes if few else max(4, min(triton.next_power_of_2(L), 64)), 64, rows, num_warps=2)


# Up to this many counts a program of the confusion matrix counts for itself first.
CONFUSION_BINS = 4096
# Of the sums by class: classes and lanes of a block, and pixels of a program, whose counts fit into 15 bits.
CLASS_SUMS_CLASSES, CLASS_SUMS_LANES, CLASS_SUMS_PIXELS = 32, 128, 4096


class HistogramTile(NamedTuple):
    """BINS: classes counted at a time. LANES: of a program, 32 labels each."""

    BINS: int
    LANES: int
    num_warps: int


# Fewer labels are counted label by label: about one for each thread of a large GPU.
HISTOGRAM_LABELS = 1 << 18


def histogram_tile(L: int, labels: int, flat: bool, warp: int) -> HistogramTile | None:
    """The tile of the histogram kernel; ``flat`` where an image's pixels are equally far apart.

    None where labels are better counted one by one: where they are few, where most of the work is to find them, and
    where a byte cannot tell apart the classes, wrong and ignored labels.

    One warp: several would add up their counts in shared memory. More words a thread take more registers, fewer take
    more sums over a warp.
    """
    if L > 254 or labels < HISTOGRAM_LABELS or not flat:
        return None
    return HistogramTile(BINS=min(32, triton.next_power_of_2(L + 1)), LANES=4 * warp, num_warps=1)


# Labels counted one by one by a program, partial sums added at a time, those of a block of the sums of region losses,
# and elements rescaled at a time.
HISTOGRAM_PIXELS = 4096
TOTAL_PARTIALS = 8192
MOST_THREADS = 1024  # of a program
TOTAL_ROWS, TOTAL_COLUMNS = 1024, 16
RESCALE_ELEMENTS = 2048


def rescale_programs(device: torch.device) -> int:
    """Enough to fill the GPU, few enough to end at once where there is nothing to do."""
    if device.type != "cuda":
        return 512
    return 4 * torch.cuda.get_device_properties(device).multi_processor_count

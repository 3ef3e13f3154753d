"""The only tuning table: how many classes and pixels one program holds, and on how many warps."""

from typing import NamedTuple

import torch
import triton

from ..resize import Axis


class Tile(NamedTuple):
    CLASSES: int
    PIXELS: int
    num_warps: int


# Up to this many classes the whole column stays in registers and each logit is read once; beyond,
# the column is streamed in blocks of STREAMED classes and read twice, the second time from cache.
RESIDENT = 1024
STREAMED = 32


def loss_tile(L: int, plain: bool, flat: bool, wide: bool, warp: int) -> Tile:
    """The tile of the loss kernel for L classes: ``plain`` without adjustment, ``flat`` where an
    image's pixels lie in one run, ``wide`` for fp64.

    Chosen from machine code (Triton 3.9): the most pixels a thread without spills on sm_80, sm_90
    and gfx942, and 128-bit accesses in fp32 and bf16.
    """
    classes = max(4, triton.next_power_of_2(L))  # one Philox call serves four classes
    if not flat:
        # channels_last, or a crop: no 16-byte runs of pixels, and Triton may lay threads along the
        # classes, so that a column spans a warp or more. 16 elements a thread.
        classes = min(classes, RESIDENT)
        tile = Tile(classes, 2048 // classes, 4)
    elif L > RESIDENT:
        tile = Tile(STREAMED, 128, 4)
    elif classes > 32:
        tile = Tile(classes, 8192 // classes, 8)
    elif warp == 64:
        tile = Tile(classes, 128, 4)
    else:
        # With two warps every column lies in one thread: nothing is exchanged, and the rows past L
        # cost nothing. The tables of an adjustment, or fp64, leave too few registers for that.
        tile = Tile(classes, 256, 2 if plain and not wide else 4)
    return tile._replace(PIXELS=tile.PIXELS // 2) if wide else tile


class UpsampleTile(NamedTuple):
    """Lanes are CELLS x CROWD; see ``upsample``."""

    CLASSES: int
    CELLS: int
    CROWD: int
    BANDS: int
    num_warps: int


def upsample_tile(L: int, columns: Axis, plain: bool, wide: bool) -> UpsampleTile:
    """The tile of the upsample kernel, which holds whole columns where CLASSES >= L; ``columns`` is their axis.

    A lane a thread, with four node rows and a softmax of CLASSES in its registers: 32 in fp32, 16 in
    fp64. Longer columns come in blocks of half as many, or a quarter with the tables of an adjustment.
    A cell of more than CROWD outputs takes several launches.
    """
    lanes = 128
    crowd = min(triton.next_power_of_2(columns.crowd), lanes // 2)
    most = 16 if wide else 32
    classes = max(4, triton.next_power_of_2(L))
    if classes > most:
        classes = most // (2 if plain else 4)
    cells = min(lanes // crowd, triton.next_power_of_2(columns.source + 1))
    return UpsampleTile(classes, cells, crowd, BANDS=8, num_warps=4)


def warp_size(device: torch.device) -> int:
    """Lanes of a warp; 32 where there is no GPU (the interpreter)."""
    if device.type != "cuda":
        return 32
    return torch.cuda.get_device_properties(device).warp_size


# Up to this many counts a program of the confusion matrix counts for itself first.
CONFUSION_BINS = 4096
# Classes and pixels of a block of the tally.
TALLY_CLASSES, TALLY_PIXELS = 8, 1024

# Labels counted by one program of the histogram, and elements rescaled by one program.
HISTOGRAM_PIXELS = 4096
RESCALE_ELEMENTS = 2048

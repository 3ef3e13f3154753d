"""The only tuning table: how many classes and pixels one program holds, and on how many warps."""

from typing import NamedTuple

import torch
import triton


class Tile(NamedTuple):
    CLASSES: int
    PIXELS: int
    num_warps: int


# Up to this many classes the whole column stays in registers and each logit is read once; beyond,
# the column is streamed in blocks of STREAMED classes and read twice, the second time from cache.
RESIDENT = 1024
STREAMED = 64


def loss_tile(L: int, wide: bool, warp: int) -> Tile:
    """The tile of the loss kernel for L classes, ``wide`` compute (fp64) and the warp size."""
    classes = max(4, triton.next_power_of_2(L) if L <= RESIDENT else STREAMED)
    if classes <= 32:
        # A warp covers the tile's width: every column lies in one thread, nothing is exchanged
        # and the rows past L cost nothing. With 64 lanes the same tile runs out of scalar
        # registers, so two warps share a column there.
        return Tile(classes, 128 if wide else 256, 2 if warp == 32 else 4)
    # 8192 elements over 256 threads, 16384 over 512.
    pixels = max(16, 8192 // classes)
    return Tile(classes, pixels // 2 if wide else pixels, 4 if classes == 64 else 8 if classes < 512 else 16)


def warp_size(device: torch.device) -> int:
    """Lanes of a warp; 32 where there is no GPU (the interpreter)."""
    if device.type != "cuda":
        return 32
    return torch.cuda.get_device_properties(device).warp_size


# Labels counted by one program of the histogram, and elements rescaled by one program.
HISTOGRAM_PIXELS = 4096
RESCALE_ELEMENTS = 2048

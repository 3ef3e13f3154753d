"""The sizes that kernels are bounded at, what a launch has to move, and the GPU that times are predicted for."""

import dataclasses
from collections.abc import Mapping

# Cityscapes' images, and the classes of the usual data sets.
IMAGES, HEIGHT, WIDTH = 8, 1024, 2048
RATIO = 4  # of the target's height and width to those of the logits that most heads predict
# Two, Cityscapes, Pascal VOC, NYUv2, ADE20K, COCO-Stuff, and the full ADE20K's.
CLASSES = (2, 19, 21, 40, 150, 171, 847)
DTYPES = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32", "fp64": "float64"}


@dataclasses.dataclass(frozen=True)
class Gpu:
    """bandwidth: bytes a second, read and written, of a copy; nominal: those of the data sheet. schedulers: of a
    multiprocessor, each of which starts an instruction of a warp in a cycle at best. clock: cycles a second,
    under load."""

    name: str
    target: str
    bandwidth: float
    nominal: float
    multiprocessors: int
    schedulers: int
    clock: float


# Bandwidth and clock as measured, on 2026-11-26.
H200 = Gpu("H200", "sm_90", bandwidth=4.13e12, nominal=4.8e12, multiprocessors=132, schedulers=4, clock=1.97e9)


@dataclasses.dataclass(frozen=True)
class Bytes:
    """A pixel of the target, of one launch. again: logits read once more, from cache. vectors: what else
    has a number a pixel."""

    logits: float
    gradient: float
    labels: float
    vectors: float = 0.0
    again: float = 0.0

    @property
    def total(self) -> float:
        return self.logits + self.gradient + self.labels + self.vectors


def floor(plan: str, column: float, label: int) -> Bytes:
    """Logits and gradient once, ``column`` bytes a pixel of the target each, and ``label`` bytes."""
    return Bytes(column, 0.0 if plan == "forward" else column, label)


def model(least: Bytes, tile: Mapping[str, int]) -> Bytes:
    """What the kernels' docstrings say: the loss kernel moves the floor; the upsample kernel reads around its
    nodes, each lane for itself."""
    if "SOURCE_ROWS" not in tile:
        return least
    rows, columns = tile["SOURCE_ROWS"], tile["INTERVALS"] - 1
    logits = least.logits * (rows + 2) / rows * (columns + 2) / columns
    asked = least.logits * (rows + 2) / rows * 2 * tile["INTERVALS"] * tile["OUTPUTS"] / columns
    labels = least.labels * (rows + 1) / rows * (columns + 1) / columns
    return dataclasses.replace(least, logits=logits, labels=labels, again=asked - logits)

"""What a launch has to move, and how long an H200 would take for it: a prediction, nothing here is measured."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Gpu:
    """bandwidth: bytes a second that a copy is assumed to reach; nominal: those of the data sheet.
    issue: warp instructions that a multiprocessor starts in a cycle, at best. clock: cycles a second."""

    name: str
    target: str
    bandwidth: float
    nominal: float
    multiprocessors: int
    issue: int
    clock: float

    def seconds(self, bytes_moved: float, warp_instructions: float) -> tuple[float, float]:
        """By bytes and by instructions, each as if alone: pipes slower than issue (exp, fp64) are not modelled."""
        return bytes_moved / self.bandwidth, warp_instructions / (self.multiprocessors * self.issue * self.clock)


H200 = Gpu("H200", "sm_90", bandwidth=4.0e12, nominal=4.8e12, multiprocessors=132, issue=4, clock=1.755e9)


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
    if "BANDS" not in tile:
        return least
    rows, columns = tile["BANDS"], tile["CELLS"] - 1
    logits = least.logits * (rows + 2) / rows * (columns + 2) / columns
    asked = least.logits * (rows + 2) / rows * 2 * tile["CELLS"] * tile["CROWD"] / columns
    labels = least.labels * (rows + 1) / rows * (columns + 1) / columns
    return dataclasses.replace(least, logits=logits, labels=labels, again=asked - logits)

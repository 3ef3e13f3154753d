"""Of which kernels which tiles are timed: the table's, and what may stand for its numbers."""

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ...captions import size
from ..shapes import Shape

MOST_CHANGES = 2  # of a tile's numbers at once
REGISTERS = (0, 128, 168)  # most of a thread; 0: the compiler's choice


@dataclass(frozen=True)
class Swept:
    """kernel: whose tile varies, ``loss`` or ``upsample``."""

    name: str
    loss: str
    shape: Shape
    source: tuple[int, int]
    dtype: str
    kernel: str

    def __str__(self) -> str:
        return caption(asdict(self))


CITY, ADE = (8, 19, 1024, 2048), (16, 150, 512, 512)
CASES = tuple(
    Swept(f"{name}{dtype}", loss, shape, source, dtype, kernel)
    for dtype in ("bf16", "fp32")
    for name, loss, shape, source, kernel in (
        ("up19", "PATLoss", CITY, (256, 512), "upsample"),
        ("up150", "PATLoss", ADE, (128, 128), "upsample"),
        ("up150L", "PATLoss", ADE, (128, 128), "loss"),
        ("d150", "PATLoss", ADE, ADE[2:], "loss"),
        ("ldam150", "LDAMLoss", ADE, ADE[2:], "loss"),
        ("ldam19", "LDAMLoss", CITY, CITY[2:], "loss"),
        ("blv19", "BLVLoss", CITY, CITY[2:], "loss"),
        ("d19", "PATLoss", CITY, CITY[2:], "loss"),
    )
)
# What may stand for a number of a tile: half and twice of it, within these; of classes smaller parts, too.
BOUNDS = {"CLASSES": (4, 1024), "PIXELS": (16, 1024), "num_warps": (1, 16), "VECTOR": (2, 4), "INTERVALS": (4, 128),
          "SOURCE_ROWS": (2, 32)}  # fmt: skip

Tile = dict[str, int]


def candidates(default: Tile, classes: int) -> Iterator[Tile]:
    """The table's tile, then those that differ by one number, then by more."""
    values = {}
    for name, value in default.items():
        if name == "maxnreg":
            values[name] = dict.fromkeys((value, *REGISTERS))
        elif name in BOUNDS:
            low, high = BOUNDS[name]
            near: tuple[int, ...] = (value, value // 2, value * 2)
            if name == "CLASSES":
                near, high = (*near, value // 4, value // 8), 2 * (classes - 1)
            values[name] = dict.fromkeys((value, *(n for n in near if low <= n <= high)))
        else:
            values[name] = {value: None}
    made = [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]
    changes = [sum(tile[name] != default[name] for name in default) for tile in made]
    for most in range(MOST_CHANGES + 1):
        yield from (tile for tile, changed in zip(made, changes, strict=True) if changed == most)


def caption(case: dict[str, Any]) -> str:
    """A case, or a row of one."""
    where = f"{size(case['shape'], case['source'])}, {case['dtype']}"
    return f"{case['name']}: {case['loss']}, {where}, tile of the {case['kernel']} kernel"

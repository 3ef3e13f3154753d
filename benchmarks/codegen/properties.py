"""The properties of one compiled launch: what it needs of a GPU, what it moves, and how near that is to the least."""

import dataclasses
from typing import Any

from torch import Tensor

from . import bounds, kernel_time
from .bounds import H200, Bytes
from .machine_code import Code
from .moved import Moved
from .targets import TARGETS

# The kernels' arguments that grow with the pixels; what arrives in backward may be a scalar.
KINDS = {"logits": "logits", "gradient": "gradient", "target": "labels"} | dict.fromkeys(
    ("grad_output", "loss_map", "prediction", "saved"), "vectors"
)


def plan(code: Code) -> str | None:
    """one_pass, forward or backward; None of a kernel that reads no logits."""
    arguments = {m.argument for m in code.moved}
    if "logits" not in arguments:
        return None
    if "gradient" not in arguments:
        return "forward"
    return "backward" if "grad_output" in arguments else "one_pass"


def properties(code: Code, target: str, logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """Of a launch on these tensors. Bytes are those of a label's pixel, instructions those of a thread for each of
    its logits."""
    pixels, area = labels.numel(), labels[0].numel() // logits[0, 0].numel()
    moved, cached, sectors = _bytes(code, area)
    part = plan(code)
    assert part is not None
    least = bounds.floor(part, logits.shape[1] * logits.itemsize / area, labels.itemsize)
    said = bounds.model(least, code.tile)
    wide, narrowest = _widths(code)
    instructions = None
    if code.work is not None:
        threads = code.programs * code.tile["num_warps"] * TARGETS[target].lanes
        instructions = code.work.executed * threads / (pixels * logits.shape[1])
    made = {
        "kernel": code.kernel,
        "plan": part,
        "tile": code.tile,
        "registers": code.registers,
        "spills": code.spills,
        "shared_bytes": code.shared,
        "resident_warps": code.resident,
        "most_warps": TARGETS[target].warps,
        "column_threads": code.column_threads,
        "bytes": dataclasses.asdict(moved) | {"cached": cached},
        "bytes_per_pixel": moved.total,
        "model_bytes_per_pixel": said.total,
        "floor_bytes_per_pixel": least.total,
        "again_bytes_per_pixel": moved.again,
        "model_again_bytes_per_pixel": said.again,
        "sector_bytes_per_pixel": sectors,
        "wide_share": wide,
        "narrowest_bits": narrowest,
        "instructions_per_logit": instructions,
    }
    if target == H200.target:
        made |= _prediction(code, least.total * pixels)
    return {key: _rounded(value) for key, value in made.items()}


def _bytes(code: Code, area: int) -> tuple[Bytes, float, float]:
    """What goes to and from memory, what stays in cache (tables, sums, scalars), and whole sectors of the former."""
    tile = code.tile
    pixels = tile["PIXELS"] if "PIXELS" in tile else tile["SOURCE_ROWS"] * (tile["INTERVALS"] - 1) * area
    kinds = dict.fromkeys(("logits", "gradient", "labels", "vectors"), 0.0)
    cached = sectors = again = 0.0
    for m in code.moved:
        if not _grows(m) or m.distinct is None or m.sectors is None:
            cached += m.asked / pixels
            continue
        kind = KINDS[m.argument]
        kinds[kind] += m.distinct / pixels
        sectors += m.sectors / pixels
        if kind == "logits":
            again = (m.asked - m.distinct) / pixels
    return Bytes(**kinds, again=again), cached, sectors


def _grows(m: Moved) -> bool:
    """With the pixels: no table, and no scalar."""
    kind = KINDS.get(m.argument)
    return kind is not None and not (kind == "vectors" and m.distinct == m.itemsize)


def _widths(code: Code) -> tuple[float, int]:
    """Of accesses to logits and gradient, but for the label's own: the share of bytes that 128 bits a thread move, and
    the fewest bits."""
    columns = [m for m in code.moved if m.argument in ("logits", "gradient") and m.distinct is not None]
    widths = [(bits, n) for m in columns for bits, n in m.widths.items()]
    if not widths:
        raise ValueError(
            f"{code.kernel}: expected source lines in the machine code, got none; TRITON_DISABLE_LINE_INFO?"
        )
    return sum(b * n for b, n in widths if b >= 128) / sum(b * n for b, n in widths), min(b for b, _ in widths)


def _prediction(code: Code, least: float) -> dict[str, Any]:
    """least: bytes of the floor."""
    launch = kernel_time.demand(code, sum(m.sectors or 0 for m in code.moved if _grows(m)))
    if launch is None:
        return {}
    seconds = kernel_time.seconds(launch)
    return {"predicted_us": seconds * 1e6, "predicted_share_of_copy": least / H200.bandwidth / seconds}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value

"""The tuning table beside other tiles: how long a forward pass with its gradient takes with each, best first.

Every core compiles; then this process times alone. A tile whose gradient is not that of the table's is no candidate.
"""

import contextlib
import itertools
import json
import math
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ...captions import system
from ...device import Machine, add_device, pick_timed
from ...markdown import table
from ..case import example
from ..ours import options, ours
from ..timing import machine
from .candidates import CASES, MOST_CHANGES, REGISTERS, Swept, Tile, candidates, caption
from .clock import Clock, part_parser, workers

FEW = 2  # images; a kernel is compiled for any number
REPEATS, CALLS = 5, 20
TIMED = 0.02  # seconds of calls, if fewer than CALLS
SAME = 1e-2  # relative, of gradients: other sums, rounded to 16 bits
CYCLES = 2e9  # of a GPU in a second, or fewer


def main() -> int:
    parser = part_parser("speed.gpu.tiles", __doc__)
    add_device(parser)
    parser.add_argument("--cases", nargs="*", default=[case.name for case in CASES], metavar="NAME", help="default all")
    args = parser.parse_args()
    unknown = set(args.cases) - {case.name for case in CASES}
    if unknown:
        parser.error(f"--cases: got {', '.join(sorted(unknown))}, expected some of {', '.join(c.name for c in CASES)}")
    cases = [case for case in CASES if case.name in args.cases]
    if args.dry_run:
        print("\n".join(map(str, cases)))
        print(f"up to {MOST_CHANGES} numbers of a tile changed, registers {REGISTERS}; {args.seconds:.0f} s")
        return 0
    device = pick_timed(args.device)
    file: Path = args.save / f"{device.type}-tiles.jsonl"
    if file.exists():
        raise SystemExit(f"--save: {file} exists, expected a folder without it")
    sweep(cases, device, file, Clock(args.seconds))
    print(markdown(file))
    return 0


def sweep(cases: Sequence[Swept], device: torch.device, file: Path, clock: Clock) -> None:
    here = machine(device)
    _append(file, {"machine": asdict(here)})
    with _pool(device) as pool, contextlib.suppress(KeyboardInterrupt):
        for case in cases:
            if clock.up:
                break
            clock.say(str(case))
            _sweep(case, device, file, clock, here.bandwidth, pool)


def _sweep(
    case: Swept, device: torch.device, file: Path, clock: Clock, bandwidth: float, pool: ProcessPoolExecutor | None
) -> None:
    step, floor_bytes = prepared(case, device, case.shape[0])
    default = default_tile(case, step)
    tiles = list(candidates(default, case.shape[1]))
    if pool is not None:
        wait([pool.submit(compile_tile, case, tile, str(device)) for tile in tiles], clock.left)
        clock.say(f"    compiled {len(tiles)} tiles")
    truth = _gradient(step, case, default)
    for tile in tiles:
        if clock.up:
            break
        row: dict[str, Any] = {**asdict(case), "tile": tile, "default": tile == default}
        row["floor"] = floor_bytes / bandwidth * 1e6
        try:
            error = ((_gradient(step, case, tile) - truth).norm() / truth.norm()).item()
            if not error <= SAME:
                raise ValueError(f"the gradient is off by {error:.2g}")
            with tiled(case.kernel, tile):
                row["microseconds"] = microseconds(step, device)
        except Exception as error:  # Triton's are of many kinds: no registers, no shared memory, a shape it refuses
            row["why"] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:100]}"
        _append(file, row)


def prepared(case: Swept, device: torch.device, images: int) -> tuple[Callable[[], torch.Tensor], int]:
    """The loss of a batch with labels of a byte, whose gradient is made in the same pass; and the floor's bytes."""
    made = example((images, *case.shape[1:]), case.source, case.dtype, device)  # type: ignore[arg-type]
    criterion = ours(case.loss, **options(case.loss, made.counts), backend="triton", gradient="one_pass")
    criterion = criterion.to(device)
    logits, target = made.logits, made.target.to(torch.uint8)

    def step() -> torch.Tensor:
        torch.manual_seed(0)  # BLV's noise
        return criterion(logits, target)

    step.logits = logits  # type: ignore[attr-defined]
    return step, 2 * logits.nbytes + target.nbytes


def default_tile(case: Swept, step: Callable[[], Any]) -> Tile:
    """The table's, seen in a call."""
    from pat_triton.backends.triton import tiles

    name, seen = f"{case.kernel}_tile", []
    table = getattr(tiles, name)

    def watched(*arguments: Any) -> Any:
        seen.append(table(*arguments))
        return seen[-1]

    with _replaced(name, watched):
        step()
    return {"maxnreg": 0, **{key: value or 0 for key, value in seen[0]._asdict().items()}}


@contextlib.contextmanager
def tiled(kernel: str, tile: Tile) -> Iterator[None]:
    """Every launch of the kernel has this tile. Registers are no number of the table's: they go along as an option."""
    numbers = {name: value for name, value in tile.items() if value or name != "maxnreg"}
    made = namedtuple("made", numbers)(**numbers)  # type: ignore[misc]
    with _replaced(f"{kernel}_tile", lambda *_: made):
        yield


@contextlib.contextmanager
def _replaced(name: str, function: Callable[..., Any]) -> Iterator[None]:
    from pat_triton.backends.triton import tiles

    kept = getattr(tiles, name)
    setattr(tiles, name, function)
    _forget()
    try:
        yield
    finally:
        setattr(tiles, name, kept)
        _forget()


def _forget() -> None:
    """Plans of calls keep their tiles, where the package makes plans."""
    call = sys.modules.get("pat_triton.call")
    if call is not None:
        call.forget()


def compile_tile(case: Swept, tile: Tile, device: str) -> None:
    """In a process of its own, for the cache on disk."""
    step, _ = prepared(case, torch.device(device), FEW)
    with tiled(case.kernel, tile):
        step()


def _gradient(step: Any, case: Swept, tile: Tile) -> torch.Tensor:
    with tiled(case.kernel, tile):
        return torch.autograd.grad(step(), step.logits)[0].float()


def microseconds(step: Callable[[], Any], device: torch.device) -> float:
    """Of a call; on a GPU with a full queue: it sleeps until all calls are issued, so that the host does not show."""
    start = time.perf_counter()
    step()
    if device.type == "cpu":
        return (time.perf_counter() - start) * 1e6
    torch.cuda.synchronize(device)
    calls = max(3, min(CALLS, math.ceil(TIMED / (time.perf_counter() - start))))
    host, means = 0.0, []
    for repeat in range(REPEATS + 1):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(int(1.5 * host * CYCLES) + 1_000_000)
        begin.record()
        start = time.perf_counter()
        for _ in range(calls):
            step()
        host = time.perf_counter() - start
        end.record()
        torch.cuda.synchronize(device)
        if repeat:  # the first says how long the GPU has to sleep
            means.append(begin.elapsed_time(end) / calls * 1e3)
    return median(means)


@contextlib.contextmanager
def _pool(device: torch.device) -> Iterator[ProcessPoolExecutor | None]:
    if device.type == "cpu":
        yield None
        return
    with ProcessPoolExecutor(workers(), get_context("spawn"), exec, ("import torch",)) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def _append(file: Path, row: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lines:
        lines.write(json.dumps(row) + "\n")


def markdown(file: Path, most: int = 5) -> str:
    """Of each case the best tiles and the table's."""
    head, *rows = [json.loads(line) for line in file.read_text().splitlines()]
    cases = itertools.groupby(rows, key=lambda row: row["name"])
    return "\n".join([f"{system(Machine(**head['machine']))}\n", *(_best(list(group), most) for _, group in cases)])


def _best(rows: list[dict[str, Any]], most: int) -> str:
    ran = sorted((row for row in rows if "microseconds" in row), key=lambda row: row["microseconds"])
    first = rows[0]
    heading = f"{caption(first)}; {len(ran)} of {len(rows)} tiles ran; bytes: {first['floor']:.0f} microseconds\n"
    shown = ran[:most] + [row for row in ran[most:] if row["default"]]
    lines = (
        (f"{row['microseconds']:.0f}", *map(str, row["tile"].values()), "the table's" if row["default"] else "")
        for row in shown
    )
    return heading + "\n" + table(("microseconds", *first["tile"], ""), lines)


if __name__ == "__main__":
    sys.exit(main())

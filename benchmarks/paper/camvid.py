"""CamVid at full size with SegNet of VGG16's width: cross-entropy, BLV and PAT, seed by seed, as many runs as fit.

The learning rates are those that a quarter of the width found at a third of the size; they were not looked for again.
"""

import itertools
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..options import positive
from ..speed.gpu.clock import Clock, part_parser, workers
from .run_files import read_all
from .runs import Planned, planned, train_one
from .scores import markdown

RATES = {"CrossEntropyLoss": 3e-4, "BLVLoss(sigma=0.5)": 3e-4, "PATLoss(temperature=20)": 1e-3}
NETWORK = {"data": "camvid", "model": "segnet", "width": 64, "size": (360, 480), "batch": 8, "amp": "bf16"}


def main() -> int:
    parser = part_parser("paper.camvid", __doc__)
    parser.add_argument("--root", default=os.environ.get("CAMVID"), metavar="DIR", help="the data; default $CAMVID")
    parser.add_argument("--steps", type=positive, default=600, metavar="N", help="of each run; default 600")
    parser.add_argument("--width", type=positive, default=NETWORK["width"], metavar="N", help="default VGG16's, 64")
    parser.add_argument("--size", type=positive, nargs=2, default=NETWORK["size"], metavar=("H", "W"))
    parser.add_argument("--device", default="cuda")
    args = parser.parse_args()
    given = NETWORK | {name: vars(args)[name] for name in ("root", "steps", "width", "size", "device")}
    # Nothing is judged, kept or measured before the end of a run.
    given |= {"out": str(args.save / "camvid-runs"), "evaluate": args.steps, "checkpoint": args.steps}
    if args.dry_run:
        print(", ".join(f"{name}={value}" for name, value in given.items()))
        print(f"seeds from 0 of {', '.join(RATES)}, while {args.seconds:.0f} s last")
        return 0
    if args.root is None:
        parser.error("--root: got none and no CAMVID in the environment, expected the folder of the data")
    folder = args.save / "camvid"
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(KeyboardInterrupt):
        runs(given, folder, Clock(args.seconds))
    made = read_all(folder)
    print(markdown(made) if made else "no run was finished")
    return 0 if made else 1


def runs(given: dict[str, Any], folder: Path, clock: Clock) -> None:
    """None is begun that would take longer than the time that is left."""
    longest = 0.0
    for plan in plans(given):
        if clock.left <= longest:
            return
        start = time.monotonic()
        train_one(plan, folder, threads=workers(), quiet=True)
        longest = max(longest, time.monotonic() - start)
        clock.say(f"{plan.name}: {given['steps']} steps")


def plans(given: dict[str, Any]) -> Iterator[Planned]:
    for seed in itertools.count():
        for loss, rate in RATES.items():
            yield planned(given | {"lr": rate}, loss, seed)


if __name__ == "__main__":
    sys.exit(main())

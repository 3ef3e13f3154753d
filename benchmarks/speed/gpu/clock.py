"""The time and the processes that a part of ``gpu.sh`` has, and the options that all of them take."""

import argparse
import os
import time
from pathlib import Path

MOST = 15  # processes; each holds a context and a batch on the GPU


class Clock:
    """It runs from when it is made."""

    def __init__(self, seconds: float) -> None:
        self.start = time.monotonic()
        self.until = self.start + seconds

    @property
    def left(self) -> float:
        return max(0.0, self.until - time.monotonic())

    @property
    def up(self) -> bool:
        return self.left == 0

    def say(self, what: str) -> None:
        """With the seconds since the start, at once: a part may be ended at any time."""
        print(f"[{time.monotonic() - self.start:5.0f} s] {what}", flush=True)


def workers() -> int:
    """Processes beside this one that the machine has cores for."""
    return max(1, min(MOST, len(os.sched_getaffinity(0)) - 1))


def part_parser(part: str, what: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{part}", description=what)
    parser.add_argument("--save", type=Path, required=True, metavar="DIR", help="where its results go")
    parser.add_argument("--seconds", type=float, default=216.0, metavar="N", help="after which nothing more is begun")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    return parser

"""The kernels' tests on the device, and a summary that is there also when the clock ended them."""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .clock import Clock, part_parser, workers

SHOWN = 240  # characters shown of why a test failed


def main() -> int:
    args = part_parser("speed.gpu.tests", __doc__).parse_args()
    clock = Clock(args.seconds)
    outcomes = args.save / "tests.jsonl"
    command = pytest_arguments(outcomes, clock.left)
    print("pytest", *command, flush=True)
    if args.dry_run:
        return 0
    if outcomes.exists():
        raise SystemExit(f"--save: {outcomes} exists, expected a folder without it")
    import pytest

    pytest.main(command)
    text, good = summary(map(json.loads, outcomes.read_text().splitlines()) if outcomes.exists() else ())
    print(text)
    return 0 if good else 1


def pytest_arguments(outcomes: Path, seconds: float) -> list[str]:
    """Files whose imports are missing here are errors that end nothing. pytest-benchmark warns of pytest-xdist, and
    warnings are errors. What test_machine_code.py compiles needs no GPU."""
    arguments = ["-v", "--tb=short", "-o", "addopts=--strict-markers", "--continue-on-collection-errors",
                 "-p", "no:benchmark", "-p", "no:cacheprovider", "-p", "benchmarks.speed.gpu.outcomes",
                 "--outcomes", str(outcomes), "--seconds", f"{seconds:.0f}",
                 "--ignore", "tests/backends/test_machine_code.py"]  # fmt: skip
    return [*arguments, "-n", str(workers()), "--dist", "worksteal"] if find_spec("xdist") else arguments


def summary(lines: Iterable[dict[str, Any]]) -> tuple[str, bool]:
    """Each that went wrong with why, and how many came out how; whether all ran and none went wrong. Files that need
    a package which is not there are named."""
    collected, tests = 0, {}
    for line in lines:
        collected = max(collected, line.get("collected", 0))
        if "test" in line:
            tests[line["test"]] = line
    left = collected - sum("::" in name for name in tests)  # the others are files
    count = Counter(line["outcome"] for line in tests.values())
    text = [
        f"{line['outcome']} {name}\n    {line['why'][:SHOWN]}"
        for name, line in tests.items()
        if line["outcome"] not in ("passed", "skipped")
    ]
    heads = [f"{count[outcome]} {outcome}" for outcome in ("passed", "failed", "error", "skipped")]
    text.append(", ".join([*heads, f"{left} not run"]))
    return "\n".join(text), count["passed"] > 0 and not (left or count["failed"] or count["error"])


if __name__ == "__main__":
    sys.exit(main())

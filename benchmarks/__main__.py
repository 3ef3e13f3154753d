"""``python -m benchmarks``: each job is a module with ``add_parser``; it sets ``run``, which is called."""

import argparse
import sys

from . import numbers, paper, training
from .codegen import roofline
from .speed import host, losses, suite

JOBS = (training, paper, losses, suite, host, roofline, numbers)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="pat_triton at work.")
    subparsers = parser.add_subparsers(required=True, metavar="JOB")
    for job in JOBS:
        job.add_parser(subparsers)
    args = parser.parse_args()
    try:
        args.run(args)
    except (ValueError, OSError) as error:  # an option or a file that cannot be used
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``python tests/killed.py WHEN COUNT JOB...``: ``python -m benchmarks JOB...``, killed with SIGKILL; of several
processes the first.

WHEN: "step", in the COUNT-th backward pass of training; "half", when half of the COUNT-th checkpoint is written.
"""

import itertools
import os
import signal
import stat
import sys

import torch

from benchmarks.__main__ import main


def step(count):
    backward = torch.Tensor.backward
    calls = itertools.count(1)

    def fatal(*args):
        if next(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        backward(*args)

    torch.Tensor.backward = fatal


def half(count):
    fsync = os.fsync
    calls = itertools.count(1)

    def fatal(descriptor):
        status = os.fstat(descriptor)
        # The folder is synchronised too, after each file.
        if stat.S_ISREG(status.st_mode) and next(calls) == count:
            os.ftruncate(descriptor, status.st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(descriptor)

    os.fsync = fatal


if __name__ == "__main__":
    when, count = sys.argv[1], int(sys.argv[2])
    sys.argv[1:] = sys.argv[3:]
    if os.environ.get("RANK", "0") == "0":
        {"step": step, "half": half}[when](count)
    sys.exit(main())

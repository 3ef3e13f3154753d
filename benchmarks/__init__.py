"""What pat_triton is for, run and measured: ``python -m benchmarks --help``."""

import os

# Torch's profiler, which measures memory on a CPU, otherwise logs each of its starts and stops.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")

"""What pat_triton is for, run and measured: ``python -m benchmarks --help``."""

import os

# Read when torch is loaded. Threads that spin while they wait take the core from the thread they wait
# for as soon as another process runs: ten times slower, against a few per cent on an idle machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Torch's profiler, which measures memory on a CPU, otherwise logs each of its starts and stops.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")

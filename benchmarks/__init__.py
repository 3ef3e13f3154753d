"""What pat_triton is for, run and measured: ``python -m benchmarks --help``.

Four rooms, whose first lines say what they are for and which other room they may use: ``training``, ``speed``,
``codegen`` and ``paper``. What all of them use is in the modules here; ``results`` holds what was measured.
"""

import os

# Torch's profiler, which measures memory on a CPU, otherwise logs each of its starts and stops.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")

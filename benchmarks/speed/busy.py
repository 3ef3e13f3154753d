"""Other programs that want the processor, as data-loader workers do, beside a measurement."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

# It ends with the process that began it, even if that is killed.
BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]):\n    sum(range(100_000))"


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many, for the time inside; each keeps one core busy, or asks for its share of it."""
    started = [subprocess.Popen([sys.executable, "-c", BUSY, str(os.getpid())]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()

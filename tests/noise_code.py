"""Run as a program, where TRITON_INTERPRET is unset: what BLV's noise is compiled to, as a line of JSON.

python tests/noise_code.py TARGET

Of a pair of variates, the special function unit's instructions; of a counter's four words, how many instructions
multiply to 64 bits; of both, how many call something. Of a whole loss, what it was told to draw.
"""

import json
import sys
from collections import Counter
from unittest import mock

import philox_kernel
import torch

from benchmarks.codegen import configurations, machine_code
from benchmarks.codegen.targets import TARGETS
from pat_triton.backends.triton import philox
from pat_triton.backends.triton.launch import Launch


def instructions(target, call):
    """Of each kernel that ``call`` launches: the instructions, and the constants that it was compiled with."""
    read = machine_code._read_nvidia if TARGETS[target].backend == "cuda" else machine_code._read_amd

    def listed(_, kernel, compiled, arguments, programs, options):
        return read(compiled.asm)[0][0], options

    with mock.patch.object(machine_code, "_read", listed):
        return [made for made in machine_code.compile_call(target, call) if made]


def main(target):
    lanes, meta = TARGETS[target].lanes, torch.device("meta")
    nvidia = TARGETS[target].backend == "cuda"
    words, out = (torch.empty(lanes, dtype=dtype, device=meta) for dtype in (torch.int64, torch.float32))
    pair = philox.box_muller_ptx if nvidia else philox.box_muller
    pairs = Launch(philox_kernel.write_pairs, 1, meta, num_warps=1, PAIR=pair, PAIRS=lanes)
    [(made, _)] = instructions(target, lambda: pairs((words, words, out, out, out)))
    multiply = philox.multiply_ptx if nvidia else philox.multiply
    drawn = Launch(philox_kernel.write_words, 1, meta, num_warps=1, MULTIPLY=multiply)
    [(counted, _)] = instructions(target, lambda: drawn((words, words, words)))
    configuration = configurations.Configuration(target, 19, "fp32", "one_pass", "variation")
    with mock.patch.object(configurations, "compile_call", lambda *a, **_: instructions(target, a[1])):
        losses = [
            options["DISTRIBUTION"]
            for _, options in configurations.compiled(configuration)
            if "DISTRIBUTION" in options
        ]
    print(json.dumps({
        "special": Counter(x.op for x in made if x.op.startswith("MUFU")),
        "products": sum(x.op == "IMAD.WIDE.U32" for x in counted),
        "calls": sum(x.op.startswith(("CALL", "s_swappc")) for x in (*made, *counted)),
        "drawn": [f.__name__ for f in losses],
    }))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])

"""Run as a program: every kind of launch is taken by the front end of the Triton on the path, up to its IR.

.ci/run does so with the Triton of the oldest torch: language that a later one takes may be an error there.
"""

import sys
from collections import Counter
from unittest import mock

import aot
import torch
import triton
from aot import SIZE
from triton.compiler.compiler import ASTSource

from benchmarks.codegen.machine_code import launched_by


class MadeError(Exception):
    """The IR is made, and no more is asked."""


def main(target):
    made, make_ir = Counter(), ASTSource.make_ir

    def front_end(source, *arguments):
        make_ir(source, *arguments)
        made[source.fn.__name__] += 1
        raise MadeError

    def compile_only(launch, pointers, *numbers):
        arguments = (*pointers, *numbers, *launch.fixed)
        try:
            launch.kernel.warmup(*arguments, grid=(launch.programs,), **launch.constants)
        except MadeError:
            return

    def taken(target, call):
        with launched_by(target, compile_only):
            call()
        return []

    triton.knobs.compilation.always_compile = True  # what is in the cache is not looked at again
    labels = torch.empty(2, *SIZE, dtype=torch.uint8, device="meta")
    with mock.patch.object(ASTSource, "make_ir", front_end), mock.patch.object(aot, "compile_call", taken):
        for part in (aot.resized, aot.evaluation, aot.weighted, aot.regions):
            part(target, labels)
        aot.whole_calls(target)
    print(f"triton {triton.__version__}: {made.total()} launches of {len(made)} kernels")


if __name__ == "__main__":
    main(sys.argv[1])

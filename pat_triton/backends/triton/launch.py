"""One kernel of a plan: where it starts, on how many programs, and, once it has run, its machine code.

Every kernel takes pointers, then numbers that may change at every call, then what the kind of call fixes. The first
launch goes through Triton's front door, which looks at every argument, compiles, and gives back what it compiled. Later
ones hand their arguments to that machine code: whatever Triton looks at (dtypes, alignment of pointers, integers that
are 1 or divisible by 16, what is None) belongs to the plan.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ... import private

HOOKS = private.launch_hooks()


class Launch:
    """``Launch(kernel, programs, device, *fixed, **constants)``, called with pointers and numbers.

    Nothing is launched where there are no programs.
    """

    __slots__ = ("constants", "device", "fixed", "function", "index", "kernel", "metadata", "programs", "run", "tail")

    def __init__(
        self, kernel: Any, programs: int, device: torch.device, *fixed: Any, num_warps: int = 4, **constants: Any
    ) -> None:
        self.kernel, self.programs, self.device, self.fixed = kernel, programs, device, fixed
        self.index = device.index
        # FP fusion is pinned, because its default differs between Triton versions.
        self.constants = {**constants, "num_warps": num_warps, "enable_fp_fusion": True}
        self.tail: tuple[Any, ...] = ()
        self.run: Callable[..., None] | None = None
        self.function = self.metadata = None

    def __call__(self, pointers: Sequence[Tensor | None], *numbers: Any) -> None:
        run = self.run
        if run is None or private.are_watched(HOOKS):
            self.compile_and_start(pointers, *numbers)
        elif private.current_device() != self.index:
            with on(self.device):
                self(pointers, *numbers)
        else:
            run(
                self.programs, 1, 1, private.current_stream(self.index), self.function, self.metadata, None, None, None,
                *[None if p is None else p.data_ptr() for p in pointers], *numbers, *self.tail,
            )  # fmt: skip

    def compile_and_start(self, pointers: Sequence[Tensor | None], *numbers: Any) -> None:
        """Through Triton's front door, which compiles where it has not yet."""
        if not self.programs:
            return
        with on(self.device):
            compiled = self.kernel[(self.programs,)](*pointers, *numbers, *self.fixed, **self.constants)
            code = private.machine_code(compiled) if self.device.type == "cuda" else None
        if code is not None:
            # What was compiled in still has a place among the arguments.
            places = len(self.kernel.arg_names) - len(pointers) - len(numbers) - len(self.fixed)
            self.tail = (*self.fixed, *(None,) * places)
            self.function, self.metadata = code.function, code.metadata
            self.run = code.run  # last: another thread may be launching


def on(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Triton launches on the current GPU, which need not be the tensors'."""
    return contextlib.nullcontext() if device.type == "cpu" else torch.accelerator.device_index(device.index)

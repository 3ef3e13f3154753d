"""The package's own launches, compiled ahead of time for a GPU that need not be there, and read.

``compile_call`` runs a call of ``pat_triton.backends.triton.backend`` on meta tensors with the launches turned
into compilations, so that what is inspected is what a real call would start: same specialisation,
same tile, same options. It must run where TRITON_INTERPRET is unset.
"""

import contextlib
import dataclasses
import functools
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from pat_triton.backends.triton import hardware
from pat_triton.backends.triton.launch import Launch
from pat_triton.call import forget

from . import assembly, work
from .assembly import Listing
from .flow import frequencies
from .ir_text import column_threads
from .moved import Moved, moved
from .targets import TARGETS
from .ttgir import Evaluation, Pointer
from .work import Work


@dataclasses.dataclass(frozen=True)
class Code:
    """One launch, compiled.

    tile: the integers that were compiled in, and num_warps. programs: of the launch. registers: a thread.
    spills: accesses to local memory. shared: bytes a block. resident: warps of a multiprocessor, or waves
    of a SIMD, that run at once. column_threads: that share a column of classes. work: of a warp, None where the
    machine's loops are not the IR's. moved: by a program inside an image.
    """

    kernel: str
    tile: dict[str, int]
    programs: int
    registers: int
    spills: int
    shared: int
    resident: int
    column_threads: int | None
    work: Work | None
    moved: list[Moved]


class _Driver:
    """Stands in for a GPU's driver: Triton asks it for the target and for cache keys."""

    def __init__(self, name: str) -> None:
        target = TARGETS[name]
        self.device = list(TARGETS).index(name)
        self.target = GPUTarget(target.backend, target.capability, target.lanes)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return self.device

    def get_current_stream(self, device: int | None = None) -> int:
        return 0


def compile_call(target: str, call: Callable[[], object], reading: str = "") -> list[Code | None]:
    """Each kernel that ``call``, on meta tensors, would launch. reading: compile only those that have an argument of
    this name; None stands for the others."""
    made: list[Code | None] = []

    def compile_only(launch: Launch, pointers: Sequence[torch.Tensor | None], *numbers: Any) -> None:
        if reading and reading not in launch.kernel.arg_names:
            made.append(None)
            return
        args, programs, options = (*pointers, *numbers, *launch.fixed), launch.programs, launch.constants
        compiled = launch.kernel.warmup(*args, grid=(programs,), **options)
        made.append(_read(target, launch.kernel, compiled, args, programs, options))

    with launched_by(target, compile_only):
        call()
    return made


@contextlib.contextmanager
def launched_by(target: str, start: Callable[..., None]) -> Iterator[None]:
    """On this GPU, which need not be there, by ``start(launch, pointers, *numbers)``."""
    driver.set_active(_Driver(target))
    forget()
    with (
        mock.patch.object(Launch, "__call__", start),
        mock.patch.object(hardware, "warp_size", return_value=TARGETS[target].lanes),
        mock.patch.object(hardware, "has_ptx", return_value=TARGETS[target].backend == "cuda"),
    ):
        yield
    forget()


def _read(target: str, kernel: Any, compiled: Any, args: tuple[Any, ...], programs: int, options: Any) -> Code:
    read = _read_nvidia if TARGETS[target].backend == "cuda" else _read_amd
    (instructions, labels), registers, scalars, spills = read(compiled.asm)
    arguments = _flat(dict(zip(kernel.arg_names, args, strict=False)))
    # Of eight images in the middle of the fourth, a little into a row: at an edge less is read.
    program = min(programs * 7 // 16 + 3, programs - 1)
    evaluation = Evaluation(compiled.asm["ttgir"], arguments, program, programs)
    runs = frequencies((instructions, labels), evaluation.loops)
    return Code(
        kernel.__name__,
        tile={k: v for k, v in options.items() if type(v) is int and k != "L"},
        programs=programs,
        registers=registers,
        spills=spills,
        shared=compiled.metadata.shared,
        resident=TARGETS[target].resident(options["num_warps"], registers, compiled.metadata.shared, scalars),
        column_threads=column_threads(compiled.asm["ttgir"]),
        work=None if runs is None else work.of(instructions, runs),
        moved=moved(evaluation.accesses, instructions, runs or [1.0] * len(instructions)),
    )


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Arguments as the IR names them: fields after a dot, tensors as pointers."""
    if isinstance(value, torch.Tensor):
        return {name: Pointer(name, value.storage_offset() * value.itemsize)}
    if isinstance(value, tuple):
        value = value._asdict() if hasattr(value, "_asdict") else dict(enumerate(value))
    if isinstance(value, dict):
        dot = name and name + "."
        return {k: v for key, part in value.items() for k, v in _flat(part, f"{dot}{key}").items()}
    return {name: value if isinstance(value, int) else None}


def _read_nvidia(asm: Any) -> tuple[Listing, int, int, int]:
    """The listing, vector and scalar registers, spills."""
    return _disassembled(asm["cubin"])


# Calls share small kernels, and the disassembler takes longer than all else here.
@functools.lru_cache(maxsize=32)
def _disassembled(cubin: bytes) -> tuple[Listing, int, int, int]:
    tools = Path(triton.__file__).parent / "backends/nvidia/bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage = _output(tools / "cuobjdump", "--dump-resource-usage", file.name)
        listing = assembly.nvidia(_output(tools / "nvdisasm", "-c", "-g", "-hex", file.name))
    spills = sum(x.op.startswith(("LDL", "STL")) for x in listing[0])
    return listing, int(re.findall(r"REG:(\d+)", usage)[0]), 0, spills


def _read_amd(asm: Any) -> tuple[Listing, int, int, int]:
    text = asm["amdgcn"]
    # Scalar registers are spilled into lanes of vector registers, not into memory.
    figures = ("vgpr_count", "sgpr_count", "vgpr_spill_count")
    vector, scalar, spills = (int(re.findall(rf"\.{name}:\s+(\d+)", text)[0]) for name in figures)
    return assembly.amd(text), vector, scalar, spills


def _output(*command: object) -> str:
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout

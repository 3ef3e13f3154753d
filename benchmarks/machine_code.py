"""The package's own launches, compiled ahead of time for a GPU that need not be there, and read.

``compile_call`` runs a call of ``pat_triton.kernels.path`` on meta tensors with the launches turned
into compilations, so that what is inspected is what a real call would start: same specialisation,
same tile, same options. It must run where TRITON_INTERPRET is unset.
"""

import dataclasses
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

import pat_triton.kernels.path  # noqa: F401  (before the launches are replaced)
from pat_triton.kernels import launch, tiles

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}


@dataclasses.dataclass(frozen=True)
class Code:
    """One compiled kernel. Counts are static instructions; ``wide`` are the 128-bit ones."""

    kernel: str
    registers: int
    spills: int
    loads: int
    wide_loads: int
    stores: int
    wide_stores: int
    instructions: int


class _Driver:
    """Stands in for a GPU's driver: Triton asks it for the target and for cache keys."""

    def __init__(self, target: GPUTarget) -> None:
        self.target = target

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return list(TARGETS.values()).index(self.target)

    def get_current_stream(self, device: int | None = None) -> int:
        return 0


def compile_call(target: str, call: Callable[[], object]) -> list[Code]:
    """Each kernel that ``call``, on meta tensors, would launch."""
    made: list[Code] = []

    def compile_only(kernel: Any, programs: int, device: torch.device, *args: Any, **options: Any) -> None:
        options = {"num_warps": 4, "enable_fp_fusion": True, **options}
        compiled = kernel.warmup(*args, grid=(programs,), **options)
        read = _read_nvidia if TARGETS[target].backend == "cuda" else _read_amd
        made.append(read(kernel.__name__, compiled.asm))

    driver.set_active(_Driver(TARGETS[target]))
    with (
        mock.patch.object(launch, "start", compile_only),
        mock.patch.object(tiles, "warp_size", return_value=TARGETS[target].warp_size),
    ):
        call()
    return made


def _read_nvidia(kernel: str, asm: Any) -> Code:
    tools = Path(triton.__file__).parent / "backends/nvidia/bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(asm["cubin"])
        file.flush()
        usage = _output(tools / "cuobjdump", "--dump-resource-usage", file.name)
        sass = _output(tools / "nvdisasm", file.name)
    names = re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", sass, re.M)
    ops = Counter(names)
    loads, stores = _starting(ops, "LDG"), _starting(ops, "STG")
    return Code(
        kernel,
        registers=int(re.findall(r"REG:(\d+)", usage)[0]),
        spills=sum(_starting(ops, "LDL").values()) + sum(_starting(ops, "STL").values()),
        loads=sum(loads.values()),
        wide_loads=sum(n for op, n in loads.items() if op.endswith(".128")),
        stores=sum(stores.values()),
        wide_stores=sum(n for op, n in stores.items() if op.endswith(".128")),
        instructions=len(names),
    )


def _read_amd(kernel: str, asm: Any) -> Code:
    text = asm["amdgcn"]
    ops = Counter(re.findall(r"^\s+([a-z]\w+)\s", text, re.M))

    def figure(name: str) -> int:
        return int(re.findall(rf"\.{name}:\s+(\d+)", text)[0])

    def memory(kind: str) -> Counter[str]:
        return _starting(ops, f"global_{kind}") + _starting(ops, f"buffer_{kind}")

    loads, stores = memory("load"), memory("store")
    return Code(
        kernel,
        registers=figure("vgpr_count"),
        spills=figure("vgpr_spill_count"),  # scalar registers are put into lanes of vector registers, not into memory
        loads=sum(loads.values()),
        wide_loads=sum(n for op, n in loads.items() if op.endswith("x4")),
        stores=sum(stores.values()),
        wide_stores=sum(n for op, n in stores.items() if op.endswith("x4")),
        instructions=sum(ops.values()),
    )


def _starting(ops: Counter[str], prefix: str) -> Counter[str]:
    return Counter({op: n for op, n in ops.items() if op.startswith(prefix)})


def _output(*command: object) -> str:
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True).stdout

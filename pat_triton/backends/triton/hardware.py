"""What a kernel has to know of the GPU, and functions of which NVIDIA's have an instruction of their own; elsewhere,
without PTX, they are Triton's."""

import torch
import triton
import triton.language as tl


@triton.jit
def reciprocal(x, PTX: tl.constexpr):
    """1 / x of a normal number, to an ulp."""
    if PTX and x.dtype == tl.float32:
        return tl.inline_asm_elementwise("rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, True, 1)
    else:
        return 1 / x


@triton.jit
def log2(x, PTX: tl.constexpr):
    """To 2 ulp, or to 2**-22 between 1/2 and 2 (CUDA C++ programming guide, ``__log2f``)."""
    if PTX and x.dtype == tl.float32:
        return tl.inline_asm_elementwise("lg2.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, True, 1)
    else:
        return tl.log2(x)


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter."""
    return not isinstance(log2, triton.JITFunction)


def has_ptx(device: torch.device) -> bool:
    """Whether kernels are compiled for an NVIDIA GPU, not for AMD's and not interpreted."""
    return device.type == "cuda" and torch.version.hip is None and not interpreted()


def warp_size(device: torch.device) -> int:
    """Lanes of a warp; 32 where there is no GPU (the interpreter)."""
    if device.type != "cuda":
        return 32
    return torch.cuda.get_device_properties(device).warp_size

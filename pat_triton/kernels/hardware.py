"""Functions of which a GPU has an instruction of its own; where not, Triton's."""

import triton
import triton.language as tl


@triton.jit
def reciprocal(x, HARDWARE: tl.constexpr):
    """1 / x of a normal number, to an ulp."""
    if HARDWARE and x.dtype == tl.float32:
        return tl.inline_asm_elementwise("rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, True, 1)
    else:
        return 1 / x


@triton.jit
def log2(x, HARDWARE: tl.constexpr):
    """To 2 ulp, or to 2**-22 between 1/2 and 2 (CUDA C++ programming guide, ``__log2f``)."""
    if HARDWARE and x.dtype == tl.float32:
        return tl.inline_asm_elementwise("lg2.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, True, 1)
    else:
        return tl.log2(x)

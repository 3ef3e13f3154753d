"""The Triton path (``pat_triton.problem.Path``): allocation, views and launches."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..curves import TWINS, Curve
from ..problem import Problem, Result
from . import curves, launch, philox, tiles
from .histogram import histogram_kernel
from .loss import loss_kernel
from .pixel import Noise, Tables
from .rescale import rescale_kernel
from .views import views

# Triton decides at import, by TRITON_INTERPRET, what a kernel is.
INTERPRETED = not isinstance(loss_kernel, triton.JITFunction)
DISTRIBUTIONS = {"gaussian": philox.gaussian, "uniform": philox.uniform}


def histogram(target: Tensor, classes: int, ignore_index: int) -> Tensor:
    shape, (y,) = views(target, rank=target.ndim - 1)
    counts = torch.zeros(len(target), classes + 1, dtype=torch.int64, device=target.device)
    launch.start(
        histogram_kernel, _programs(target, tiles.HISTOGRAM_PIXELS), target.device,
        y, counts, shape, ignore_index,
        L=classes, BINS=triton.next_power_of_2(classes + 2), PIXELS=tiles.HISTOGRAM_PIXELS,
    )  # fmt: skip
    return counts


def run(
    logits: Tensor, target: Tensor, problem: Problem, *,
    reduce: bool = True, gradient: bool = False, grad_output: Tensor | None = None,
) -> Result:  # fmt: skip
    device, compute, L = logits.device, problem.weights.dtype, logits.shape[1]
    wide = compute == torch.float64
    flat = logits[:1, 0].is_contiguous() and logits.stride(1) != 1
    tile = tiles.loss_tile(L, problem.tables.unchanged, flat, wide, tiles.warp_size(device))
    programs = _programs(target, tile.PIXELS)

    grad = torch.empty_like(logits) if gradient or grad_output is not None else None
    factor = None if grad_output is None else grad_output.expand(target.shape)
    forward = grad_output is None
    loss_map = torch.empty(target.shape, dtype=compute, device=device) if forward and not reduce else None
    partial = torch.empty(programs, dtype=compute, device=device) if forward and reduce else None
    shape, (z, y, g, f, m) = views(logits, target, grad, factor, loss_map, rank=target.ndim - 1)

    t = problem.tables
    launch.start(
        loss_kernel, programs, device,
        z, y, g, f, m, partial, problem.weights, Tables(t.scale, t.offset, t.margin, t.variation),
        Noise(problem.seed, t.noise.sigma if t.noise else None), shape,
        _parameters(problem.curve, wide), problem.ignore_index,
        L=L, CURVE=_twin(problem.curve), DISTRIBUTION=DISTRIBUTIONS[t.noise.distribution] if t.noise else None,
        COMPUTE=tl.float64 if wide else tl.float32, **tile._asdict(),
    )  # fmt: skip
    return Result(loss_map if partial is None else partial.sum(), grad)


def rescale(gradient: Tensor, factor: Tensor) -> None:
    """``gradient`` is dense, as ``torch.empty_like`` makes it: its memory is one run of elements."""
    launch.start(
        rescale_kernel, triton.cdiv(gradient.numel(), tiles.RESCALE_ELEMENTS), gradient.device,
        gradient, factor, gradient.numel(), ELEMENTS=tiles.RESCALE_ELEMENTS,
    )  # fmt: skip


def _programs(target: Tensor, pixels: int) -> int:
    return len(target) * triton.cdiv(target[:1].numel(), pixels)


def _twin(curve: Curve) -> Any:
    twin = TWINS.get(curve.name) or getattr(curves, curve.name, None)
    if twin is None:
        raise ValueError(
            f"curve: {curve.name!r} has no Triton twin; give one with "
            f"pat_triton.register({type(curve).__name__}, twin=...) or choose backend='torch'"
        )
    return twin


def _parameters(curve: Curve, wide: bool) -> tuple[Any, ...]:
    """A Python float reaches a compiled kernel as fp32; for fp64 it is compiled in, digits and all."""
    if wide and not INTERPRETED:
        return tuple(tl.constexpr(p) for p in curve.parameters)
    return curve.parameters

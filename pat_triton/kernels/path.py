"""The Triton path (``pat_triton.problem.Path``): allocation, views and launches."""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..curves import TWINS, Curve
from ..problem import Problem, Result, Tally, compute_dtype, label_dtype
from ..resize import Resize, resize
from . import curves, launch, philox, tiles
from .histogram import histogram_kernel
from .loss import loss_kernel
from .pixel import Noise, Tables
from .predict import confusion_kernel, predict_kernel, tally_kernel
from .rescale import rescale_kernel
from .upsample import upsample_kernel
from .views import View, views

# Triton decides at import, by TRITON_INTERPRET, what a kernel is.
INTERPRETED = not isinstance(loss_kernel, triton.JITFunction)
traced = False
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
    reduce: bool = True, gradient: bool = False, grad_output: Tensor | None = None, tally: bool = False,
) -> Result:  # fmt: skip
    device, compute, L = logits.device, problem.weights.dtype, logits.shape[1]
    differentiate, forward = gradient or grad_output is not None, grad_output is None
    out = Outputs(
        gradient=torch.empty_like(logits) if differentiate else None,
        grad_output=None if grad_output is None else grad_output.expand(target.shape),
        loss_map=torch.empty(target.shape, dtype=compute, device=device) if forward and (tally or not reduce) else None,
        prediction=torch.empty(target.shape, dtype=label_dtype(L), device=device) if tally else None,
    )
    how = resize(logits.shape[2:], target.shape[1:], problem.align_corners)
    if how is None:
        partial = _dense(logits, target, problem, how, out, reduce and forward)
    else:
        partial = _resized(logits, target, problem, how, out, reduce and forward)
    loss = partial.sum() if partial is not None else out.loss_map
    return Result(loss, out.gradient, _tally(target, out, problem) if tally else None)


class Outputs(NamedTuple):
    """What a launch may write per pixel, and the factor that arrived; None where not asked for."""

    gradient: Tensor | None
    grad_output: Tensor | None
    loss_map: Tensor | None
    prediction: Tensor | None


def _dense(
    logits: Tensor, target: Tensor, problem: Problem, how: Resize | None, out: Outputs, reduce: bool,
    pulls: Tensor | None = None,
) -> Tensor | None:  # fmt: skip
    """The loss kernel, for resized logits without their gradient; its partial sums if ``reduce``."""
    tile = _tile(logits, how, problem.tables.unchanged)
    if how is None:
        shape, (y, w, f, m, p, z, g) = views(
            target, problem.pixel_weight, out.grad_output, out.loss_map, out.prediction, logits, out.gradient,
            rank=target.ndim - 1,
        )  # fmt: skip
    else:
        shape, (y, w, f, m, p) = views(
            target, problem.pixel_weight, out.grad_output, out.loss_map, out.prediction, rank=2
        )
        _, (z, g) = views(logits, None, rank=2, merge=False)
    programs = _programs(target, tile.PIXELS)
    partial = problem.weights.new_empty(programs) if reduce else None
    launch.start(
        loss_kernel, programs, logits.device,
        z, y, g, w, f, m, p, _pulls(pulls), partial, *_parts(problem), how, shape,
        *_scalars(problem), L=logits.shape[1], **_constants(problem), **tile._asdict(),
    )  # fmt: skip
    return partial


def _resized(
    logits: Tensor, target: Tensor, problem: Problem, how: Resize, out: Outputs, reduce: bool
) -> Tensor | None:
    """The upsample kernel: alone where it holds whole columns, else for the gradient only."""
    L, wide = logits.shape[1], problem.weights.dtype == torch.float64
    tile = tiles.upsample_tile(L, how.columns, problem.tables.unchanged, wide)
    pulls = partial = sums = None
    blocks = triton.cdiv(L, tile.CLASSES)
    programs = len(logits) * blocks
    programs *= triton.cdiv(how.rows.source, tile.BANDS) * triton.cdiv(how.columns.source, tile.CELLS - 1)
    if blocks > 1:
        if out.gradient is not None:
            pulls = problem.weights.new_empty(3, *target.shape)
        partial = _dense(logits, target, problem, how, out, reduce, pulls)
        if out.gradient is None:
            return partial
        out = Outputs(out.gradient, None, None, None)
    launches = triton.cdiv(how.columns.crowd, tile.CROWD)
    if blocks == 1 and reduce:
        partial = sums = problem.weights.new_empty(launches, programs)
    gradient = out.gradient
    if gradient is not None and launches > 1:  # added up before it is rounded
        gradient = torch.empty_like(gradient, dtype=problem.weights.dtype)
    _, (z, g) = views(logits, gradient, rank=2, merge=False)
    _, (y, w, f, m, p) = views(
        target, problem.pixel_weight, out.grad_output, out.loss_map, out.prediction, rank=2, merge=False
    )
    for part in range(launches):
        launch.start(
            upsample_kernel, programs, logits.device,
            z, y, g, g if part else None, w, f, m, p, _pulls(pulls),
            None if sums is None else sums[part], *_parts(problem), how,
            part, *_scalars(problem), L=L, **_constants(problem), **tile._asdict(),
        )  # fmt: skip
    if gradient is not None and out.gradient is not None and gradient is not out.gradient:
        out.gradient.copy_(gradient)
    return partial


def _tally(target: Tensor, out: Outputs, problem: Problem) -> Tally:
    (B, L), device = problem.weights.shape, target.device
    programs = _programs(target, tiles.TALLY_PIXELS)
    counts = torch.zeros(2, B, L, dtype=torch.int64, device=device)
    partial = problem.weights.new_empty(programs, L)
    shape, (y, p, m) = views(target, out.prediction, out.loss_map, rank=target.ndim - 1)
    launch.start(
        tally_kernel, programs, device,
        y, p, m, counts, partial, shape, problem.ignore_index,
        L=L, CLASSES=min(tiles.TALLY_CLASSES, triton.next_power_of_2(L)), PIXELS=tiles.TALLY_PIXELS,
    )  # fmt: skip
    return Tally(partial.view(B, -1, L).sum(1) if B else partial.new_zeros(0, L), counts[0], counts[1])


def rescale(gradient: Tensor, factor: Tensor) -> None:
    """``gradient`` is dense, as ``torch.empty_like`` makes it: its memory is one run of elements."""
    launch.start(
        rescale_kernel, triton.cdiv(gradient.numel(), tiles.RESCALE_ELEMENTS), gradient.device,
        gradient, factor, gradient.numel(), ELEMENTS=tiles.RESCALE_ELEMENTS,
    )  # fmt: skip


def predict(logits: Tensor, size: torch.Size, align_corners: bool) -> Tensor:
    how = resize(logits.shape[2:], size, align_corners)
    labels = torch.empty(len(logits), *size, dtype=label_dtype(logits.shape[1]), device=logits.device)
    tile = _tile(logits, how, plain=True)
    if how is None:
        shape, (z, p) = views(logits, labels, rank=len(size))
    else:
        _, (z,) = views(logits, rank=2, merge=False)
        shape, (p,) = views(labels, rank=2)
    launch.start(
        predict_kernel, _programs(labels, tile.PIXELS), logits.device, z, p, how, shape,
        L=logits.shape[1], COMPUTE=_compute(compute_dtype(logits)), **tile._asdict(),
    )  # fmt: skip
    return labels


def confusion(target: Tensor, prediction: Tensor, classes: int, ignore_index: int) -> Tensor:
    counts = torch.zeros(classes + 2, classes, dtype=torch.int64, device=target.device)
    shape, (y, p) = views(target, prediction, rank=target.ndim - 1)
    bins = triton.next_power_of_2(counts.numel())
    launch.start(
        confusion_kernel, _programs(target, tiles.HISTOGRAM_PIXELS), target.device,
        y, p, counts, shape, ignore_index,
        L=classes, BINS=bins if bins <= tiles.CONFUSION_BINS else None, PIXELS=tiles.HISTOGRAM_PIXELS,
    )  # fmt: skip
    return counts


def _parts(problem: Problem) -> tuple[Any, ...]:
    t = problem.tables
    return (
        problem.weights,
        Tables(t.scale, t.offset, t.margin, t.variation),
        Noise(problem.seed, problem.origin, t.noise.sigma if t.noise else None),
    )


def _constants(problem: Problem) -> dict[str, Any]:
    noise = problem.tables.noise
    return {
        "CURVE": _twin(problem.curve),
        "DISTRIBUTION": DISTRIBUTIONS[noise.distribution] if noise else None,
        "COMPUTE": _compute(problem.weights.dtype),
    }


def _compute(dtype: torch.dtype) -> Any:
    return tl.float64 if dtype == torch.float64 else tl.float32


def _tile(logits: Tensor, how: Resize | None, plain: bool) -> tiles.Tile:
    """Of the kernels that go over pixels; resized columns have no runs of them in memory."""
    flat = how is None and logits[:1, 0].is_contiguous() and logits.stride(1) != 1
    wide = logits.dtype == torch.float64
    return tiles.loss_tile(logits.shape[1], plain, flat, wide, tiles.warp_size(logits.device))


def _pulls(pulls: Tensor | None) -> View | None:
    """(3, B, H, W), dense."""
    return None if pulls is None else View(pulls, pulls.stride(1), pulls.stride(0), 0, 0, 0)


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


def _scalars(problem: Problem) -> tuple[tuple[Any, ...], int]:
    """The curve's parameters and ignore_index. A Python float reaches a compiled kernel as fp32; for fp64 it
    is compiled in, digits and all."""
    parameters = problem.curve.parameters
    if problem.weights.dtype == torch.float64 and not INTERPRETED:
        parameters = tuple(tl.constexpr(p) for p in parameters)
    return parameters, problem.ignore_index

"""The kernels as ``pat_triton.backends.choose.Backend``: what is launched is worked out once for a kind of call."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...inputs import Ignored, LossInputs, Result, compute_dtype, label_dtype
from ...kinds import Cache, kinds
from ...regions import DERIVATIVES, SUMS
from ...resize import Resize, bilinear
from . import hardware, tiles
from .counting import Confusion, Histogram, RegionLosses, TableMaker, rescale
from .launch import Launch
from .loss import loss_kernel
from .passes import Layout, Pass, loss_tile, programs
from .predict import predict_kernel, predict_resized_kernel
from .resize import compiled_in, programs_between
from .views import index_dtype, strides_over_pixels

# Triton decides at import, by TRITON_INTERPRET, what a kernel is.
INTERPRETED = not isinstance(loss_kernel, triton.JITFunction)

planned_histogram, planned_tables, planned_pass, planned_rescale = Histogram, TableMaker, Pass, rescale
planned_regions = RegionLosses

T = TypeVar("T")

plans = Cache(256)


def _planned(what: str, tensors: tuple[Tensor | None, ...], rest: tuple[Any, ...], make: Callable[[], T]) -> T:
    """``make()``, made once for tensors of a kind."""
    kind = kinds(tensors)
    return make() if kind is None else plans.of((what, kind, rest), make)


def histogram(target: Tensor, classes: int, ignored: Ignored) -> Tensor:
    rest = classes, ignored
    return _planned("histogram", (target,), rest, lambda: Histogram(target, classes, ignored))(target)


def run(
    logits: Tensor, target: Tensor, inputs: LossInputs, *,
    reduce: bool = True, gradient: bool = False, grad_output: Tensor | None = None, sums: bool = False,
) -> Result:  # fmt: skip
    derivatives = inputs.regions and inputs.regions.derivatives
    tensors = logits, target, inputs.tables, inputs.seed, inputs.offset, inputs.pixel_weight, grad_output, derivatives
    rest = (
        inputs.curve.name, inputs.rows, inputs.first, inputs.lead, inputs.noise and inputs.noise.distribution,
        inputs.ignored, inputs.align_corners, inputs.uniform_scale, reduce, gradient, sums,
        inputs.regions and inputs.regions.needs,
    )  # fmt: skip
    options: dict[str, Any] = {"reduce": reduce, "gradient": gradient, "sums": sums, "grad_output": grad_output}
    made = _planned("pass", tensors, rest, lambda: Pass(logits, target, inputs, **options))
    loss, made_gradient, by_class, totals = made(*tensors)
    regions = None
    if totals is not None:
        L = logits.shape[1]
        regions = totals[DERIVATIVES * len(target) * L :].view(-1, SUMS, L)
        if inputs.pixel_weight is None:
            regions[:, 3] = histogram(target, L, inputs.ignored)[:, :-1]
    return Result(loss, made_gradient, by_class, regions)


def predict(logits: Tensor, size: torch.Size, align_corners: bool) -> Tensor:
    labels = torch.empty(len(logits), *size, dtype=label_dtype(logits.shape[1]), device=logits.device)

    def made() -> Launch:
        resize = bilinear(logits.shape[2:], size, align_corners)
        compute = tl.float64 if compute_dtype(logits) == torch.float64 else tl.float32
        if resize is not None:
            return _resized(logits, labels, resize, compute)
        tile = loss_tile(logits, noisy=False)
        shape, (z, p) = strides_over_pixels(logits, labels, rank=len(size))
        return Launch(
            predict_kernel, programs(labels, tile.PIXELS), logits.device, Layout(prediction=p, logits=z), shape,
            L=logits.shape[1], COMPUTE=compute, INDEX=index_dtype((logits, labels), tile.CLASSES + tile.PIXELS),
            CLASSES=tile.CLASSES, PIXELS=tile.PIXELS, VECTOR=tile.VECTOR, num_warps=tile.num_warps,
        )  # fmt: skip

    _planned("predict", (logits,), (size, align_corners), made)((logits, labels))
    return labels


def _resized(logits: Tensor, labels: Tensor, resize: Resize, compute: tl.dtype) -> Launch:
    tile = tiles.between_tile(logits.shape[1], resize, 1, not hardware.interpreted())
    _, (z, p) = strides_over_pixels(logits, labels, rank=2, merge=False)
    return Launch(
        predict_resized_kernel, programs_between(resize, len(logits), tile.LANES, tile.ROWS), logits.device,
        Layout(prediction=p, logits=z), compiled_in(resize), L=logits.shape[1], COMPUTE=compute,
        INDEX=index_dtype((logits, labels), tile.CLASSES + tile.LANES, resize), **tile._asdict(),
    )  # fmt: skip


def confusion(target: Tensor, prediction: Tensor, classes: int, ignored: Ignored) -> Tensor:
    tensors, rest = (target, prediction), (classes, ignored)
    made = _planned("confusion", tensors, rest, lambda: Confusion(target, prediction, classes, ignored))
    return made(target, prediction)

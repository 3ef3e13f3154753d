"""One pass over the logits: what a kind of call launches, and on what, worked out once and started at every call."""

import dataclasses
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ...adjustment import ROWS
from ...curves import TRITON_FNS, Curve
from ...inputs import ClassSums, Ignored, LossInputs, compute_dtype, label_dtype
from ...regions import DERIVATIVES, SUMS
from ...resize import Resize, bilinear
from . import curves, hardware, philox, tiles
from .launch import Launch
from .loss import loss_kernel
from .pixel import hidden
from .predict import class_sums_kernel
from .resize import compiled_in, programs_between
from .resized_loss import resized_loss_kernel
from .total import region_totals_kernel, total_kernel
from .upsample import upsample_kernel
from .views import Strides, index_dtype, strides_over_pixels

# Elements; partial sums begin where many can be read at once.
ROOM = 16


class Layout(NamedTuple):
    """The strides of a kernel's arguments of these names, None where there is none.

    last: always None. Triton 3.6 loses what is constant inside an inner tuple, such as a stride of 1, where a loop
    begins, unless a constant of the outer tuple comes after.
    """

    target: Strides | None = None
    pixel_weight: Strides | None = None
    grad_output: Strides | None = None
    loss_map: Strides | None = None
    prediction: Strides | None = None
    logits: Strides | None = None
    gradient: Strides | None = None
    saved: Strides | None = None
    last: Any = None


class TableRows(NamedTuple):
    """Which row of the tables holds what, compiled in; None where none does. uniform: a scale that classes share."""

    uniform: Any
    scale: Any
    offset: Any
    margin: Any
    variation: Any


class Pass:
    """Loss, gradient and sums by class of one kind of call, in one pass over its logits.

    Built from tensors of that kind, of which it keeps none; called with others of it: (logits, target (B, *spatial),
    the tensors of ``LossInputs``, grad_output, the derivatives by the sums of region losses) -> what ``Result`` holds.
    ``reduce``: the loss is a number; ``gradient``: and its gradient is made; ``sums``: and its sums by class. With a
    ``grad_output``, of the target's shape, the gradient alone, times it.

    programs: that leave a partial sum each, in memory of their own, or in the inputs' tables from element
    ``first_partial`` on. With the sums of region losses they leave both in one memory, and what comes of them has room
    for the derivatives before it: (3 B L + 4 B L,).
    """

    def __init__(
        self, logits: Tensor, target: Tensor, inputs: LossInputs, *,
        reduce: bool, gradient: bool, sums: bool, grad_output: Tensor | None = None,
    ) -> None:  # fmt: skip
        for name, tensor in (("logits", logits), ("pixel_weight", inputs.pixel_weight)):
            if tensor is not None and tensor.is_neg():
                raise ValueError(
                    f"{name}: got a view whose numbers are negated when they are read, which the kernels do not do; "
                    f"pass {name}.resolve_neg()"
                )
        forward, compute, L = grad_output is None, compute_dtype(logits), logits.shape[1]
        self.device, self.pixels = logits.device, target.shape
        self.numbers = torch.empty(0, dtype=compute, device=self.device)  # what others are made like, fast
        self.reduce, self.sums = reduce and forward, sums
        self.differentiate = gradient or not forward
        self.mapped = forward and (sums or not reduce)
        self.label_dtype = label_dtype(L)
        resize = bilinear(logits.shape[2:], target.shape[1:], inputs.align_corners)
        self.tiling = tiling(
            logits, target, resize, noisy=inputs.noise is not None, wide=compute == torch.float64,
            whole=inputs.regions is None,
        )  # fmt: skip
        self.programs = self.tiling.programs if self.reduce else 0
        self.first_partial: int | None = None
        self.region_sums = inputs.regions is not None and not self.differentiate
        self.partials, self.totals = self.programs, (SUMS + DERIVATIVES) * len(target) * L
        if self.region_sums:
            self.first_partial = triton.cdiv(self.programs * SUMS * L, ROOM) * ROOM
            self.partials += self.first_partial
        regions = inputs.regions and inputs.regions._replace(derivatives=None)
        self.inputs = inputs._replace(tables=None, seed=None, offset=None, pixel_weight=None, regions=regions)
        self.saved = 3 if inputs.regions is None else 9, *target.shape
        self.kernels: Kernels | None = None

    def __call__(
        self, logits: Tensor, target: Tensor, tables: Tensor | None, seed: Tensor | None, offset: Tensor | None,
        pixel_weight: Tensor | None, grad_output: Tensor | None = None, derivatives: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor | None, ClassSums | None, Tensor | None]:  # fmt: skip
        numbers = self.numbers
        gradient = torch.empty_like(logits) if self.differentiate else None
        loss_map = numbers.new_empty(self.pixels) if self.mapped else None
        prediction = torch.empty(self.pixels, dtype=self.label_dtype, device=self.device) if self.sums else None
        partial = None
        if self.reduce:
            own = self.region_sums or self.first_partial is None
            partial = numbers.new_empty(self.partials) if own else tables
        kernels = self.kernels
        if kernels is None:  # the first call's outputs say what strides the others' have
            factor = None if grad_output is None else grad_output.expand(self.pixels)
            arguments = StrideSources(target, pixel_weight, factor, loss_map, prediction, logits, gradient)
            kernels = self.kernels = plan_kernels(arguments, self.inputs, self.tiling, self.first_partial or 0)
        pointers = (
            logits, target, gradient, pixel_weight, grad_output, loss_map, prediction, None, partial, tables, seed,
            offset, partial if self.region_sums else derivatives,
        )  # fmt: skip
        if kernels.alone is not None:
            kernels.alone(pointers)
        else:
            self._in_several(kernels, pointers)
        loss, totals = loss_map, None
        if self.region_sums:
            loss, totals = numbers.new_empty(()), numbers.new_empty(self.totals)
            kernels.total((partial, loss, totals))
        elif partial is not None:
            loss = numbers.new_empty(())
            kernels.total((partial, loss))
        sums = None if kernels.sums is None else kernels.sums(target, prediction, loss_map)
        return loss, gradient, sums, totals

    def _in_several(self, kernels: "Kernels", pointers: tuple[Tensor | None, ...]) -> None:
        """The loss first where a column does not fit into the upsample kernel, which then makes the gradient alone, by
        the softmax's ``saved``; and several launches where an interval has more outputs than a program has lanes."""
        logits, target, gradient, *per_pixel, saved, partial = pointers[:9]
        if kernels.loss is not None:
            saved = self.numbers.new_empty(*self.saved)
            kernels.loss((logits, target, None, *per_pixel, saved, partial, *pointers[9:]))
            per_pixel, partial = [None] * len(per_pixel), None
        added_up = gradient
        if len(kernels.upsample) > 1 and gradient is not None:  # before it is rounded
            added_up = torch.empty_like(gradient, dtype=self.numbers.dtype)
        for launch in kernels.upsample:
            launch((logits, target, added_up, *per_pixel, saved, partial, *pointers[9:]))
        if gradient is not None and added_up is not None and added_up is not gradient:
            gradient.copy_(added_up)


class Tiling(NamedTuple):
    """How a pass is cut into programs: by the upsample kernel where it holds whole columns of resized logits, else by
    the loss kernel, after which ``upsample`` makes their gradient alone. programs: that leave a partial sum of the
    loss; each: of a launch of the upsample kernel."""

    resize: Resize | None
    loss: tiles.Tile | tiles.BetweenTile | None
    upsample: tiles.UpsampleTile | None
    each: int
    programs: int


def tiling(logits: Tensor, target: Tensor, resize: Resize | None, *, noisy: bool, wide: bool, whole: bool) -> Tiling:
    """whole: columns may be held whole, because nothing must be known of all of them first."""
    L, upsample, each = logits.shape[1], None, 0
    if resize is not None:
        upsample = tiles.upsample_tile(
            L, resize.columns, noisy, wide, not hardware.interpreted(), whole and hardware.has_ptx(logits.device)
        )
        rows, columns = resize
        each = len(logits) * triton.cdiv(L, upsample.CLASSES)
        each *= triton.cdiv(rows.source, upsample.SOURCE_ROWS) * triton.cdiv(columns.source, upsample.INTERVALS - 1)
        if whole and upsample.CLASSES >= L:
            launches = triton.cdiv(columns.outputs_per_interval, upsample.OUTPUTS)
            return Tiling(resize, None, upsample, each, each * launches)
        between = tiles.between_tile(L, resize, 4, not hardware.interpreted())
        count = programs_between(resize, len(logits), between.LANES, between.ROWS)
        return Tiling(resize, between, upsample, each, count)
    loss = loss_tile(logits, noisy)
    return Tiling(resize, loss, upsample, each, programs(target, loss.PIXELS))


class StrideSources(NamedTuple):
    """Tensors of a call and of its outputs, for their strides; those of the target's size first."""

    target: Tensor
    pixel_weight: Tensor | None
    grad_output: Tensor | None
    loss_map: Tensor | None
    prediction: Tensor | None
    logits: Tensor
    gradient: Tensor | None


class Kernels(NamedTuple):
    """What a pass launches, in this order, None where it does without. alone: the only one that reads logits.

    loss: also for resized logits, without their gradient, whose columns do not fit into the upsample kernel.
    upsample: one launch, or several. total: of the partial sums.
    """

    alone: Launch | None
    loss: Launch | None
    upsample: list[Launch]
    sums: "SumsByClass | None"
    total: Launch


def plan_kernels(t: StrideSources, inputs: LossInputs, cut: Tiling, first_partial: int) -> Kernels:
    """first_partial: the element of the partial sums' memory from which on they are left there."""
    device, resize, wide = t.logits.device, cut.resize, compute_dtype(t.logits) == torch.float64
    rows = {name: None if inputs.row(name) is None else tl.constexpr(inputs.row(name)) for name in ROWS}
    uniform = rows.pop("scale") if inputs.uniform_scale else None
    held = TableRows(uniform, rows.pop("scale", None), **rows)
    fixed = inputs.first, hidden(inputs.ignored, t.target.dtype)
    constants = {
        "L": t.logits.shape[1],
        "CURVE": triton_fn(inputs.curve),
        "PARAMETERS": len(dataclasses.fields(inputs.curve)),
        "DISTRIBUTION": philox.distribution(inputs.noise.distribution, device) if inputs.noise else None,
        "COMPUTE": tl.float64 if wide else tl.float32,
        "PTX": hardware.has_ptx(device),
        "REGIONS": inputs.regions and (*inputs.regions.needs, not inputs.rows),
    }
    loss, upsample = None, []
    if resize is not None and cut.upsample is not None and (cut.loss is None or t.gradient is not None):
        layout, tile = _resized_layout(t, cut.loss is None, cut.loss is not None), cut.upsample
        upsample = [
            Launch(
                upsample_kernel, cut.each, device, layout, held, compiled_in(resize), part,
                first_partial + part * cut.each, *fixed, **constants,
                INDEX=index_dtype(t, tile.CLASSES, resize), ADDED=part > 0,
                **{name: number for name, number in tile._asdict().items() if number is not None},
            )
            for part in range(triton.cdiv(resize.columns.outputs_per_interval, tile.OUTPUTS))
        ]  # fmt: skip
    if isinstance(cut.loss, tiles.BetweenTile):
        assert resize is not None
        loss = Launch(
            resized_loss_kernel, cut.programs, device, _resized_layout(t, outputs=True, saved=True), held,
            compiled_in(resize), first_partial, *fixed, **constants, GRADIENT=t.gradient is not None,
            INDEX=index_dtype(t, cut.loss.CLASSES + cut.loss.LANES * cut.loss.ROWS, resize), **cut.loss._asdict(),
        )  # fmt: skip
    elif cut.loss is not None:
        shape, strides = strides_over_pixels(*t, rank=t.target.ndim - 1)
        loss = Launch(
            loss_kernel, cut.programs, device, Layout(*strides), held, shape, first_partial, *fixed, **constants,
            INDEX=index_dtype(t, cut.loss.CLASSES + cut.loss.PIXELS),
            EVEN=t.target[:1].numel() % cut.loss.PIXELS == 0, **cut.loss._asdict(),
        )  # fmt: skip
    launches = [launch for launch in (loss, *upsample) if launch is not None]
    warps = tiles.MOST_THREADS // hardware.warp_size(device)
    total = Launch(total_kernel, 1, device, first_partial, cut.programs, num_warps=warps, BLOCK=tiles.TOTAL_PARTIALS)
    if inputs.regions is not None:
        images, width = len(t.target), SUMS * constants["L"]
        each = cut.programs // max(images, 1)
        total = Launch(
            region_totals_kernel, 1 + images * triton.cdiv(width, tiles.TOTAL_COLUMNS), device, first_partial,
            cut.programs, each, DERIVATIVES * images * constants["L"], num_warps=warps, WIDTH=width,
            BLOCK=tiles.TOTAL_PARTIALS, ROWS=tiles.TOTAL_ROWS, COLUMNS=tiles.TOTAL_COLUMNS,
        )  # fmt: skip
    sums = None if t.prediction is None else SumsByClass(t, inputs.ignored)
    return Kernels(launches[0] if len(launches) == 1 else None, loss, upsample, sums, total)


def _resized_layout(t: StrideSources, outputs: bool, saved: bool) -> Layout:
    """Of resized logits; outputs: with what has a number for each, beside the labels."""
    if not outputs:
        t = t._replace(pixel_weight=None, grad_output=None, loss_map=None, prediction=None)
    layout = Layout(*(strides_over_pixels(each, rank=2, merge=False)[1][0] if each is not None else None for each in t))
    return layout._replace(saved=_strides_of_saved(t.target)) if saved else layout


def _strides_of_saved(target: Tensor) -> Strides:
    """Dense (3, B, H, W)."""
    pixels = target[:1].numel()
    return Strides(pixels, len(target) * pixels, 0, 0, 0)


class SumsByClass:
    """``ClassSums`` of a target, its prediction and its loss map."""

    def __init__(self, t: StrideSources, ignored: Ignored) -> None:
        self.shape = len(t.target), t.logits.shape[1]
        self.programs, L = programs(t.target, tiles.CLASS_SUMS_PIXELS), self.shape[1]
        shape, (y, p, m) = strides_over_pixels(t.target, t.prediction, t.loss_map, rank=t.target.ndim - 1)
        self.launch = Launch(
            class_sums_kernel, self.programs, t.target.device,
            Layout(y, loss_map=m, prediction=p), shape, hidden(ignored, t.target.dtype),
            L=L, INDEX=index_dtype((t.target, t.prediction, t.loss_map), tiles.CLASS_SUMS_PIXELS),
            CLASSES=min(tiles.CLASS_SUMS_CLASSES, triton.next_power_of_2(L)), PIXELS=tiles.CLASS_SUMS_PIXELS,
            LANES=min(tiles.CLASS_SUMS_LANES, tiles.CLASS_SUMS_PIXELS),
        )  # fmt: skip

    def __call__(self, target: Tensor, prediction: Tensor | None, loss_map: Tensor | None) -> ClassSums:
        assert loss_map is not None
        B, L = self.shape
        counts = torch.zeros(2, B, L, dtype=torch.int64, device=target.device)
        partial = loss_map.new_empty(self.programs, L)
        self.launch((target, prediction, loss_map, counts, partial))
        loss = partial.view(B, -1, L).sum(1) if B else partial.new_zeros(0, L)
        return ClassSums(loss, counts[0], counts[1])


def loss_tile(logits: Tensor, noisy: bool) -> tiles.Tile:
    """Of the kernels that go over pixels of logits that have the target's size."""
    flat = logits[:1, 0].is_contiguous() and logits.stride(1) != 1
    wide = logits.dtype == torch.float64
    return tiles.loss_tile(logits.shape[1], noisy, flat, wide, hardware.warp_size(logits.device))


def programs(target: Tensor, pixels: int) -> int:
    return len(target) * triton.cdiv(target[:1].numel(), pixels)


def triton_fn(curve: Curve | type[Curve]) -> Any:
    name = (curve if isinstance(curve, type) else type(curve)).__name__
    made = TRITON_FNS.get(curve.name) or getattr(curves, curve.name, None)
    if made is None:
        raise ValueError(
            f"curve: {curve.name!r} has no Triton function; give it one with pat_triton.register({name}, twin=...), or "
            "choose backend='torch'"
        )
    return made

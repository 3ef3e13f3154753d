"""Launches that need no logits: the labels' histogram, the tables of a call, the confusion matrix, a rescaling."""

import math
from collections.abc import Callable, Sequence

import torch
import triton
from torch import Tensor

from ...adjustment import ROWS
from ...description import Description
from ...inputs import Ignored
from ...numbers import NumberPairs, Pair
from ...regions import Region
from . import hardware, tiles
from .histogram import histogram_kernel, plain_histogram_kernel
from .launch import Launch
from .passes import ROOM, Layout, Pass, programs
from .pixel import hidden
from .predict import confusion_kernel
from .region_loss import region_loss_kernel
from .rescale import rescale_kernel
from .tables import tables_kernel
from .views import strides_over_pixels


class Histogram:
    """Of a target of one kind: int64 (B, L + 1), the labels that are neither a class nor ignored last."""

    def __init__(self, target: Tensor, classes: int, ignored: Ignored) -> None:
        self.shape = len(target), classes + 1
        self.integers = torch.empty(0, dtype=torch.int64, device=target.device)  # what others are made like, fast
        grid, (strides,) = strides_over_pixels(target, rank=target.ndim - 1)
        assert strides is not None
        flat = grid[1:] == (1, 1)
        tile = tiles.histogram_tile(classes, target.numel(), flat, hardware.warp_size(target.device))
        if tile is None:
            self.launch = Launch(
                plain_histogram_kernel, programs(target, tiles.HISTOGRAM_PIXELS), target.device, strides, grid,
                hidden(ignored, target.dtype),
                L=classes, BINS=triton.next_power_of_2(classes + 2), PIXELS=tiles.HISTOGRAM_PIXELS,
            )  # fmt: skip
            return
        words = not any(n % 4 for n in (grid[0], strides.image, target.data_ptr()))
        packed = words and strides.d0 == target.itemsize == 1
        bits = (classes + 1 - packed).bit_length()
        self.launch = Launch(
            histogram_kernel, programs(target, 32 * tile.LANES), target.device, strides, grid[0],
            hidden(ignored, target.dtype),
            L=classes, PACKED=packed, BITS=bits, **tile._asdict(),
        )  # fmt: skip

    def __call__(self, target: Tensor) -> Tensor:
        counts = self.integers.new_zeros(*self.shape)
        self.launch((target, counts))
        return counts


class TableMaker:
    """``LossInputs.tables`` of one kind of call, (rows + heads * B, L), as its ``Description`` says.

    The ``lead`` rows come first, with sigma, times a ``gain``, and the curve's parameters. Where there are ``passes``,
    room for their partial sums comes last, which saves memory of its own.
    """

    def __init__(
        self, description: Description, lead: int, gain: float, images: int, classes: int, heads: int,
        dtype: torch.dtype, device: torch.device, class_counts: Tensor | None, weight: Tensor | None,
        mask_sizes: Tensor | None, passes: Sequence[Pass], ignored: Ignored = (), weighed: bool = False,
    ) -> None:  # fmt: skip
        rows = lead + len(description.rows)
        self.shape: tuple[int, ...] = rows + heads * images, classes
        for each in passes:
            if each.numbers.dtype == dtype:
                each.first_partial = triton.cdiv(math.prod(self.shape), ROOM) * ROOM
                self.shape = (each.first_partial + each.programs,)
        self.numbers = torch.empty(0, dtype=dtype, device=device)  # what others are made like, fast
        strides = *(1 if t is None else t.stride(0) for t in (class_counts, weight)), *_strides(mask_sizes)
        block = triton.next_power_of_2(classes)
        self.launch = Launch(
            tables_kernel, images, device, strides, hidden(ignored, torch.int64), images,
            num_warps=1 if block <= 128 else 4,
            L=classes, LEAD=lead, ROWS=rows, GAIN=gain, WEIGHED=weighed,
            NUMERATOR=description.numerator, DIVISOR=description.counted_divisor,
            BATCH=description.counts_batch(class_counts is not None),
            **{n.upper(): None if (row := description.row(n)) is None else lead + row for n in ROWS},
            BLOCK=block, LEAD_BLOCK=triton.next_power_of_2(lead * classes),
        )  # fmt: skip

    def __call__(
        self, histogram: Tensor | None, class_counts: Tensor | None, weight: Tensor | None,
        mask_sizes: Tensor | None, numbers: Tensor | None, factors: tuple[Pair, ...], amounts: NumberPairs,
    ) -> Tensor:  # fmt: skip
        tables = self.numbers.new_empty(self.shape)
        self.launch((histogram, class_counts, weight, mask_sizes, numbers, tables), factors, amounts)
        return tables


def _strides(mask_sizes: Tensor | None) -> tuple[int, ...]:
    return (1, 1) if mask_sizes is None else mask_sizes.stride()


class RegionLosses:
    """Region losses of one kind of call, a launch each: their loss added to that of the pixels, and its derivatives
    written before the sums, see ``Pass``. weights: of the classes, for each of the ``regions``. mean: over classes,
    else the sum."""

    def __init__(
        self, regions: Sequence[Region], images: int, classes: int, device: torch.device, ignored: Ignored, mean: bool,
        weights: Sequence[Tensor | None],
    ) -> None:  # fmt: skip
        self.launches = [
            Launch(
                region_loss_kernel, 1, device, 1 if weight is None else weight.stride(0), hidden(ignored, torch.int64),
                images, num_warps=1 if classes <= 128 else 4, L=classes, MEAN=mean, ADDED=number > 0,
                BLOCK=triton.next_power_of_2(classes),
                **{name.upper(): value for name, value in region._asdict().items()},
            )
            for number, (region, weight) in enumerate(zip(regions, weights, strict=True))
        ]  # fmt: skip

    def __call__(
        self, totals: Tensor, histogram: Tensor | None, weights: Sequence[Tensor | None], numbers: Tensor | None,
        loss: Tensor, factor: Pair,
    ) -> None:  # fmt: skip
        """histogram: None where pixels have weights, whose sums are among the others. numbers: where they are in
        memory, with the factor first."""
        for launch, weight in zip(self.launches, weights, strict=True):
            launch((histogram, weight, numbers, loss, totals), factor)


class Confusion:
    """int64 (L + 2, L) of a target and a prediction of one kind."""

    def __init__(self, target: Tensor, prediction: Tensor, classes: int, ignored: Ignored) -> None:
        self.shape, self.device = (classes + 2, classes), target.device
        grid, (y, p) = strides_over_pixels(target, prediction, rank=target.ndim - 1)
        bins = triton.next_power_of_2((classes + 2) * classes)
        layout = Layout(y, prediction=p)
        self.launch = Launch(
            confusion_kernel, programs(target, tiles.HISTOGRAM_PIXELS), target.device, layout, grid,
            hidden(ignored, target.dtype),
            L=classes, BINS=bins if bins <= tiles.CONFUSION_BINS else None, PIXELS=tiles.HISTOGRAM_PIXELS,
        )  # fmt: skip

    def __call__(self, target: Tensor, prediction: Tensor) -> Tensor:
        counts = torch.zeros(self.shape, dtype=torch.int64, device=self.device)
        self.launch((target, prediction, counts))
        return counts


def rescale(gradient: Tensor) -> Callable[[Tensor, Tensor], None]:
    """Of gradients that are dense, as ``torch.empty_like`` makes them: their memory is one run of elements."""
    elements, device, at_a_time = gradient.numel(), gradient.device, tiles.RESCALE_ELEMENTS
    number = min(triton.cdiv(elements, at_a_time), tiles.rescale_programs(device))
    launch = Launch(rescale_kernel, number, device, elements, ELEMENTS=at_a_time)
    return lambda gradient, factor: launch((gradient, factor))

"""The calls whose kernels are compiled and bounded: ``matrix`` lists them, ``compiled`` does one."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from pat_triton import SegmentationLoss
from pat_triton.adjustment import LogPrior, Margin, Scale, Variation
from pat_triton.backends.triton import backend, tiles
from pat_triton.curves import Exponential
from pat_triton.resize import bilinear
from pat_triton.weights import MaskSize

from .bounds import DTYPES, H200, HEIGHT, IMAGES, RATIO, WIDTH
from .machine_code import Code, compile_call
from .properties import properties

ADJUSTMENTS: dict[str, tuple[Any, ...]] = {
    "none": (),
    "offset": (LogPrior(),),
    "margin": (Margin(), Scale(30.0)),
    "variation": (Variation(),),
}


@dataclasses.dataclass(frozen=True)
class Configuration:
    """gradient: as of ``SegmentationLoss``. layout: nchw, odd (sizes without 16-byte runs), channels_last,
    crop, or quarter: logits of a quarter of their target's height and width."""

    target: str
    classes: int
    dtype: str
    gradient: str
    adjustment: str = "none"
    layout: str = "nchw"

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Logits and labels, on meta: uint8, or int16 where the classes are more."""
        height, width = (HEIGHT - 1, WIDTH - 1) if self.layout == "odd" else (HEIGHT, WIDTH)
        kind = torch.uint8 if self.classes <= 255 else torch.int16
        labels = torch.empty(IMAGES, height, width, dtype=kind, device="meta")
        if self.layout == "quarter":
            height, width = height // RATIO, width // RATIO
        rim = 2 * (self.layout == "crop")
        logits = torch.empty(
            IMAGES, self.classes, height + rim, width + rim, dtype=getattr(torch, DTYPES[self.dtype]), device="meta"
        )
        if self.layout == "channels_last":
            logits = logits.contiguous(memory_format=torch.channels_last)
        if self.layout == "crop":
            logits = logits[..., 1:-1, 1:-1]
        return logits.requires_grad_(), labels


def matrix(targets: Iterable[str], classes: Iterable[int], dtypes: Iterable[str]) -> Iterator[Configuration]:
    """On every target both plans, and resized logits; on the H200's adjustments and layouts, and the resized
    fp16 logits' usual plan."""
    for target in targets:
        for L in classes:
            for dtype in dtypes:
                yield from _of(target, L, dtype)


def _of(target: str, L: int, dtype: str) -> Iterator[Configuration]:
    detailed = target == H200.target
    for gradient in ("one_pass", "recompute"):
        yield Configuration(target, L, dtype, gradient)
        if _held(L, dtype) and (gradient == "one_pass" or (detailed and dtype == "fp16")):
            yield Configuration(target, L, dtype, gradient, layout="quarter")
    if detailed and L in (19, 150) and dtype in ("bf16", "fp32"):
        for adjustment in ("offset", "margin", "variation"):
            yield Configuration(target, L, dtype, "one_pass", adjustment)
        for layout in ("odd", "channels_last", "crop"):
            yield Configuration(target, L, dtype, "one_pass", layout=layout)


def _held(L: int, dtype: str) -> bool:
    """Whether the upsample kernel has whole columns."""
    resize = bilinear(torch.Size((HEIGHT // RATIO, WIDTH // RATIO)), torch.Size((HEIGHT, WIDTH)), align_corners=False)
    assert resize is not None
    return tiles.upsample_tile(L, resize.columns, False, dtype == "fp64", True, False).CLASSES >= L


def compiled(configuration: Configuration) -> list[Code | None]:
    """Every launch of a loss and its backward, in order; None for those that read no logits."""
    c = configuration
    logits, labels = c.tensors()
    criterion = SegmentationLoss(
        Exponential(20.0), ADJUSTMENTS[c.adjustment], MaskSize(),
        ignore_index=255 if labels.dtype == torch.uint8 else -1, gradient=c.gradient,  # type: ignore[arg-type]
    )  # fmt: skip
    with (
        mock.patch("pat_triton.plan.choose", return_value=backend),
        mock.patch("pat_triton.private.has_numbers", return_value=True),
    ):
        return compile_call(c.target, lambda: criterion(logits, labels).backward(), reading="logits")


def rows(configuration: Configuration) -> list[dict[str, Any]]:
    """Properties of each launch that reads logits, beside the number of launches of the whole call."""
    codes = compiled(configuration)
    logits, labels = configuration.tensors()
    described = dataclasses.asdict(configuration) | {"launches": len(codes)}
    return [described | properties(code, configuration.target, logits, labels) for code in codes if code]

"""What ``strategies`` draws: a loss, logits and labels of any shape, dtype and strides, and how they are run."""

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import pat_triton
import reference
from pat_triton import adjustment
from pat_triton.region_losses import REGIONS


def holds(dtype: torch.dtype, value: int) -> bool:
    return torch.iinfo(dtype).min <= value <= torch.iinfo(dtype).max


@dataclasses.dataclass(frozen=True)
class Layout:
    """Memory of the dimensions in this ``order``, each after ``before`` unused elements and ``steps`` apart;
    ``repeated`` dimensions have stride 0."""

    order: tuple[int, ...]
    steps: tuple[int, ...]
    before: int = 0
    repeated: tuple[int, ...] = ()

    def lay(self, t: Tensor, around: float, device: torch.device) -> tuple[Tensor, Tensor]:
        """(memory, a view into it that equals ``t`` where nothing is repeated); the rest holds ``around``."""
        first = t[tuple(slice(1 if d in self.repeated else None) for d in range(t.ndim))]
        sizes = [self.before + first.shape[d] * self.steps[d] for d in self.order]
        memory = torch.full(sizes, around, dtype=t.dtype, device=device)
        view = memory[tuple(slice(self.before, None, self.steps[d]) for d in self.order)]
        view = view.permute(*(self.order.index(d) for d in range(t.ndim)))
        return memory, view.copy_(first).expand(t.shape)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """All that a run depends on; its repr makes it again, given ``torch`` and this module's names."""

    loss: str
    arguments: dict[str, Any]
    adjustment: tuple[tuple[str, float | None], ...]  # class and argument, besides the loss's own
    regions: tuple[tuple[float, str, dict[str, Any]], ...]  # factor, loss and arguments of what is added
    shape: tuple[int, ...]  # of the logits
    size: tuple[int, ...]  # of the target
    align_corners: bool
    dtype: torch.dtype
    labels: torch.dtype
    ignore_index: int
    logits_layout: Layout
    target_layout: Layout
    channel: bool  # target (B, 1, *spatial)
    magnitude: float
    special: str  # logits: -inf for the last class, or here and there; nan where ignored; sure of the label
    present: int  # labels are drawn from so many classes
    ignored: float  # share of ignored pixels
    void: bool  # the first image is all ignored
    reduction: str
    loss_weight: float
    gradient: str
    training: bool
    graph: str  # logits are a leaf, inside a graph, or without one
    upstream: str
    twice: bool  # backward
    stats: bool
    cut: int | None  # size of tiles and chunks; None leaves them
    seed: int

    @property
    def draws(self) -> bool:
        return self.loss == "BLVLoss" and self.training

    @property
    def has_regions(self) -> bool:
        return bool(self.regions) or self.loss in REGIONS

    @property
    def of_pixels(self) -> "Case | None":
        """Without region losses; None where nothing is left."""
        return None if self.loss in REGIONS else dataclasses.replace(self, regions=())

    @property
    def subtracted(self) -> float:
        """What the formulas of region losses subtract from, in all: a 1 for each."""
        factors = [1.0] * (self.loss in REGIONS) + [abs(factor) for factor, _, _ in self.regions]
        each = 3 * self.shape[0] * self.shape[1] if self.reduction == "sum" else 1  # weights are 3 at most
        return sum(factors) * abs(self.loss_weight) * each

    @property
    def classes(self) -> Tensor:
        """Their numbers, to compare with (B, 1, *spatial)."""
        return torch.arange(self.shape[1]).view(-1, *[1] * len(self.size))

    @property
    def resized(self) -> bool:
        return self.size != self.shape[2:]

    @property
    def stretch(self) -> float:
        """How much an error of a logit grows: by scales, and by a curve's steepness."""
        scales = [v for name, v in self.adjustment if name == "Scale"]
        T, gamma = (self.arguments.get(name, 0.0) for name in ("temperature", "gamma"))
        own = math.prod(scales) * self.arguments.get("scale", 1.0) * (1 + gamma) * (1 + 1 / T if T else 1)
        return max([own, *(1 + arguments.get("gamma", 1.0) for _, _, arguments in self.regions)])

    @property
    def even(self) -> "Case":
        """The same weights, with no class preferred: of logits 0 no pixel is sure."""
        scales = tuple(pair for pair in self.adjustment if pair[0] == "Scale")
        loss = "CrossEntropyLoss" if self.loss == "BalancedSoftmaxLoss" else self.loss
        return dataclasses.replace(self, loss=loss, adjustment=scales)

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def inputs(self, device: torch.device) -> tuple[Tensor, Tensor, list[Tensor]]:
        """(logits, target (B, *size), the memory of both)."""
        g = self.generator()
        shape = (self.shape[0], *self.size)
        labels = torch.randint(0, self.present, shape, generator=g)
        ignored = torch.rand(shape, generator=g) < self.ignored
        ignored[: int(self.void)] = True
        labels = labels.masked_fill(ignored & holds(self.labels, self.ignore_index), self.ignore_index)
        wrong = min(self.shape[1], 127)  # what a stray read would find: no class, where the dtype has such
        held, y = self.target_layout.lay(labels.to(self.labels), wrong, device)
        labels = y.cpu().long()[:, None]
        z = (torch.randn(self.shape, generator=g, dtype=torch.float64) * self.magnitude).to(self.dtype)
        if self.special == "impossible class":
            z[:, -1] = -torch.inf
        elif self.special == "impossible":
            z.masked_fill_((torch.rand(z.shape, generator=g) < 0.3) & (labels != self.classes), -torch.inf)
        elif self.special == "ignored":
            z.masked_fill_(labels == self.ignore_index, torch.nan)
        elif self.special == "sure":
            z += 20 * (labels == self.classes)
        memory, z = self.logits_layout.lay(z, torch.nan, device)
        return z, y, [memory, held]

    def factor(self, value: Tensor) -> Tensor | None:
        """The gradient that arrives at ``value``."""
        made = {
            "one": None if value.ndim == 0 else torch.ones(value.shape),
            "random": torch.randn(value.shape, generator=self.generator()),
            "negative": torch.full(value.shape, -2.5),
            "zero": torch.zeros(value.shape),
            "stride 0": torch.tensor(0.3).expand(value.shape),
        }[self.upstream]
        return None if made is None else made.to(value.device, value.dtype)

    def criterion(self, backend: str) -> pat_triton.SegmentationLoss | pat_triton.SumLoss:
        options = {"reduction": self.reduction, "loss_weight": self.loss_weight, "ignore_index": self.ignore_index}
        options |= {"align_corners": self.align_corners, "gradient": self.gradient, "backend": backend}
        made = getattr(pat_triton, self.loss)(**self.arguments, **options)
        if self.adjustment:
            extra = tuple(getattr(adjustment, name)(*[v][: v is not None]) for name, v in self.adjustment)
            counted = {name: self.arguments.get(name) for name in ("weight", "class_counts")}
            made = pat_triton.SegmentationLoss(
                made.curve, (*made.adjustment, *extra), made.weights, **counted, **options
            )
        more = (factor * getattr(pat_triton, name)(**own, **options) for factor, name, own in self.regions)
        return sum(more, start=made).train(self.training)

    def reference(self, reduction: str) -> Any:
        extra = self.adjustment

        class Adjusted(getattr(reference, self.loss)):
            def terms(self, z: Tensor, y: Tensor, counts: Tensor) -> Tensor:
                n = self.n(counts).clamp(min=1).view(-1, *[1] * (z.ndim - 2))
                own = F.one_hot(y, z.shape[1]).movedim(-1, 1)
                scale = 1.0
                for name, v in extra:
                    if name == "Scale":
                        scale *= v
                    else:
                        z = z + n.log() if name == "LogPrior" else z - v * (n / n.min()) ** -0.25 * own
                return super().terms(scale * z, y, counts)

        options = {"loss_weight": self.loss_weight, "ignore_index": self.ignore_index, "reduction": reduction}
        options["align_corners"] = self.align_corners
        more = ((factor, getattr(reference, name)(**own, **options)) for factor, name, own in self.regions)
        return reference.SumLoss((1.0, Adjusted(**self.arguments, **options)), *more)

    @contextlib.contextmanager
    def cuts(self) -> Iterator[None]:
        """Tiles and chunks of few classes and pixels, several of each."""
        from pat_triton.backends.triton import tiles
        from pat_triton.call import forget

        with pytest.MonkeyPatch.context() as patch:
            if (n := self.cut) is not None:
                patch.setattr(tiles, "loss_tile", lambda *_: tiles.Tile(n, n, 1, 1))
                patch.setattr(tiles, "upsample_tile", lambda *_: tiles.UpsampleTile(n, 32 // n, 2, 32 // n, 1))
                for name in ("HISTOGRAM_PIXELS", "CLASS_SUMS_PIXELS", "RESCALE_ELEMENTS", "TOTAL_PARTIALS"):
                    patch.setattr(tiles, name, 8 * n)
                patch.setattr(tiles, "TOTAL_ROWS", 2)
                patch.setattr(tiles, "TOTAL_COLUMNS", n)
                patch.setattr(tiles, "HISTOGRAM_LABELS", 0)
                patch.setattr("pat_triton.backends.torch.source.CPU_CHUNK", 16 * n)
                patch.setattr("pat_triton.backends.torch.count.CPU_LABELS", n)
            forget()
            yield
        forget()

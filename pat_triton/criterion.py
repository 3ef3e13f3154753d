"""SegmentationLoss: an adjustment, a curve and a weight rule, and the call that joins them."""

from collections.abc import Sequence
from typing import Any, Literal, TypedDict, Union, overload

import torch
import torch.distributed as dist
from torch import Tensor, nn

from . import checks, noise
from .adjustment import Adjustment, Tables, combine
from .curves import CrossEntropy, Curve, as_curve
from .library import route
from .ops import apply
from .problem import Path, Problem, Tally, compute_dtype
from .sharing import SharedCensus, held, share
from .statistics import Statistics, statistics
from .weights import Census, Pixel, Rule, weight_table

Reduction = Literal["mean", "sum", "none"]
Backend = Literal["auto", "triton", "torch"]
Numbers = Sequence[float] | Tensor
Gradient = Literal["auto", "one_pass", "recompute"]
Sharding = Literal["images", "rows"]
ProcessGroup = Union["dist.ProcessGroup", Literal["world"], None]


class Common(TypedDict, total=False):
    """What every loss takes, by keyword; documented at ``SegmentationLoss``."""

    ignore_index: int
    reduction: Reduction
    loss_weight: float
    align_corners: bool
    backend: Backend
    gradient: Gradient
    validate: bool
    process_group: ProcessGroup
    sharding: Sharding


class Weighted(Common, total=False):
    weight: Numbers | None


class Counted(Common, total=False):
    class_counts: Numbers | None


class Options(Weighted, Counted, total=False):
    """All of them."""


class SegmentationLoss(nn.Module):
    """A segmentation loss made of three parts.

        a_l  = scale_l * (z_l + offset_l - margin_l * [l = y]) + variation     adjustment
        l(u) = -f(p) * u   with p = softmax(a)_y, u = log p                   curve
        loss = sum over images b, pixels j of weights[b, y] * l(u)            weights

    Called as ``criterion(logits, target)``:

    - logits: (B, L, *spatial), one to three spatial dimensions, float16, bfloat16, float32 or
      float64, any strides; 16-bit logits are read as they are, also under autocast.
    - target: (B, *spatial) or (B, 1, *spatial), uint8, int16, int32 or int64, any strides.
    - logits (B, L, h, w) of another size than their target (B, H, W) are resized bilinearly on the way,
      as by ``F.interpolate``, in float32 (float64 for float64 logits); no tensor of L channels and
      H x W pixels is made, and the gradient is that of the logits as they came.
    - returns a scalar, or (B, *spatial) for ``reduction="none"``: float32 (float64 for float64
      logits). The gradient has the logits' dtype. There is no second derivative: using one raises
      RuntimeError.

    Args:
        curve: a ``Curve`` or the name of one: "cross_entropy", "focal", "exponential", or registered.
        adjustment: an adjustment, or a tuple of them, or ().
        weights: a rule, see ``pat_triton.weights``.
        ignore_index: label of pixels without loss and gradient; must be none of the L classes.
        weight: (L,) class weights that multiply the weight table. Only ``CrossEntropyLoss`` divides
            its mean by their sum over the labelled pixels, as torch does.
        reduction: "none" gives each pixel's term before the last division over the batch, 0 where
            ignored; "sum" their sum; "mean" the sum divided by the rule's normaliser: the labelled
            pixels, or for PAT the B images. A batch without labelled pixels gives 0 and a zero
            gradient (torch gives nan).
        loss_weight: a factor known in forward, so that the one-pass gradient already carries it:
            put auxiliary weights and 1 / accumulation steps here.
        class_counts: (L,) pixels of each class in the data set, whole numbers, kept as an int64
            buffer. None: those of the batch.
        align_corners: how logits of another size than their target are resized, as in ``F.interpolate``.
        backend: "triton" (the kernels: CUDA, ROCm, XPU), "torch" (anywhere), or "auto".
        gradient: "one_pass" writes the gradient in forward; "recompute" computes it in backward,
            from the logits; "auto" is one_pass, but recompute for float16 (a gradient that already
            carries 1 / pixels underflows before a GradScaler can reach it) and for "none", which with
            resized logits has no one_pass.
            A float16 gradient is 0 up to 2^-25, loses digits below 2^-14, and is inf from 65520 on, where a
            GradScaler skips the step. A wrong pixel's is about scale * weight / labelled pixels for a mean
            (LDAM's ``scale`` times that), and scale * beta / (B * S) for PAT: a lone pixel overflows at 65536.
        validate: check the labels on a GPU too, at the price of a host synchronisation each call
            (also by PAT_TRITON_VALIDATE=1). Without it a wrong label there makes the loss NaN and
            the gradient of its own pixel, or of the four logits that it sees. On a CPU labels are always checked.
        process_group: the processes that the batch lies on, or "world" for all of them when called; they count
            labels, classes and images together, so that the mean over processes of the loss, and of the
            gradient, as DistributedDataParallel takes it, is that of the whole batch in one process, noise
            included. With "none" each has the terms of its pixels. None: this process's batch is the whole.
            In eval mode too, so that one process may validate alone.
        sharding: what each process has: "images", some of the batch, or "rows", some rows of every image, in the
            order of the ranks. Rows need logits of their target's size, and all the same images.

    Raises:
        TypeError, ValueError: naming the argument, what came and what was expected; for labels
            the values, how many, and the likely mistake.
    """

    weight: Tensor | None
    class_counts: Tensor | None

    def __init__(
        self,
        curve: Curve | str = CrossEntropy(),  # noqa: B008  (frozen)
        adjustment: Adjustment | tuple[Adjustment, ...] = (),
        weights: Rule = Pixel(),  # noqa: B008  (frozen)
        *,
        ignore_index: int = 255,
        weight: Numbers | None = None,
        reduction: Reduction = "mean",
        loss_weight: float = 1.0,
        class_counts: Numbers | None = None,
        align_corners: bool = False,
        backend: Backend = "auto",
        gradient: Gradient = "auto",
        validate: bool = False,
        process_group: ProcessGroup = None,
        sharding: Sharding = "images",
    ) -> None:
        super().__init__()
        self.curve = as_curve(curve)
        self.adjustment = adjustment if isinstance(adjustment, tuple) else (adjustment,)
        for part in self.adjustment:
            checks.part("adjustment", part, "a callable or a tuple of them")
        checks.part("weights", weights, "a callable rule")
        self.weights = weights
        self.ignore_index = checks.index("ignore_index", ignore_index)
        self.reduction = checks.known("reduction", reduction, ("mean", "sum", "none"))
        self.loss_weight = checks.finite("loss_weight", loss_weight)
        self.align_corners = checks.flag("align_corners", align_corners)
        self.backend = checks.known("backend", backend, ("auto", "triton", "torch"))
        self.gradient = checks.known("gradient", gradient, ("auto", "one_pass", "recompute"))
        self.validate = checks.flag("validate", validate)
        self.process_group = held(checks.process_group(process_group))
        self.sharding = checks.known("sharding", sharding, ("images", "rows"))
        self.register_buffer("weight", None if weight is None else checks.weights("weight", weight))
        self.register_buffer(
            "class_counts", None if class_counts is None else checks.counts("class_counts", class_counts)
        )

    @overload
    def forward(
        self, logits: Tensor | Sequence[Tensor], target: Tensor, return_stats: Literal[False] = ...,
        *, weights: Sequence[float] | None = ..., mask_sizes: Tensor | None = ...,
    ) -> Tensor: ...  # fmt: skip
    @overload
    def forward(
        self, logits: Tensor | Sequence[Tensor], target: Tensor, return_stats: Literal[True],
        *, weights: Sequence[float] | None = ..., mask_sizes: Tensor | None = ...,
    ) -> tuple[Tensor, Statistics]: ...  # fmt: skip
    def forward(
        self, logits: Tensor | Sequence[Tensor], target: Tensor, return_stats: bool = False,
        *, weights: Sequence[float] | None = None, mask_sizes: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Statistics]:  # fmt: skip
        """See the class: logits (B, L, *spatial), target (B, *spatial) -> the loss.

        Args:
            logits: or a list of them, of one batch and each of its own size (deep supervision): the loss is the
                sum of theirs, and the labels are counted once.
            return_stats: return (loss, ``Statistics``), made in the same pass without waiting for the device. Of
                several logits their loss is all of them's, and the predictions the first's.
            weights: a number for each of a list of logits; None is 1 for each.
            mask_sizes: S of each image and class, integers (B, L), for a target that is a crop or a tile of a
                larger image; None counts the target. For rules that use them (``PATLoss``). They cannot be less
                than the target's own: ValueError on a CPU, elsewhere (see ``validate``) the loss is nan.
        """
        heads, factors = checks.heads(logits, weights)
        for head in heads:
            labels = self._checked(head, target, heads[0])
        checks.flag("return_stats", return_stats)
        checks.mask_sizes(mask_sizes, heads[0])

        path = route(self.backend, heads[0])
        census = self._census(path, labels, heads[0].shape[1], mask_sizes)
        looked = checks.looks_at_labels(labels.device, self.validate)
        if looked and not path.traced:
            census.look(self.ignore_index)
        tables = combine(self.adjustment, census.counts) if self.adjustment else Tables()
        tables = tables if self.training else tables.calm()
        losses: list[Tensor] = []
        tallies: list[Tally] = []
        for head, factor in zip(heads, factors, strict=True):
            problem = self._problem(census, tables, factor * self.loss_weight, compute_dtype(head), looked)
            reduce = self.reduction != "none"
            one_pass = self._one_pass(head.dtype, path.traced)
            loss, tally = apply(path, head, labels, problem, reduce=reduce, one_pass=one_pass, tally=return_stats)
            losses.append(loss)
            tallies += [tally] if tally else []
        loss = sum(losses[1:], losses[0])
        return (loss, statistics(tallies, census.histogram, looked)) if return_stats else loss

    def _checked(self, logits: Tensor, target: Tensor, first: Tensor) -> Tensor:
        """The target of these logits as (B, *spatial)."""
        checks.logits(logits)
        checks.alike(logits, first)
        target = checks.target(target, logits)
        checks.ignored(self.ignore_index, logits.shape[1])
        checks.per_class("weight", self.weight, logits)
        checks.per_class("class_counts", self.class_counts, logits)
        if logits.shape[2:] != target.shape[1:]:
            if self.gradient == "one_pass" and self.reduction == "none":
                raise ValueError(
                    "gradient: 'one_pass' with reduction='none' needs logits of their target's size, got "
                    f"{tuple(logits.shape)} for {tuple(target.shape)}: the factor of each pixel comes too late; "
                    "choose 'auto' or 'recompute'"
                )
            if self._shared and self.sharding == "rows":
                raise ValueError(
                    f"sharding: 'rows' needs logits of their target's size, got {tuple(logits.shape)} for "
                    f"{tuple(target.shape)}: a resized row also sees a row of the next process"
                )
        return target

    def _apply(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        """``.half()`` and ``.to(dtype)`` are for networks: class weights keep their digits."""
        weight = self.weight
        super()._apply(fn, *args, **kwargs)
        if weight is not None and self.weight is not None and self.weight.dtype != weight.dtype:
            self.register_buffer("weight", weight.to(self.weight.device))
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        """``weight`` and ``class_counts`` may be changed between steps, and are checked and copied as at first."""
        check = {"weight": checks.weights, "class_counts": checks.counts}.get(name)
        if check is not None and value is not None:
            old = self._buffers.get(name)
            value = check(name, value)
            value = value if old is None else value.to(old.device)
        super().__setattr__(name, value)

    @property
    def _shared(self) -> bool:
        return self.process_group is not None and self.training

    def _census(self, path: Path, target: Tensor, classes: int, mask_sizes: Tensor | None) -> Census:
        def histogram() -> Tensor:
            return path.histogram(target, classes, self.ignore_index)

        given = {"counts": self.class_counts, "weight": self.weight, "mask_sizes": mask_sizes}
        if not self._shared:
            return Census(histogram, target, classes, **given)
        return SharedCensus(share(self.process_group, self.sharding), histogram, target, classes, **given)

    def _one_pass(self, logits: torch.dtype, traced: bool) -> bool:
        if self.gradient != "auto":
            return self.gradient == "one_pass"
        # A compiled backward cannot scale in place, and would read and write the gradient once more.
        return logits != torch.float16 and self.reduction != "none" and not traced

    def _problem(self, census: Census, tables: Tables, factor: float, compute: torch.dtype, looked: bool) -> Problem:
        reduced = self.reduction != "none"
        weights = weight_table(
            self.weights, census, self.reduction == "mean", factor * (census.parts if reduced else 1), compute
        )
        return Problem(
            curve=self.curve,
            tables=tables.to(compute),
            weights=weights,
            seed=census.agreed(noise.draw_seed(census.target.device)) if tables.noise else None,
            ignore_index=self.ignore_index,
            align_corners=self.align_corners,
            origin=census.origin if tables.noise else None,
            histogram=census.histogram if looked else None,
        )

    def extra_repr(self) -> str:
        parts: list[Any] = [self.curve, *self.adjustment, self.weights]
        names = ("ignore_index", "reduction", "loss_weight", "align_corners", "backend", "gradient")
        options = (f"{name}={getattr(self, name)!r}" for name in names)
        return ", ".join([*map(repr, parts), *options])

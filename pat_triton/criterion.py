"""SegmentationLoss: an adjustment, a curve and a weight rule, and the call that joins them."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypedDict, overload

import torch
from torch import Tensor, nn

from . import checks, noise
from .adjustment import Adjustment, Tables, combine
from .curves import CrossEntropy, Curve, as_curve
from .ops import apply
from .paths import choose
from .problem import Problem, compute_dtype
from .resize import resize
from .weights import Census, Pixel, Rule, weight_table

Reduction = Literal["mean", "sum", "none"]
Backend = Literal["auto", "triton", "torch"]
Numbers = Sequence[float] | Tensor
Gradient = Literal["auto", "one_pass", "recompute"]


class Common(TypedDict, total=False):
    """What every loss takes, by keyword; documented at ``SegmentationLoss``."""

    ignore_index: int
    reduction: Reduction
    loss_weight: float
    align_corners: bool
    backend: Backend
    gradient: Gradient
    validate: bool


class Weighted(Common, total=False):
    weight: Numbers | None


class Counted(Common, total=False):
    class_counts: Numbers | None


class Options(Weighted, Counted, total=False):
    """All of them."""


class Statistics(NamedTuple):
    """What a call with ``return_stats=True`` also returns, by image and class: (B, L) on the logits' device.

    Of several batches: ``Statistics(*map(torch.cat, zip(*batches)))``. ``pat_triton.metrics`` makes IoU,
    accuracy and Dice of them. An image with wrong labels that were not looked at (see ``validate``) has
    nan and negative counts, and the metrics are nan.

    loss: the sum of the loss's terms over the class's pixels, float32 (float64 for float64 logits),
        weights and reduction included: they add up to the loss.
    labelled: pixels of the class, int64.
    predicted: labelled pixels whose largest logit is the class's (the first, where several are), int64.
        Of the logits as they came: without margin, offset or variation.
    correct: those that are of the class, int64.
    """

    loss: Tensor
    labelled: Tensor
    predicted: Tensor
    correct: Tensor


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
    ) -> None:
        super().__init__()
        self.curve = as_curve(curve)
        self.adjustment = adjustment if isinstance(adjustment, tuple) else (adjustment,)
        if not all(map(callable, self.adjustment)):
            raise TypeError(f"adjustment: expected a callable or a tuple of them, got {adjustment!r}")
        if not callable(weights):
            raise TypeError(f"weights: expected a callable rule, got {weights!r}")
        self.weights = weights
        self.ignore_index = checks.index("ignore_index", ignore_index)
        self.reduction = checks.known("reduction", reduction, ("mean", "sum", "none"))
        self.loss_weight = checks.finite("loss_weight", loss_weight)
        self.align_corners = checks.flag("align_corners", align_corners)
        self.backend = checks.known("backend", backend, ("auto", "triton", "torch"))
        self.gradient = checks.known("gradient", gradient, ("auto", "one_pass", "recompute"))
        self.validate = checks.flag("validate", validate)
        self.register_buffer("weight", None if weight is None else checks.weights("weight", weight))
        self.register_buffer(
            "class_counts", None if class_counts is None else checks.counts("class_counts", class_counts)
        )

    @overload
    def forward(self, logits: Tensor, target: Tensor, return_stats: Literal[False] = ...) -> Tensor: ...
    @overload
    def forward(self, logits: Tensor, target: Tensor, return_stats: Literal[True]) -> tuple[Tensor, Statistics]: ...
    def forward(self, logits: Tensor, target: Tensor, return_stats: bool = False) -> Tensor | tuple[Tensor, Statistics]:
        """See the class: logits (B, L, *spatial), target (B, *spatial) -> loss, or (loss, ``Statistics``)
        made in the same pass and without waiting for the device."""
        checks.logits(logits)
        target = checks.target(target, logits)
        classes = logits.shape[1]
        checks.ignored(self.ignore_index, classes)
        checks.per_class("weight", self.weight, logits)
        checks.per_class("class_counts", self.class_counts, logits)
        checks.flag("return_stats", return_stats)

        reduce = self.reduction != "none"
        one_pass = self.gradient == "one_pass" or (self.gradient == "auto" and logits.dtype != torch.float16 and reduce)
        if one_pass and not reduce and logits.shape[2:] != target.shape[1:]:
            raise ValueError(
                "gradient: 'one_pass' with reduction='none' needs logits of their target's size, got "
                f"{tuple(logits.shape)} for {tuple(target.shape)}: the factor of each pixel comes too late; "
                "choose 'auto' or 'recompute'"
            )

        path = choose(self.backend, logits.device)
        census = Census(
            lambda: path.histogram(target, classes, self.ignore_index), logits, target, self.class_counts, self.weight
        )
        looked = checks.looks_at_labels(logits.device, self.validate)
        if looked and bool(census.histogram[:, -1].any()):
            raise checks.wrong_labels(target, classes, self.ignore_index)
        problem = self._problem(logits, target, census)
        loss, tally = apply(path, logits, target, problem, reduce=reduce, one_pass=one_pass, tally=return_stats)
        if tally is None:
            return loss
        if looked:
            return loss, Statistics(tally.loss, census.sizes, tally.predicted, tally.correct)
        wrong = census.histogram[:, -1:] > 0
        counts = (checks.spoil(n, wrong) for n in (census.sizes, tally.predicted, tally.correct))
        return loss, Statistics(tally.loss.masked_fill(wrong, torch.nan), *counts)

    def _problem(self, logits: Tensor, target: Tensor, census: Census) -> Problem:
        compute = compute_dtype(logits)
        tables = combine(self.adjustment, census.counts) if self.adjustment else Tables()
        if not self.training:
            tables = tables.calm()
        return Problem(
            curve=self.curve,
            tables=tables.to(compute),
            weights=weight_table(self.weights, census, self.reduction == "mean", self.loss_weight, compute),
            seed=noise.draw_seed(logits.device) if tables.noise else None,
            ignore_index=self.ignore_index,
            resize=resize(logits.shape[2:], target.shape[1:], self.align_corners),
        )

    def extra_repr(self) -> str:
        parts: list[Any] = [self.curve, *self.adjustment, self.weights]
        names = ("ignore_index", "reduction", "loss_weight", "align_corners", "backend", "gradient")
        options = (f"{name}={getattr(self, name)!r}" for name in names)
        return ", ".join([*map(repr, parts), *options])

"""SegmentationLoss: an adjustment, a curve and a weight rule, and the call that joins them."""

import copy
import json
from collections.abc import Sequence
from functools import cache, partial
from inspect import signature
from typing import Any, ClassVar, Literal, overload

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling

from . import checks, private
from .adjustment import Adjustment
from .backends.choose import KERNEL_DEVICES
from .call import call, traced_call
from .curves import CrossEntropy, Curve
from .keywords import KnownKeywords
from .options import BUFFERS, CHECKS, IGNORE_INDEX, Backend, Gradient, Numbers, ProcessGroup, Reduction, Sharding
from .plan import Call
from .regions import Region
from .settings import Parts, sort
from .statistics import Statistics
from .weights import Pixel, Rule

DERIVED = ("parts", "said", "region_text", "numbers", "others", "joined")


@cache
def _fixed(loss: Any) -> frozenset[str]:
    """What of a loss of the catalogue is fixed when it is built: its constructor's arguments that are no options."""
    if loss.__module__ != f"{__package__}.losses":
        return frozenset()
    return frozenset(signature(loss.__init__).parameters) - {"self", "options"}


class Criterion(nn.Module):
    """What is called as a loss: one of them, or a sum of several, see ``SegmentationLoss`` and ``SumLoss``."""

    parts: tuple[Parts, Parts]  # in evaluation and in training mode
    ignore_index: int | tuple[int, ...]
    reduction: Reduction

    @property
    def losses(self) -> "tuple[SegmentationLoss, ...]":
        """One that has a term of each pixel, if there is one, then region losses: all are made in one pass."""
        raise NotImplementedError

    @property
    def tables(self) -> tuple[Tensor | None, Tensor | None, list[Tensor | None]]:
        """The class counts and class weights of the first loss, and those of the region losses."""
        losses = self.losses
        first, regions = losses[0], [loss.weight for loss in losses if loss.has_regions]
        return first.class_counts, None if first.has_regions else first.weight, regions

    def but(self, **options: Any) -> Any:
        """This criterion in another mode (``training``) or with another ``ignore_index``, ``reduction`` or
        ``align_corners``, to be called at once. It shares the tables and the numbers of this one, which is not written
        to: for frameworks that decide so at every call."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        """For copies and files: without what follows from the options."""
        return {name: value for name, value in self.__dict__.items() if name not in DERIVED}

    def __add__(self, other: "Criterion") -> "SumLoss":
        return SumLoss(self, other) if isinstance(other, Criterion) else NotImplemented

    def __mul__(self, factor: float) -> "Criterion":
        """A copy, times a number."""
        raise NotImplementedError

    def __rmul__(self, factor: float) -> "Criterion":
        return self * factor

    @overload
    def forward(
        self, logits: Tensor | Sequence[Tensor], target: Tensor, return_stats: Literal[False] = ...,
        *, weights: Sequence[float] | None = ..., mask_sizes: Tensor | None = ..., pixel_weight: Tensor | None = ...,
    ) -> Tensor: ...  # fmt: skip
    @overload
    def forward(
        self, logits: Tensor | Sequence[Tensor], target: Tensor, return_stats: Literal[True],
        *, weights: Sequence[float] | None = ..., mask_sizes: Tensor | None = ..., pixel_weight: Tensor | None = ...,
    ) -> tuple[Tensor, Statistics]: ...  # fmt: skip
    def forward(
        self, logits: Tensor | Sequence[Tensor], target: Tensor, return_stats: bool = False,
        *, weights: Sequence[float] | None = None, mask_sizes: Tensor | None = None,
        pixel_weight: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Statistics]:  # fmt: skip
        """See the class: logits (B, L, *spatial), target (B, *spatial) -> the loss.

        Args:
            logits: or a list of them, of one batch and each of its own size (deep supervision): the loss is the
                sum of theirs, and the labels are counted once.
            return_stats: return (loss, ``Statistics``), made in the same pass without waiting for the device. Of
                several logits: the loss of all of them, the predictions of the first.
            weights: a list of a number, of any sign, for each of a list of logits; None is 1 for each.
            mask_sizes: S of each image and class, integers (B, L), for a target that is a crop or a tile of a
                larger image; None counts the target. For rules that use them (``PATLoss``). They cannot be less
                than the target's own: ValueError on a CPU; elsewhere (see ``validate``), or compiled, the loss is nan.
            pixel_weight: a factor of each pixel's term (boundaries, a sampler's choice), float of the target's shape,
                any strides; it gets no gradient. What a mean divides by stays the same: a pixel of weight 0 has no
                loss, but is labelled.
        """
        if is_compiling():
            return traced_call(
                self, {}, logits, target, return_stats, weights=weights, mask_sizes=mask_sizes,
                pixel_weight=pixel_weight,
            )  # fmt: skip
        heads, factors = checks.heads(logits, weights)
        class_counts, weight, region_weights = self.tables
        return call(
            self.parts[self.training],
            Call(
                heads, factors, target, return_stats, class_counts, weight, mask_sizes, pixel_weight,
                region_weights=region_weights,
            ),
        )  # fmt: skip


class SegmentationLoss(KnownKeywords, Criterion):
    """A segmentation loss made of three parts. Of a pixel, z_l is the logit of class l, and y is the label:

        a_l  = scale_l * (z_l + offset_l - margin_l * [l = y]) + variation     adjustment
        l(u) = -f(p) * u   with p = softmax(a)_y, u = log p                   curve
        loss = sum over images b, pixels j of weights[b, y] * l(u)            weights

    Called as ``criterion(logits, target)``, with B images, L classes and one to three spatial dimensions:

    - logits: (B, L, *spatial), float16, bfloat16, float32 or float64, any strides; 16-bit logits are read
      as they are, also under autocast.
    - target: (B, *spatial) or (B, 1, *spatial), uint8, int16, int32 or int64, any strides.
    - logits (B, L, h, w) of another size than their target (B, H, W) are resized bilinearly on the way,
      as by ``F.interpolate``, in float32 (float64 for float64 logits); no tensor of L channels and
      H x W pixels is made, and the gradient is that of the logits as they came.
    - returns a scalar, or (B, *spatial) for ``reduction="none"``: float32 (float64 for float64
      logits). The gradient has the logits' dtype. There is no second derivative: using one raises
      RuntimeError.

    Options are attributes of these names, and may be assigned between steps (LDAM's deferred re-weighting: ``weight``).
    A number may be Python's, NumPy's or a tensor without dimensions. It is kept as Python's, and gets no gradient.

    Args:
        curve: a ``Curve`` or the name of one: "cross_entropy", "focal", "exponential", or registered.
        adjustment: an adjustment, or a tuple of them, or ().
        weights: a rule, see ``pat_triton.weights``.
        ignore_index: label of pixels without loss and gradient, or several, ``(0, 255)``; -1 ignores nothing. It may be
            one of the L classes, which then counts nowhere: not in ``class_counts``, nor in a largest or smallest of
            classes; its margin and variation are 0, its metrics nan, and it stays in the softmax, as in torch. Where
            the default of 255 is one of the classes, an error asks which is meant.
        weight: (L,) class weights: the loss of a pixel is multiplied by the weight of its label. Only
            ``CrossEntropyLoss`` divides its mean by the sum of these over the labelled pixels, as torch does. They get
            no gradient. On a GPU they are not looked at: there a negative, infinite or missing number makes the loss
            nan (see ``validate``).
        reduction: "none" gives each pixel's term before the last division over the batch, 0 where
            ignored; "sum" their sum; "mean" the sum divided by the rule's normaliser: the labelled
            pixels, or for PAT the B images. A batch without labelled pixels gives 0 and a zero
            gradient (torch gives nan).
        loss_weight: a factor of the whole loss, such as an auxiliary head's weight, or 1 / accumulation steps. It is
            known in forward, and costs nothing; a factor of the result would cost another pass over the gradient.
        class_counts: (L,) pixels of each class in the data set, whole numbers, kept as an int64
            buffer. None: those of the batch. A class with a count of 0 may occur: class-balanced weights give its
            pixels no loss, and adjustments of the logits take 1 for 0. Where labels are looked at (see ``validate``)
            a UserWarning says so, once.
        align_corners: how logits of another size than their target are resized, as in ``F.interpolate``.
        backend: "triton" (the kernels: CUDA, ROCm, XPU), "torch" (anywhere), or "auto".
        gradient: "one_pass" writes the gradient in forward; "recompute" computes it in backward,
            from the logits; "auto" is one_pass, but recompute for float16 (a gradient that already
            carries 1 / pixels underflows before a GradScaler can reach it), for "none", which with
            resized logits has no one_pass, and under torch.compile for logits of their target's size and more
            than 32 MiB: there a gradient of one pass is not scaled in place, but read and written once more.
            A float16 gradient is 0 up to 2^-25, loses digits below 2^-14, and is inf from 65520 on, where a
            GradScaler skips the step. A wrong pixel's is about scale * weight / labelled pixels for a mean
            (LDAM's ``scale`` times that), and scale * beta / (B * S) for PAT: a lone pixel overflows at 65536.
        validate: check labels and class weights on a GPU too, at the price of a host synchronisation each call
            (also by PAT_TRITON_VALIDATE=1). Without it a wrong label there makes the loss NaN and
            the gradient of its own pixel, or of the four logits that it sees. On a CPU labels are always checked.
        process_group: the processes that the batch lies on, or "world" for all of them when called; they count
            labels, classes and images together, so that the mean over processes of the loss, and of the
            gradient, as DistributedDataParallel takes it, is that of the whole batch in one process, noise
            included. (So each has as many times its share as there are processes, ``Statistics.loss`` too; but
            with "none" the terms of its pixels.) In training mode every process must call. In eval mode, or
            with None, a process's batch is the whole, and one may validate alone.
        sharding: what each process has: "images", some of the batch, or "rows", some rows of every image, in the
            order of the ranks. Rows need logits of their target's size, and all the same images.

    Raises:
        TypeError, ValueError: naming the argument, what came and what was expected; for labels
            the values, how many, and the likely mistake.
    """

    curve: Curve
    adjustment: tuple[Adjustment, ...]
    weights: Rule
    ignore_index: int | tuple[int, ...]
    reduction: Reduction
    loss_weight: float
    align_corners: bool
    backend: Backend
    gradient: Gradient
    validate: bool
    sharding: Sharding
    weight: Tensor | None
    class_counts: Tensor | None
    # What follows from the options, whenever one is assigned; ``parts`` and this in evaluation and in training mode.
    said: tuple[tuple[str, bool], tuple[str, bool]]
    region_text: str
    numbers: Tensor
    numbers_there: Tensor | None = None
    has_regions: ClassVar[bool] = False
    regions: tuple[Region, ...] = ()

    def __init__(
        self,
        curve: Curve | str = CrossEntropy(),  # noqa: B008  (frozen)
        adjustment: Adjustment | tuple[Adjustment, ...] = (),
        weights: Rule = Pixel(),  # noqa: B008  (frozen)
        *,
        ignore_index: int | Sequence[int] = IGNORE_INDEX,
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
        self.register_buffer("weight", None)
        self.register_buffer("class_counts", None)
        options = locals()
        for name in (*CHECKS, *BUFFERS):
            setattr(self, name, options[name])
        self._sort()

    def __setattr__(self, name: str, value: Any) -> None:
        """Options are checked, and tables copied, whenever they are assigned: in the constructor or between steps."""
        if name in CHECKS:
            value = CHECKS[name](name, value)
        elif name in BUFFERS:
            # DataParallel gives its replicas, at every call, copies on their devices of what was checked.
            if value is not None and not self.__dict__.get("_is_replica"):
                value = BUFFERS[name](name, value, self.validate)
                value = value.to(next((buffer.device for buffer in self.buffers()), value.device))
        elif name in _fixed(type(self)):  # type: ignore[arg-type]
            raise AttributeError(
                f"{name}: cannot be changed after a {type(self).__name__} is made; make another, or assign one of its "
                "parts: criterion.curve, criterion.adjustment or criterion.weights"
            )
        super().__setattr__(name, value)
        if name in CHECKS and "parts" in self.__dict__:
            self._sort()

    def _sort(self) -> None:
        """What follows from the options: for a call ``parts``; for a graph of torch.compile what it asks at every call,
        ``said`` and ``region_text``, and what it takes in, the ``numbers``, on a GPU too if the module is there."""
        parts = sort(self, training=False), sort(self, training=True)
        self.__dict__["parts"] = parts
        self.__dict__["region_text"] = json.dumps(self.regions)
        self.__dict__["said"] = tuple((p.settings.text, p.settings.tables_by_torch) for p in parts)
        self.__dict__["numbers"] = private.mark_static(
            torch.tensor(parts[1].numbers.flat, dtype=torch.float64, device="cpu")
        )
        there = self.numbers_there
        self._numbers_to(None if there is None else there.device)

    def _numbers_to(self, device: torch.device | None) -> None:
        there = None if device is None else private.mark_static(self.numbers.to(device, non_blocking=True))
        self.__dict__["numbers_there"] = there

    @property
    def losses(self) -> "tuple[SegmentationLoss, ...]":
        return (self,)

    def __mul__(self, factor: float) -> "SegmentationLoss":
        made = copy.deepcopy(self)
        made.loss_weight = self.loss_weight * checks.finite("*", factor)
        return made

    def but(self, **options: Any) -> Any:
        if all(getattr(self, name) == value for name, value in options.items()):
            return self
        if is_compiling():
            return partial(traced_call, self, options)
        options.setdefault("training", self.training)
        others = self.__dict__.setdefault("others", {})
        parts, other = others.get(key := tuple(sorted(options.items())), (None, None))
        if parts is not self.parts or other._buffers is not self._buffers:  # a replica has buffers of its own
            other = copy.copy(self)
            for name, value in options.items():
                setattr(other, name, value)
            others[key] = self.parts, other
        other.__dict__.update(numbers=self.numbers, numbers_there=self.numbers_there)
        return other

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._sort()

    def _apply(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        """``.half()`` and ``.to(dtype)`` are for networks: class weights keep their digits."""
        weight = self.weight
        super()._apply(fn, *args, **kwargs)
        if weight is not None and self.weight is not None and self.weight.dtype != weight.dtype:
            self.register_buffer("weight", weight.to(self.weight.device))
        there = self.numbers if self.numbers_there is None else self.numbers_there
        device = fn(torch.empty(0, device=there.device)).device
        self._numbers_to(device if device.type in KERNEL_DEVICES else None)
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Tables that were assigned after the constructor are found again."""
        for name in BUFFERS:
            if self._buffers[name] is None and prefix + name in state_dict:
                setattr(self, name, state_dict[prefix + name])
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        parts: list[Any] = [self.curve, *self.adjustment, self.weights]
        names = ("ignore_index", "reduction", "loss_weight", "align_corners", "backend", "gradient")
        options = (f"{name}={getattr(self, name)!r}" for name in names)
        return ", ".join([*map(repr, parts), *options])


class _OfAll:
    """An option that the terms of a sum have in common: read from the first, assigned to all."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, total: Any, owner: type | None = None) -> Any:
        return self if total is None else getattr(total.losses[0], self.name)

    def __set__(self, total: Any, value: Any) -> None:
        for loss in total.losses:
            setattr(loss, self.name, value)


class SumLoss(Criterion):
    """A sum of losses in one pass over the logits, as ``+`` makes it: ``PATLoss() + 0.5 * DiceLoss()``.

    It is called as each of its terms is, and has their options that belong to a call: ``ignore_index``, ``reduction``,
    ``align_corners``, ``backend``, ``validate``, ``process_group`` and ``sharding``. They are the same in all of the
    terms; assigned to the sum they are assigned to each. All other options are those of its ``terms``.

    Args:
        terms: at most one loss with a term of each pixel, such as ``PATLoss``, and any number of region losses, such
            as ``DiceLoss``. They are kept, not copied.

    Raises:
        TypeError, ValueError: for what is no loss, for two losses with a term of each pixel, and for options of a call
            that differ.
    """

    terms: nn.ModuleList
    ignore_index, reduction, align_corners, backend, validate, process_group, sharding = (
        _OfAll() for _ in checks.SHARED
    )

    def __init__(self, *terms: Criterion) -> None:
        super().__init__()
        losses = [loss for term in terms for loss in checks.criterion("terms", term, Criterion).losses]
        losses.sort(key=lambda loss: loss.has_regions)
        checks.addable(losses)
        self.terms = nn.ModuleList(losses)
        self.train(losses[0].training)

    @property
    def losses(self) -> tuple[SegmentationLoss, ...]:
        return tuple(self._modules["terms"]._modules.values())  # type: ignore[union-attr, arg-type]

    @property
    def parts(self) -> tuple[Parts, Parts]:  # type: ignore[override]
        """Made again whenever those of a term are others."""
        of_terms = [loss.parts for loss in self.losses]
        seen, made = self.__dict__.get("joined", ((), None))
        if len(seen) != len(of_terms) or any(a is not b for a, b in zip(seen, of_terms, strict=True)):
            checks.addable(self.losses)
            regions = tuple(region for loss in self.losses[1:] for region in loss.regions)
            made = tuple(parts.plus(regions) for parts in of_terms[0])
            self.__dict__["joined"] = of_terms, made
        return made  # type: ignore[return-value]

    def __mul__(self, factor: float) -> "SumLoss":
        return SumLoss(*(loss * factor for loss in self.losses))

    def but(self, **options: Any) -> Any:
        if is_compiling():
            return partial(traced_call, self, options)
        options.setdefault("training", self.training)
        losses = [loss.but(**options) for loss in self.losses]
        if all(a is b for a, b in zip(losses, self.losses, strict=True)):
            return self
        seen, made = self.__dict__.get("others", ((), None))
        if len(seen) != len(losses) or any(a is not b for a, b in zip(seen, losses, strict=True)):
            made = SumLoss(*losses)
            self.__dict__["others"] = losses, made
        return made

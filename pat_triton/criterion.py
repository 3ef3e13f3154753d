"""SegmentationLoss: an adjustment, a curve and a weight rule, and the call that joins them."""

import copy
import json
from collections.abc import Sequence
from functools import cache, partial
from inspect import signature
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.compiler import is_compiling

from . import checks, private
from .adjustment import Adjustment
from .backends.choose import KERNEL_DEVICES
from .base import Criterion
from .call import traced_call
from .curves import CrossEntropy, Curve
from .keywords import KnownKeywords
from .options import BUFFERS, CHECKS, IGNORE_INDEX, Backend, Gradient, Numbers, ProcessGroup, Reduction, Sharding
from .regions import Region
from .settings import sort
from .weights import Pixel, Rule


@cache
def _fixed(loss: Any) -> frozenset[str]:
    """What of a loss of the catalogue is fixed when it is built: its constructor's arguments that are no options."""
    if loss.__module__ != f"{__package__}.losses":
        return frozenset()
    return frozenset(signature(loss.__init__).parameters) - {"self", "options"}


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

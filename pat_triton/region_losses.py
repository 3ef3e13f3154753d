"""Losses of regions: Dice, Jaccard and Tversky, of the classes' areas and not of single pixels."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Unpack

from . import checks
from .criterion import SegmentationLoss
from .curves import NoPixelLoss
from .options import Weighted
from .regions import Region
from .weights import Element

__all__ = ["DiceLoss", "JaccardLoss", "TverskyLoss"]

CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "smooth": checks.non_negative,
    "per_image": checks.flag,
    "classes": checks.class_numbers,
    "skip_absent": checks.flag,
    "squared": checks.flag,
    "alpha": checks.non_negative,
    "beta": checks.non_negative,
    "gamma": checks.positive,
}


class RegionLoss(SegmentationLoss):
    """The base of losses of regions. A subclass says of its options what is computed, see ``pat_triton.regions``."""

    has_regions: ClassVar = True
    smooth: float
    per_image: bool
    classes: tuple[int, ...] | None
    skip_absent: bool
    squared: bool

    def __init__(
        self, smooth: float = 1.0, per_image: bool = False, classes: Sequence[int] | None = None,
        skip_absent: bool = False, squared: bool = False, **options: Unpack[Weighted],
    ) -> None:  # fmt: skip
        self._keep(smooth=smooth, per_image=per_image, classes=classes, skip_absent=skip_absent, squared=squared)
        super().__init__(NoPixelLoss(), weights=Element(), **options)

    def _keep(self, **options: Any) -> None:
        """Before the options of ``SegmentationLoss``, which are sorted together with these."""
        self.__dict__.update({name: CHECKS[name](name, value) for name, value in options.items()})

    def __setattr__(self, name: str, value: Any) -> None:
        checks.region_option(name, value)
        value = CHECKS[name](name, value) if name in CHECKS else value
        super().__setattr__(name, value)
        if name in CHECKS:
            self._sort()

    @property
    def regions(self) -> tuple[Region, ...]:  # type: ignore[override]
        return (self._region(),)

    def _region(self) -> Region:
        raise NotImplementedError

    def of_numbers(
        self, hits: float, of_hits: float, of_predicted: float, of_labelled: float, gamma: float = 1.0
    ) -> Region:
        return Region(
            hits, of_hits, of_predicted, of_labelled, self.smooth, gamma, self.loss_weight, self.per_image,
            self.classes, self.skip_absent, self.squared,
        )  # fmt: skip

    def extra_repr(self) -> str:
        own = (f"{name}={getattr(self, name)!r}" for name in CHECKS if name in self.__dict__)
        names = ("ignore_index", "reduction", "loss_weight", "align_corners", "backend", "gradient")
        return ", ".join([*own, *(f"{name}={getattr(self, name)!r}" for name in names)])


class DiceLoss(RegionLoss):
    """The Dice loss: how little the predicted area of a class and its labelled one overlap, measured against both
    (Milletari et al. 2016, V-Net).

    Over the labelled pixels of the batch, with p the softmax probabilities: I is the sum of a class's p at the pixels
    of that class, P the sum of its p at all pixels, and T the number of its pixels. The loss of the class is
    1 - (2 I + smooth) / (P + T + smooth), and the loss the mean over the classes.

    Args:
        smooth: a number of 0 or more. The larger it is, the less a class of few pixels counts. With 0 a class that is
            neither labelled nor predicted has the loss 0.
        per_image: True takes I, P and T of each image, and the mean over the images of their losses.
        classes: the classes whose loss counts, such as ``range(1, 4)`` without the background. None is all of them. An
            ignored class never counts.
        skip_absent: True takes the mean over the classes that have labelled pixels, in the batch, or in the image with
            ``per_image``.
        squared: True takes p squared in P, as V-Net does.
        weight: a number for each class, the weights of the classes' mean.

    The softmax is that of the logits as they came, also beside a loss that adjusts them. ``pixel_weight`` of a call
    multiplies what a pixel adds to I, P and T. ``reduction="sum"`` adds up over classes and images; there is no "none".
    The gradient is always computed in backward. ``SegmentationLoss`` describes the other options, shapes and errors,
    and ``SumLoss`` how to add losses: ``CrossEntropyLoss() + DiceLoss()``.
    """

    short: ClassVar = "dice"

    def _region(self) -> Region:
        return self.of_numbers(2, 0, 1, 1)


class JaccardLoss(RegionLoss):
    """The Jaccard loss, a soft IoU: how little the predicted area of a class and its labelled one overlap, measured
    against their union (Rahman and Wang 2016, Optimizing Intersection-Over-Union).

    The loss of a class is 1 - (I + smooth) / (P + T - I + smooth).

    Args:
        smooth, per_image, classes, skip_absent, squared, weight: see ``DiceLoss``, as for I, P, T and the rest.
    """

    short: ClassVar = "jaccard"

    def _region(self) -> Region:
        return self.of_numbers(1, -1, 1, 1)


class TverskyLoss(RegionLoss):
    """The Tversky loss: Dice with a weight for what is predicted wrongly and one for what is missed
    (Salehi et al. 2017, Tversky loss function), and the focal Tversky loss (Abraham and Khan 2019).

    The loss of a class is (1 - (I + smooth) / (I + alpha (P - I) + beta (T - I) + smooth)) ** gamma.

    Args:
        alpha: a number of 0 or more, the weight of pixels of other classes that are predicted as this one.
        beta: a number of 0 or more, the weight of pixels of the class that are predicted as others. A large one finds
            more of rare classes.
        gamma: a number above 0. Below 1 classes that are nearly right count more, above 1 those that are far from it.
        smooth, per_image, classes, skip_absent, squared, weight: see ``DiceLoss``, as for I, P, T and the rest.
    """

    short: ClassVar = "tversky"
    alpha: float
    beta: float
    gamma: float

    def __init__(
        self, alpha: float = 0.5, beta: float = 0.5, gamma: float = 1.0, smooth: float = 1.0, per_image: bool = False,
        classes: Sequence[int] | None = None, skip_absent: bool = False, squared: bool = False,
        **options: Unpack[Weighted],
    ) -> None:  # fmt: skip
        self._keep(alpha=alpha, beta=beta, gamma=gamma)
        super().__init__(smooth, per_image, classes, skip_absent, squared, **options)

    def _region(self) -> Region:
        return self.of_numbers(1, 1 - self.alpha - self.beta, self.alpha, self.beta, self.gamma)


# Every list of region losses elsewhere is made of this one.
REGIONS: dict[str, type[RegionLoss]] = {name: kind for name, kind in list(globals().items()) if name in __all__}

"""The catalogue: a class for each paper, which names the three parts of its loss."""

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, Unpack

from .adjustment import LogPrior, Margin, Scale, Variation
from .checks import finite, flag, known, positive
from .criterion import SegmentationLoss
from .curves import Exponential, Focal
from .options import Counted, Numbers, Options, Weighted
from .weights import EffectiveNumber, Element, MaskSize, WeightedPixel

__all__ = [
    "BLVLoss",
    "BalancedSoftmaxLoss",
    "ClassBalancedFocalLoss",
    "ClassBalancedLoss",
    "CrossEntropyLoss",
    "FocalLoss",
    "LDAMLoss",
    "PATLoss",
]


class Entry(NamedTuple):
    """What lists of losses say of one: the README's table, the registry of mmsegmentation.

    short: its name among several losses, "loss_" before it. The others are its three parts in words, and its source.
    """

    short: str
    adjustment: str
    curve: str
    weights: str
    source: str


class Argument:
    """A constructor's argument as an attribute: read from the part that has it now, of whatever was assigned since.

    read: of the loss; without it the part's own attribute of that name. A subclass may assign one of its own.
    """

    def __init__(self, read: Callable[[Any], Any] | None = None) -> None:
        self.read = read

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, loss: Any, owner: type | None = None) -> Any:
        if loss is None:
            return self
        return self.read(loss) if self.read else _of_parts(loss, self.name)


def _of_parts(loss: SegmentationLoss, name: str) -> Any:
    for part in (loss.curve, *loss.adjustment, loss.weights):
        if hasattr(part, name):
            return getattr(part, name)
    raise AttributeError(name)


class CrossEntropyLoss(SegmentationLoss):
    """Cross-entropy: the loss of a pixel is -log p, where p is the softmax probability of the pixel's label.

    The mean divides by the sum of the class weights of the labelled pixels, as in torch. Without ``weight`` that is the
    number of labelled pixels.

    Args:
        weight: a number for each class, by which the loss of its pixels is multiplied. None is 1 for each.

    ``SegmentationLoss`` describes the other options, shapes and errors.
    """

    entry: ClassVar = Entry("ce", "-", "1", "torch's", "-")

    def __init__(self, weight: Numbers | None = None, **options: Unpack[Counted]) -> None:
        super().__init__(weights=WeightedPixel(), weight=weight, **options)


class FocalLoss(SegmentationLoss):
    """The focal loss: pixels whose label already has a high probability count less
    (Lin et al. 2017, Focal Loss for Dense Object Detection, equation 4).

    The loss of a pixel is -(1 - p)^gamma log p, where p is the softmax probability of the pixel's label.

    Args:
        gamma: a number of 0 or more. The larger it is, the less such pixels count. With 0 the loss is cross-entropy.

    ``SegmentationLoss`` describes the other options, shapes and errors.
    """

    entry: ClassVar = Entry("focal", "-", "(1 - p)^gamma", "1 / labelled pixels", "Lin et al. 2017, eq. 4")
    gamma = Argument()

    def __init__(self, gamma: float = 2.0, **options: Unpack[Options]) -> None:
        super().__init__(Focal(gamma), **options)


class ClassBalancedLoss(SegmentationLoss):
    """Cross-entropy with a weight for each class, which is large for rare classes
    (Cui et al. 2019, Class-Balanced Loss Based on Effective Number of Samples, equation 10).

    A class with n pixels has the weight (1 - beta) / (1 - beta^n), times one factor for all classes, so that the
    weights sum to the number of classes that have pixels. A class without pixels has weight 0: if it occurs all the
    same, its pixels have no loss.

    Args:
        class_counts: the number of pixels n of each class in the data set. None counts the pixels of each batch.
        beta: a number from 0 to below 1. With 0 all classes weigh alike; the closer it is to 1, the more rare classes
            weigh. None is (N - 1) / N, where N is the number of all pixels that were counted. The paper's 0.9999 is
            meant for counts of images. With counts of pixels, which are larger, it gives all classes the same weight.

    ``SegmentationLoss`` describes the other options, shapes and errors.
    """

    entry: ClassVar = Entry(
        "cb", "-", "1", "(1 - beta) / (1 - beta^n_l), summing to L, / labelled", "Cui et al. 2019, eq. 10"
    )  # fmt: skip
    beta = Argument()

    def __init__(
        self, class_counts: Numbers | None = None, beta: float | None = None, **options: Unpack[Weighted]
    ) -> None:
        super().__init__(weights=EffectiveNumber(beta), class_counts=class_counts, **options)


class ClassBalancedFocalLoss(SegmentationLoss):
    """The focal loss times the class weights of ``ClassBalancedLoss`` (Cui et al. 2019, equation 13).

    Args:
        class_counts, beta: see ``ClassBalancedLoss``.
        gamma: see ``FocalLoss``.

    ``SegmentationLoss`` describes the other options, shapes and errors.
    """

    entry: ClassVar = Entry("cb_focal", "-", "(1 - p)^gamma", "as above", "Cui et al. 2019, eq. 13")
    beta = Argument()
    gamma = Argument()

    def __init__(
        self,
        class_counts: Numbers | None = None,
        beta: float | None = None,
        gamma: float = 2.0,
        **options: Unpack[Weighted],
    ) -> None:
        super().__init__(Focal(gamma), weights=EffectiveNumber(beta), class_counts=class_counts, **options)


class BalancedSoftmaxLoss(SegmentationLoss):
    """Balanced softmax: cross-entropy of logits to which the logarithm of each class's count was added
    (Ren et al. 2020, Balanced Meta-Softmax, equation 4).

    So a rare class needs a larger logit for the same loss. It is added in the loss alone: predict from the network's
    own logits.

    Args:
        class_counts: the number of pixels of each class in the data set. None counts the pixels of each batch. A
            count of 0 is taken as 1.

    ``SegmentationLoss`` describes the other options, shapes and errors.
    """

    entry: ClassVar = Entry("bms", "offset log n_l", "1", "1 / labelled", "Ren et al. 2020, eq. 4")

    def __init__(self, class_counts: Numbers | None = None, **options: Unpack[Weighted]) -> None:
        super().__init__(adjustment=LogPrior(), class_counts=class_counts, **options)


class LDAMLoss(SegmentationLoss):
    """LDAM: cross-entropy in which the label's logit has to exceed the others by a margin, which is large for rare
    classes (Cao et al. 2019, Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, equation 13).

    The margin is subtracted from the logit of each pixel's label, then all logits are multiplied by ``scale``. A class
    with n pixels has the margin C / n^(1/4).

    Args:
        class_counts: the number of pixels n of each class in the data set. None counts the pixels of each batch. A
            count of 0 is taken as 1.
        max_margin: the margin of the rarest class, a number above 0; the constant C follows from it.
        scale: a number above 0, by which the differences between logits, and with them the margin, are multiplied.

    ``SegmentationLoss`` describes the other options, shapes and errors.
    """

    entry: ClassVar = Entry("ldam", "margin C / n_l^(1/4), scale", "1", "1 / labelled", "Cao et al. 2019, eq. 13")
    max_margin = Argument()
    scale = Argument()

    def __init__(
        self,
        class_counts: Numbers | None = None,
        max_margin: float = 0.5,
        scale: float = 30.0,
        **options: Unpack[Weighted],
    ) -> None:
        super().__init__(adjustment=(Margin(max_margin), Scale(scale)), class_counts=class_counts, **options)


class BLVLoss(SegmentationLoss):
    """BLV: cross-entropy of logits to which noise was added, most of it to those of rare classes
    (Wang et al. 2023, Balancing Logit Variation for Long-tailed Semantic Segmentation).

    Noise v is drawn anew for every image, class and pixel, and clamped to [-1, 1]; c |v| is added to the logit. A class
    with n of all N pixels has the factor c = log(N / n), divided by the largest of these. The noise comes from torch's
    generator of the logits' device, is never stored, and is the same on every backend. In eval mode there is none, and
    the loss is cross-entropy.

    Args:
        class_counts: the number of pixels n of each class in the data set. None counts the pixels of each batch. A
            count of 0 is taken as 1, after N is summed.
        sigma: the size of the noise before it is clamped, a number of 0 or more. The default of 4 is that of the
            authors' released code, where 80 % of the draws are clamped.
        distribution: of the noise. "gaussian" is a normal distribution with standard deviation sigma, "uniform" is
            uniform from -sigma to sigma, and "xavier" is a normal one with standard deviation sigma / sqrt(L), where L
            is the number of classes.

    ``SegmentationLoss`` describes the other options, shapes and errors.
    """

    entry: ClassVar = Entry("blv", "c_l |v|, c_l ~ log N - log n_l", "1", "1 / labelled", "Wang et al. 2023")
    sigma = Argument()
    distribution = Argument()

    def __init__(
        self,
        class_counts: Numbers | None = None,
        sigma: float = 4.0,
        distribution: Literal["gaussian", "uniform", "xavier"] = "gaussian",
        **options: Unpack[Weighted],
    ) -> None:
        super().__init__(adjustment=Variation(sigma, distribution), class_counts=class_counts, **options)


class PATLoss(SegmentationLoss):
    """Pixel-wise adaptive training: in each image all classes count alike, however many pixels they have, and among the
    pixels of a class those that are predicted badly count more
    (PAT: Pixel-wise Adaptive Training for Long-tailed Segmentation, equations 4 and 5).

    The loss of a pixel is -beta log(p) / S. Here p is the softmax probability of the pixel's label, and S, the mask
    size, is the number of pixels with that label in the same image. The factor beta = exp((1 - p - epsilon) / T) is
    larger where p is small. The mean is the sum over all pixels, divided by the number of images.

    Args:
        temperature: T, a number above 0: how little beta depends on p. A pixel with p near 0 counts exp(1 / T) times as
            much as one with p near 1: 1.05 times with the default of 20, 2.7 times with 1.
        epsilon: any number. It multiplies the whole loss by exp(-epsilon / T), with "table1" by exp(epsilon / T).
        variant: the formula, as the paper's equations, the paper's Table 1 and the authors' code differ.

            - "paper": equations 4 and 5, as above.
            - "table1": the values in Table 1 are those of the reciprocal, beta = exp((p - 1 + epsilon) / T), which is
              larger where p is large. The rest is as above.
            - "release": what the authors' code computes. p is the softmax probability of the logits divided by T, and
              beta = exp(1 - p) / 2. There is no S, the mean divides by the number of all logits of the batch at the
              labels' size, ignored pixels included, and epsilon must be 0.
        detach_weight: True takes beta as a constant when the gradient is computed.

    ``SegmentationLoss`` describes the other options, shapes and errors.
    """

    entry: ClassVar = Entry(
        "pat", "-", "exp((1 - p - epsilon) / T)", "1 / (B S_bl), S_bl pixels of l in b", "PAT, eqs. 4 and 5"
    )  # fmt: skip
    VARIANTS = ("paper", "table1", "release")

    temperature = Argument(
        lambda loss: 1 / _of_parts(loss, "scale") if loss.variant == "release" else abs(_of_parts(loss, "temperature"))
    )
    epsilon = Argument(lambda loss: 0.0 if loss.variant == "release" else _of_parts(loss, "epsilon"))
    variant = Argument(
        lambda loss: (
            "release" if type(loss.weights) is Element
            else "paper" if _of_parts(loss, "temperature") > 0 else "table1"
        )
    )  # fmt: skip
    detach_weight = Argument(lambda loss: _of_parts(loss, "through") == 0)

    def __init__(
        self,
        temperature: float = 20.0,
        epsilon: float = 0.0,
        variant: Literal["paper", "table1", "release"] = "paper",
        detach_weight: bool = False,
        **options: Unpack[Options],
    ) -> None:
        T, epsilon = positive("temperature", temperature), finite("epsilon", epsilon)
        through = 0.0 if flag("detach_weight", detach_weight) else 1.0
        known("variant", variant, self.VARIANTS)
        if variant == "release":
            if epsilon:
                raise ValueError(f"epsilon: expected 0 with variant='release', whose formula has none, got {epsilon}")
            # 1 / (2 exp(p - 1)) = exp(1 - p - log 2)
            curve = Exponential(1.0, math.log(2), through)
            super().__init__(curve, Scale(1 / T), Element(), **options)
        else:
            curve = Exponential(T if variant == "paper" else -T, epsilon, through)
            super().__init__(curve, weights=MaskSize(), **options)


# Every list of losses elsewhere is made of this one.
CATALOGUE: dict[str, type[SegmentationLoss]] = {name: kind for name, kind in list(globals().items()) if name in __all__}

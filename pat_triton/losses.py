"""The catalogue: a class for each paper, which names the three parts of its loss.

In what follows z are the logits of a pixel and y is its label; p_y is the softmax of its logits at its label. n_l is
the number of pixels of class l in ``class_counts``, or in the batch, and N is the sum of them. S_bl is the number of
pixels of class l in image b.
"""

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
    """Cross-entropy: the loss of a pixel is -log p_y.

    Its mean is divided by the sum of the class weights of the labelled pixels, as torch's is. Without ``weight`` that
    is the number of labelled pixels.

    ``SegmentationLoss`` describes the other options, shapes and errors.
    """

    entry: ClassVar = Entry("ce", "-", "1", "torch's", "-")

    def __init__(self, weight: Numbers | None = None, **options: Unpack[Counted]) -> None:
        super().__init__(weights=WeightedPixel(), weight=weight, **options)


class FocalLoss(SegmentationLoss):
    """The focal loss of a pixel is -(1 - p_y)^gamma log p_y
    (Lin et al. 2017, Focal Loss for Dense Object Detection, equation 4).

    Args:
        gamma: how much less a confident pixel counts; a number of 0 or more. With 0 the loss is cross-entropy.

    ``SegmentationLoss`` describes the other options, shapes and errors.
    """

    entry: ClassVar = Entry("focal", "-", "(1 - p)^gamma", "1 / labelled pixels", "Lin et al. 2017, eq. 4")
    gamma = Argument()

    def __init__(self, gamma: float = 2.0, **options: Unpack[Options]) -> None:
        super().__init__(Focal(gamma), **options)


class ClassBalancedLoss(SegmentationLoss):
    """Cross-entropy with a weight for each class: the loss of a pixel is -v_y log p_y
    (Cui et al. 2019, Class-Balanced Loss Based on Effective Number of Samples, equation 10).

    The weights are v_l = (1 - beta) / (1 - beta^n_l), multiplied by one factor so that they sum to the number of
    classes with pixels. A class with n_l = 0 has weight 0: its pixels have no loss.

    Args:
        class_counts: n_l, (L,) whole numbers of the data set. None counts the pixels of each batch.
        beta: a number in [0, 1). None is (N - 1) / N, because the literature's 0.9999 gives every class the same weight
            where pixels are counted.

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
    """The focal loss with the class weights of ``ClassBalancedLoss``: -v_y (1 - p_y)^gamma log p_y
    (Cui et al. 2019, equation 13).

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
    """Cross-entropy of logits to which log n_l was added: -log softmax(z + log n)_y
    (Ren et al. 2020, Balanced Meta-Softmax, equation 4).

    Args:
        class_counts: n_l, (L,) whole numbers of the data set. None counts the pixels of each batch. A count
            of 0 is taken as 1.

    ``SegmentationLoss`` describes the other options, shapes and errors.
    """

    entry: ClassVar = Entry("bms", "offset log n_l", "1", "1 / labelled", "Ren et al. 2020, eq. 4")

    def __init__(self, class_counts: Numbers | None = None, **options: Unpack[Weighted]) -> None:
        super().__init__(adjustment=LogPrior(), class_counts=class_counts, **options)


class LDAMLoss(SegmentationLoss):
    """Cross-entropy of scaled logits, from whose label a margin was subtracted:
    -log softmax(scale * (z - margin_l [l = y]))_y, where margin_l = C / n_l^(1/4)
    (Cao et al. 2019, Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, equation 13).

    Args:
        class_counts: n_l, (L,) whole numbers of the data set. None counts the pixels of each batch. A count
            of 0 is taken as 1.
        max_margin: the largest margin, that of the rarest class, which fixes C; a number above 0.
        scale: a number above 0.

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
    """Cross-entropy of logits with noise, most of it at rare classes: -log softmax(z + c |v|)_y, where
    c_l = (log N - log n_l) / the largest of these
    (Wang et al. 2023, Balancing Logit Variation for Long-tailed Semantic Segmentation).

    The noise v is drawn anew for every image, class and pixel, and clamped to [-1, 1]. It comes from torch's generator
    of the logits' device, is never stored, and is the same on every backend. In eval mode there is none, and the loss
    is cross-entropy.

    Args:
        class_counts: n_l, (L,) whole numbers of the data set. None counts the pixels of each batch. A count
            of 0 is taken as 1, after N is summed.
        sigma: the standard deviation of the noise, or half the width of the uniform one; a number of 0 or more. 4 is
            that of the authors' release, where 80 % of the draws are clamped.
        distribution: "gaussian" is N(0, sigma), "uniform" is U(-sigma, sigma), "xavier" is N(0, sigma * sqrt(1 / L)).

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
    """Pixel-wise adaptive training: the loss of a pixel is -beta log p_y / S_by, and its mean is over the B images
    (PAT: Pixel-wise Adaptive Training for Long-tailed Segmentation, equations 4 and 5).

    Args:
        temperature: T, a number above 0; beta = exp((1 - p_y - epsilon) / T).
        epsilon: any number.
        variant: which of the three things that the paper and its code say.

            - "paper": equations 4 and 5, as above.
            - "table1": beta = exp((p_y - 1 + epsilon) / T), the reciprocal, whose values the paper's Table 1 prints.
            - "release": the authors' code. It takes the log-softmax of z / T and beta = 1 / (2 exp(p_y - 1)), has no
              mask sizes, and divides by all B * L * H * W elements, ignored pixels counted; epsilon must be 0.
        detach_weight: whether beta is a constant for the gradient.

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
                raise ValueError(f"epsilon: expected 0 with variant='release', which has none, got {epsilon}")
            # 1 / (2 exp(p - 1)) = exp(1 - p - log 2)
            curve = Exponential(1.0, math.log(2), through)
            super().__init__(curve, Scale(1 / T), Element(), **options)
        else:
            curve = Exponential(T if variant == "paper" else -T, epsilon, through)
            super().__init__(curve, weights=MaskSize(), **options)


# Every list of losses elsewhere is made of this one.
CATALOGUE: dict[str, type[SegmentationLoss]] = {name: kind for name, kind in list(globals().items()) if name in __all__}

"""The catalogue: one class a paper, each a sentence in the three parts.

Their common options, shapes, dtypes and errors are described at ``SegmentationLoss``. p_y is the
softmax of a pixel's logits at its label y; n_l are the pixels of class l in ``class_counts``, or in
the batch; N is their sum; S_bl the pixels of class l in image b.
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
    """-log p_y; the mean divides by the summed class weights of the labelled pixels, as torch.

    Other options, shapes and errors: ``SegmentationLoss``.
    """

    entry: ClassVar = Entry("ce", "-", "1", "torch's", "-")

    def __init__(self, weight: Numbers | None = None, **options: Unpack[Counted]) -> None:
        super().__init__(weights=WeightedPixel(), weight=weight, **options)


class FocalLoss(SegmentationLoss):
    """-(1 - p_y)^gamma log p_y (Lin et al. 2017, Focal Loss for Dense Object Detection, equation 4).

    gamma: focusing, 0 or more; 0 is cross-entropy.

    Other options, shapes and errors: ``SegmentationLoss``.
    """

    entry: ClassVar = Entry("focal", "-", "(1 - p)^gamma", "1 / labelled pixels", "Lin et al. 2017, eq. 4")
    gamma = Argument()

    def __init__(self, gamma: float = 2.0, **options: Unpack[Options]) -> None:
        super().__init__(Focal(gamma), **options)


class ClassBalancedLoss(SegmentationLoss):
    """-v_y log p_y with v_l = (1 - beta) / (1 - beta^n_l), normalised to sum to the number of classes
    (Cui et al. 2019, Class-Balanced Loss Based on Effective Number of Samples, equation 10).

    class_counts: n_l, (L,) whole numbers; None counts the batch.
    beta: in [0, 1). None is (N - 1) / N: the literature's 0.9999 saturates on pixel counts and gives
    every class the same weight. A class with n_l = 0 weighs 0, and the others sum to their number.

    Other options, shapes and errors: ``SegmentationLoss``.
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
    """-v_y (1 - p_y)^gamma log p_y, v as in ``ClassBalancedLoss`` (Cui et al. 2019, equation 13).

    Other options, shapes and errors: ``SegmentationLoss``.
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
    """-log softmax(z + log n)_y (Ren et al. 2020, Balanced Meta-Softmax, equation 4); n floored at 1.

    Other options, shapes and errors: ``SegmentationLoss``.
    """

    entry: ClassVar = Entry("bms", "offset log n_l", "1", "1 / labelled", "Ren et al. 2020, eq. 4")

    def __init__(self, class_counts: Numbers | None = None, **options: Unpack[Weighted]) -> None:
        super().__init__(adjustment=LogPrior(), class_counts=class_counts, **options)


class LDAMLoss(SegmentationLoss):
    """-log softmax(scale * (z - margin_l [l = y]))_y with margin_l = C / n_l^(1/4)
    (Cao et al. 2019, Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, equation 13).

    class_counts: n_l, (L,) whole numbers; None counts the batch.
    max_margin: the largest margin, which fixes C; above 0. scale: above 0. n is floored at 1.

    Other options, shapes and errors: ``SegmentationLoss``.
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
    """-log softmax(z + c |v|)_y, c_l = (log N - log n_l) / max over classes: tail classes vary most
    (Wang et al. 2023, Balancing Logit Variation for Long-tailed Semantic Segmentation).

    v is drawn anew for every image, class and pixel and clamped to [-1, 1]; it is generated from
    torch's generator of the logits' device, never stored, and the same on every path. In eval mode
    the loss is plain cross-entropy.

    class_counts: n_l, (L,) whole numbers; None counts the batch.
    sigma: standard deviation (or half-width), 0 or more; 4 is the authors' release, where 80 % of the
    draws saturate. distribution: "gaussian" N(0, sigma), "uniform" U(-sigma, sigma), or "xavier"
    N(0, sigma * sqrt(1 / L)). n is floored at 1, after N is summed.

    Other options, shapes and errors: ``SegmentationLoss``.
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
    """-beta log p_y / S_by, the mean over the B images, beta = exp((1 - p_y - epsilon) / T)
    (PAT: Pixel-wise Adaptive Training for Long-tailed Segmentation, equations 4 and 5).

    temperature: T, above 0. epsilon: a finite number. detach_weight: no gradient through beta.
    variant: the paper says three things.

    - "paper": equations 4 and 5, as above.
    - "table1": beta = exp((p_y - 1 + epsilon) / T), the reciprocal weight, which is what the
      paper's Table 1 prints; mask sizes as above.
    - "release": the authors' code: log-softmax of z / T, beta = 1 / (2 exp(p_y - 1)), no mask
      sizes, and the mean over all B * L * H * W elements, ignored pixels counted; epsilon must be 0.

    Other options, shapes and errors: ``SegmentationLoss``.
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

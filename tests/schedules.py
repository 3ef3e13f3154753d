"""Numbers that training changes from step to step, each as a criterion and how step i changes it."""

import functools

from pat_triton import BalancedSoftmaxLoss, BLVLoss, ClassBalancedLoss, CrossEntropyLoss, FocalLoss, LDAMLoss, PATLoss
from pat_triton.adjustment import Variation
from pat_triton.curves import Exponential, Focal
from pat_triton.weights import EffectiveNumber


def margins(c, i):
    margin, scale = map(type, c.adjustment)
    c.adjustment = margin(0.1 + i), scale(3.0 + i)


NUMBERS = {
    "loss_weight": (PATLoss, lambda c, i: setattr(c, "loss_weight", 0.5 + i)),
    "temperature": (PATLoss, lambda c, i: setattr(c, "curve", Exponential(5.0 + i, 0.1 * i))),
    "gamma": (FocalLoss, lambda c, i: setattr(c, "curve", Focal(3 - 0.2 * i))),
    "sigma": (BLVLoss, lambda c, i: setattr(c, "adjustment", Variation(1.0 + i))),
    "margin": (LDAMLoss, margins),
    "beta": (
        functools.partial(ClassBalancedLoss, beta=0.5),
        lambda c, i: setattr(c, "weights", EffectiveNumber(0.9 + 0.01 * i)),
    ),
}
TENSORS = {
    "weight": (CrossEntropyLoss, lambda c, i: setattr(c, "weight", [1.0 + i, *[1.0] * 6])),
    "counts": (BalancedSoftmaxLoss, lambda c, i: c.class_counts.add_(100 * i)),
}
SCHEDULES = NUMBERS | TENSORS

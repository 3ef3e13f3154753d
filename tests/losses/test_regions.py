"""Region losses: their derivatives by the sums, the packages that have them, and what they refuse."""

import pytest
import torch
from cases import EXACT, assert_close, example
from libraries import needed

import reference
from pat_triton.regions import Region, Sums, needs, value_and_derivatives

DICE, JACCARD = (2.0, 0.0, 1.0, 1.0), (1.0, -1.0, 1.0, 1.0)
REGIONS = {
    "dice": Region(*DICE, 1.0, 1.0, 1.0, False, None, False, False),
    "squared": Region(*DICE, 0.0, 1.0, -0.5, True, None, False, True),
    "jaccard": Region(*JACCARD, 1e-5, 1.0, 1.0, True, (0, 3, 6), True, False),
    "tversky": Region(1.0, 0.0, 0.3, 0.7, 1.0, 0.75, 2.0, False, None, True, False),
    "focal tversky": Region(1.0, -0.4, 0.7, 0.7, 0.5, 4 / 3, 1.0, False, (1, 2), False, True),
}


def sums_of(logits, target):
    p, one_hot = logits.softmax(1), torch.nn.functional.one_hot(target.clamp(max=7), 8)[..., :7].movedim(-1, 1)
    w = (target != 255)[:, None]
    return torch.stack([(w * part).sum((2, 3)) for part in (p * one_hot, p, p**2, one_hot)], 1)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("names", [*([name] for name in REGIONS), list(REGIONS)], ids=" ".join)
def test_derivatives_are_those_of_the_value(names, reduction):
    regions = [REGIONS[name] for name in names]
    weights = [torch.arange(1.0, 8) if number % 2 else None for number in range(len(regions))]
    sums = sums_of(*example((2, 7, 9, 13))).requires_grad_()
    value, derivatives = value_and_derivatives(
        regions, weights, Sums.of(sums), (255, 2), reduction, 0.4, torch.float64
    )  # fmt: skip
    (truth,) = torch.autograd.grad(value, sums)
    assert_close("derivatives", derivatives.detach(), truth[:, :3], EXACT)
    assert needs(regions) == (bool((truth[:, 1] != 0).any()), bool((truth[:, 2] != 0).any()))


@pytest.mark.parametrize("smooth", [0.0, 1.0])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_nothing_is_infinite(gamma, smooth):
    """Of classes that are all right, all wrong, or not there at all."""
    sums = torch.zeros(1, 4, 3, dtype=torch.float64)
    sums[0, :, 0], sums[0, 3, 1] = 5.0, 4.0
    region = Region(1.0, 0.0, 0.5, 0.5, smooth, gamma, 1.0, False, None, False, False)
    value, derivatives = value_and_derivatives([region], [None], Sums.of(sums), (255,), "sum", 1.0, torch.float64)
    right, wrong, absent = derivatives[0].unbind(1)
    assert value == (2 / (2 + smooth)) ** gamma
    assert derivatives.isfinite().all() and wrong[0] < 0
    assert (right[:2] != 0).all() if gamma == 1 else (right == 0).all()
    assert (absent == 0).all() or (gamma, smooth) == (1, 1)


MONAI = {
    "plain": ({}, reference.DiceLoss, {}),
    "squared": ({"squared_pred": True}, reference.DiceLoss, {"squared": True}),
    "batch": ({"batch": True}, reference.DiceLoss, {"per_image": False}),
    "jaccard": ({"jaccard": True}, reference.JaccardLoss, {"smooth": 0.3}),
    "no background": ({"include_background": False}, reference.DiceLoss, {"classes": range(1, 7)}),
}


@pytest.mark.parametrize(("theirs", "kind", "ours"), MONAI.values(), ids=MONAI)
def test_the_region_losses_of_monai(theirs, kind, ours):
    """Jaccard at twice its ``smooth``."""
    needed("monai")
    from monai.losses import DiceLoss

    smooth = 0.6
    criterion = DiceLoss(softmax=True, to_onehot_y=True, smooth_nr=smooth, smooth_dr=smooth, **theirs)
    logits, target = example((2, 7, 9, 13))
    target = target.masked_fill(target == 255, 3)
    truth = criterion(logits, target[:, None])
    assert_close("loss", kind(**{"smooth": smooth, "per_image": True, **ours})(logits, target), truth, 1e-6)


def test_the_region_losses_of_smp():
    """At half of its ``smooth``; it has an absent class's loss 0, but divides by all classes."""
    needed("segmentation_models_pytorch")
    from segmentation_models_pytorch.losses import DiceLoss

    logits, target = example((2, 7, 9, 13))
    target[target == 1] = 4
    truth = DiceLoss("multiclass", smooth=0.3, ignore_index=255)(logits, target)
    value = reference.DiceLoss(smooth=0.6, skip_absent=True)(logits, target)
    assert_close("loss", value * 6 / 7, truth, 1e-6)

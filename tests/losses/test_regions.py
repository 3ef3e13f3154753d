"""Region losses: their derivatives by the sums, the packages that have them, and what they refuse."""

import copy
import pickle

import pytest
import torch
from cases import EXACT, GPU, PATHS, assert_close, example
from libraries import needed

import pat_triton
import reference
from pat_triton.backends.triton import tiles
from pat_triton.call import forget
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


# As users write them ---------------------------------------------------------------------------------------------


def batch():
    return example((2, 7, 9, 13))


@pytest.mark.parametrize("size", [(9, 13), (18, 26)], ids=["dense", "resized"])
def test_sums_of_many_programs(size, monkeypatch):
    """More than are added up at once, and of more classes than one program adds up."""
    monkeypatch.setattr(tiles, "loss_tile", lambda *_: tiles.Tile(8, 16, 1, 1))
    monkeypatch.setattr(tiles, "TOTAL_ROWS", 2)
    monkeypatch.setattr(tiles, "TOTAL_COLUMNS", 4)
    forget()
    logits, _ = batch()
    _, target = example((2, 7, *size))
    for per_image in (False, True):
        z, x = (logits.detach().to(device, torch.float64).requires_grad_() for device in (GPU, "cpu"))
        value = pat_triton.DiceLoss(per_image=per_image, backend="triton")(z, target.to(GPU))
        truth = reference.DiceLoss(per_image=per_image)(x, target)
        value.backward()
        truth.backward()
        assert_close("loss", value.detach().cpu(), truth.detach(), EXACT)
        assert_close("gradient", z.grad.cpu(), x.grad, EXACT)


@pytest.mark.parametrize("path", PATHS)
def test_a_sum_is_the_sum(path):
    """Of value, gradient and statistics, which are those of the pixels' terms; ``k * loss`` is a copy."""
    logits, target = (t.to(path[1]) for t in batch())
    pixels, dice = pat_triton.PATLoss(backend=path[0]), pat_triton.DiceLoss(backend=path[0])
    jaccard = pat_triton.JaccardLoss(per_image=True, backend=path[0])
    total = 2 * (0.5 * dice + pixels + jaccard)
    assert [type(loss).__name__ for loss in total.losses] == ["PATLoss", "DiceLoss", "JaccardLoss"]
    assert [loss.loss_weight for loss in total.losses] == [2.0, 1.0, 2.0] and dice.loss_weight == 1
    z = logits.clone().requires_grad_()
    value, stats = total(z, target, return_stats=True)
    value.backward()
    truth = 0
    for factor, loss in ((2.0, pixels), (1.0, dice), (2.0, jaccard)):
        x = logits.clone().requires_grad_()
        own, told = loss(x, target, return_stats=True)
        (factor * own).backward()
        truth = truth + torch.stack([factor * own.detach(), *(factor * told.loss).sum(1)])
        z.grad -= x.grad
        assert all(torch.equal(a, b) for a, b in zip(stats[1:], told[1:], strict=True))
    assert_close("value", value.detach(), truth[0], EXACT)
    assert z.grad.abs().max() < 1e-15
    assert_close("statistics", stats.loss.sum(1), truth[1:], EXACT)


def test_options_of_a_sum():
    """Those of a call are of all terms, others of each; a change of a term is seen at once, copies keep it."""
    logits, target = batch()
    total = pat_triton.CrossEntropyLoss() + pat_triton.DiceLoss()
    before = total(logits, target)
    total.terms[1].smooth = 5.0
    total.terms[0].weight = torch.arange(1.0, 8)
    total.ignore_index = (0, 255)
    options = {"ignore_index": (0, 255)}
    truth = reference.SumLoss(
        (1, reference.CrossEntropyLoss(list(range(1, 8)), **options)), (1, reference.DiceLoss(5.0, **options))
    )(logits, target)
    for criterion in (total, copy.deepcopy(total), pickle.loads(pickle.dumps(total))):
        assert_close("loss", criterion(logits, target), truth, 1e-7)
    assert total(logits, target) != before
    assert set(total.state_dict()) == {"terms.0.weight"}
    one = total.but(reduction="sum", training=False)
    assert one is total.but(reduction="sum", training=False) and not one.training and total.training
    assert one(logits, target) == sum(loss.but(reduction="sum", training=False)(logits, target) for loss in total.terms)
    assert total.but(reduction="mean") is total
    total.terms[1].ignore_index = 255
    with pytest.raises(ValueError, match=r"^ignore_index: got \(0, 255\) in CrossEntropyLoss and 255 in DiceLoss"):
        total(logits, target)


def test_a_wrong_label_that_is_not_looked_at(monkeypatch):
    monkeypatch.setattr("pat_triton.checks.labels.CHECKED_DEVICES", ())
    forget()  # that labels are looked at here
    logits, target = (t.to(GPU) for t in batch())
    target[0, 0, 0] = 40
    for kind in (pat_triton.DiceLoss, pat_triton.JaccardLoss, pat_triton.TverskyLoss):
        assert kind(backend="triton")(logits, target).isnan()


def test_no_labelled_pixel_no_loss():
    logits, target = batch()
    for kind in (pat_triton.DiceLoss, pat_triton.JaccardLoss, pat_triton.TverskyLoss):
        for options in ({}, {"smooth": 0.0}, {"per_image": True, "skip_absent": True}):
            z = logits.clone().requires_grad_()
            value = kind(**options)(z, torch.full_like(target, 255))
            value.backward()
            assert value == 0 and (z.grad == 0).all()


SUM = "expected at most one loss with a term of each pixel, besides region losses such as DiceLoss; call each by itself"
REFUSED = {
    "no map": (lambda: pat_triton.DiceLoss(reduction="none"), ValueError, "reduction: got 'none', expected 'mean' or"),
    "no map of a sum": (
        lambda: (pat_triton.PATLoss() + pat_triton.DiceLoss()).but(reduction="none"),
        ValueError, "reduction: got 'none', expected 'mean' or 'sum': a region loss",
    ),
    "in backward": (lambda: pat_triton.DiceLoss(gradient="one_pass"), ValueError, "gradient: got 'one_pass', expected"),
    "of a term": (
        lambda: pat_triton.PATLoss(gradient="one_pass") + pat_triton.DiceLoss(), ValueError, "gradient: got 'one_pass'"
    ),
    "two of pixels": (
        lambda: pat_triton.PATLoss() + pat_triton.FocalLoss(), ValueError, rf"\+: got PATLoss and FocalLoss, {SUM}"
    ),
    "options that differ": (
        lambda: pat_triton.PATLoss() + pat_triton.DiceLoss(align_corners=True),
        ValueError, "align_corners: got False in PATLoss and True in DiceLoss, expected the same in all terms of a sum",
    ),
    "a class": (lambda: pat_triton.SumLoss(pat_triton.PATLoss), TypeError, r"terms: .* got PATLoss; write PATLoss\(\)"),
    "another module": (lambda: pat_triton.SumLoss(torch.nn.MSELoss()), TypeError, "terms: expected a loss"),
    "nothing": (lambda: pat_triton.SumLoss(), ValueError, "terms: got none, expected a loss or more"),
    "a number": (lambda: pat_triton.DiceLoss() + 1, TypeError, "unsupported operand"),
    "a factor": (lambda: "2" * pat_triton.DiceLoss(), TypeError, r"\*: expected a number, got str"),
    "no classes": (lambda: pat_triton.DiceLoss(classes=[]), ValueError, "classes: got an empty list"),
    "one class": (lambda: pat_triton.DiceLoss(classes=1), TypeError, "classes: expected None or a list"),
    "twice": (lambda: pat_triton.DiceLoss(classes=[1, 1]), ValueError, "classes: expected class numbers from 0"),
    "beyond": (
        lambda: pat_triton.DiceLoss(classes=[1, 7])(*batch()), ValueError,
        r"classes: expected class numbers from 0 to 6 for logits of shape \(2, 7, 9, 13\), got \[7\]",
    ),
    "weights": (lambda: pat_triton.DiceLoss(weight=[1.0, 2.0])(*batch()), ValueError, "weight: expected 7 numbers"),
    "smooth": (lambda: pat_triton.DiceLoss(smooth=-1), ValueError, "smooth: expected 0 or more, got -1"),
    "gamma": (lambda: pat_triton.TverskyLoss(gamma=0), ValueError, "gamma: expected a number above 0, got 0"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()


def test_a_compiled_sum_sees_a_change_of_a_term():
    logits, target = batch()
    total = pat_triton.PATLoss() + pat_triton.DiceLoss()
    compiled = torch.compile(total, fullgraph=True, backend="aot_eager")
    for change in (lambda: None, lambda: setattr(total.terms[1], "smooth", 3.0), lambda: total.eval()):
        change()
        assert torch.equal(compiled(logits, target), total(logits, target))
    torch.compiler.reset()

"""Losses as the command line writes them, and their formula in eager torch."""

import re

import pytest
import torch

import pat_triton as pt
from benchmarks.training import arguments
from benchmarks.training.expression import KNOWN, parse, rival
from benchmarks.training.schedule import SCHEDULES, share_of_rate
from pat_triton.adjustment import Variation
from pat_triton.curves import Focal
from pat_triton.losses import CATALOGUE
from pat_triton.weights import MaskSize

COUNTS = torch.tensor([500, 90, 7, 40, 12])


def test_an_expression_is_the_loss_it_says():
    pat = parse("PATLoss(temperature=5, variant=table1)").build()
    assert isinstance(pat, pt.PATLoss)
    assert pat.curve == pt.PATLoss(temperature=5, variant="table1").curve
    blv = parse("BLVLoss(distribution='uniform')", ["sigma=2"])
    assert str(blv) == "BLVLoss(distribution='uniform', sigma=2)"


def test_the_open_form_takes_the_three_parts():
    for text, settings in (
        ("SegmentationLoss(Focal(3), Variation(0.5), MaskSize())", ()),
        ("SegmentationLoss", ("curve=Focal(gamma=3)", "SegmentationLoss.adjustment=(Variation(0.5),)",
                              "weights=MaskSize()")),
    ):  # fmt: skip
        loss = parse(text, settings).build(class_counts=COUNTS)
        assert loss.curve == Focal(3)
        assert loss.adjustment == (Variation(0.5),)
        assert loss.weights == MaskSize()
        assert loss.class_counts.tolist() == COUNTS.tolist()


def test_a_sum_has_factors_and_options():
    total = parse("PATLoss(temperature=5) + 0.5 * DiceLoss(classes=(1, 2)) + JaccardLoss * -2", ["DiceLoss.smooth=0"])
    assert str(total) == "PATLoss(temperature=5) + 0.5 * DiceLoss(classes=(1, 2), smooth=0) + -2 * JaccardLoss"
    made = total.build(class_counts=COUNTS, align_corners=True)
    pat, dice, jaccard = made.terms
    assert pat.curve == pt.PATLoss(temperature=5).curve
    assert (pat.loss_weight, dice.loss_weight, jaccard.loss_weight) == (1, 0.5, -2)
    assert (dice.classes, dice.smooth, dice.align_corners) == ((1, 2), 0, True)
    assert parse(str(total)) == total
    assert str(parse("2 * (CrossEntropyLoss + 0.5 * DiceLoss)")) == "2 * CrossEntropyLoss + DiceLoss"
    assert isinstance(parse("DiceLoss").build(class_counts=COUNTS), pt.DiceLoss)


def test_a_setting_is_of_one_loss_or_of_all():
    settings = ("PATLoss.temperature=5", "reduction=sum")
    assert str(parse("PATLoss(temperature=9)", settings)) == "PATLoss(temperature=5, reduction=sum)"
    assert str(parse("CrossEntropyLoss", settings)) == "CrossEntropyLoss(reduction=sum)"


EXPECTED = (
    f"expected one of {', '.join(KNOWN)}, or one with options, such as PATLoss(temperature=5), or a sum, such as "
    "PATLoss + 0.5 * DiceLoss"
)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("PAT", (), f"--loss: got 'PAT', {EXPECTED}"),
        ("PATLoss(", (), f"--loss: got 'PATLoss(', {EXPECTED}"),
        ("PATLoss().forward()", (), f"--loss: got 'PATLoss().forward()', {EXPECTED}"),
        ("PATLoss + Dice", (), f"--loss: got 'PATLoss + Dice' with 'Dice', {EXPECTED}"),
        ("PATLoss - DiceLoss", (), f"--loss: got 'PATLoss - DiceLoss', {EXPECTED}"),
        ("PATLoss + 0.5", (), f"--loss: got 'PATLoss + 0.5' with '0.5', {EXPECTED}"),
        ("PATLoss * DiceLoss", (), f"--loss: got 'PATLoss * DiceLoss', {EXPECTED}"),
        ("PATLoss + LDAMLoss", (), "--loss PATLoss + LDAMLoss: +: got PATLoss and LDAMLoss, expected at most one loss"),
        ("PATLoss + DiceLoss(smooth=-1)", (), "--loss PATLoss + DiceLoss(smooth=-1): smooth: expected 0 or"),
        ("DiceLoss", ("reduction=none",), "--loss DiceLoss(reduction=none): reduction: got 'none', expected 'mean' or"),
        ("PATLoss(**{'a': 1})", (), "--loss: got \"PATLoss(**{'a': 1})\", expected each option once, by its name"),
        ("PATLoss(epsilon=1, epsilon=2)", (), "--loss: got 'PATLoss(epsilon=1, epsilon=2)', expected each option once"),
        ("SegmentationLoss(Focal(**{'gamma': 3}))", (), "--loss SegmentationLoss(Focal(**{'gamma': 3})): got \"Focal("),
        ("PATLoss(temperature=-5)", (), "--loss PATLoss(temperature=-5): temperature: expected a number above 0"),
        ("PATLoss(gamma=2)", (), "--loss PATLoss(gamma=2): PATLoss: got unexpected keywords, 'gamma'. It takes temp"),
        ("PATLoss(T=5)", (),
         "--loss PATLoss(T=5): PATLoss: got unexpected keywords, 'T' (did you mean 'temperature'?). It takes temp"),
        ("PATLoss", ("temprature=5",),
         "--loss PATLoss(temprature=5): PATLoss: got unexpected keywords, 'temprature' (did you mean 'temperature'?)"),
        ("SegmentationLoss(Focal(gama=3))", (), "--loss SegmentationLoss(Focal(gama=3)): Focal: got unexpected "
         "keywords, 'gama' (did you mean 'gamma'?). It takes gamma"),
        ("SegmentationLoss(open('x'))", (), "--loss SegmentationLoss(open('x')): got \"open('x')\", expected a"),
        ("PATLoss", ("reduction=none",), "--loss PATLoss(reduction=none): got reduction='none', expected 'mean' or "),
        ("PATLoss", ("temperature",), "--set: got 'temperature', expected NAME=VALUE or LOSS.NAME=VALUE"),
        ("PATLoss", ("PAT.temperature=2",), "--set: got 'PAT.temperature=2', expected NAME=VALUE or LOSS.NAME=VALUE"),
        ("PATLoss", ("temperature=2 3",), "--loss PATLoss(temperature=2 3): got '2 3', expected a number, a word"),
    ],
)  # fmt: skip
def test_what_is_no_loss(text, settings, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        parse(text, settings)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("text", [*CATALOGUE, "FocalLoss(gamma=3)", "LDAMLoss(scale=20)", "PATLoss(temperature=5)"])
def test_the_eager_rival_is_the_same_loss(text, align_corners):
    torch.manual_seed(0)
    logits, target = torch.randn(2, 5, 6, 8), torch.randint(0, 5, (2, 24, 32))
    target[:, :3] = 255
    if text == "BLVLoss":
        text = "BLVLoss(sigma=0)"  # without noise, which is another draw
    expression = parse(text)
    ours = expression.build(class_counts=COUNTS, align_corners=align_corners)
    theirs = rival(expression, COUNTS, align_corners)
    torch.testing.assert_close(theirs(logits, target), ours(logits, target), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    "text", ["PATLoss(5)", "PATLoss(epsilon=0.1)", "SegmentationLoss(Focal(2))", "DiceLoss", "PATLoss + DiceLoss"]
)
def test_some_losses_have_no_rival(text):
    assert rival(parse(text), COUNTS, False) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scale": [2.0, 0.5]}, "--scale: got 2 0.5, expected the smaller number first"),
        ({"loss": ["PATLoss", "PATLoss"]}, "--loss: got PATLoss, PATLoss, expected each loss once"),
        ({"data": "scenes", "root": "x"},
         "--root: got x, expected none: scenes are synthetic; --data folder reads one"),
        ({"data": "ade20k", "classes": 256}, "--classes: got 256, expected 2 to 254"),
        ({"loss": ["PATLoss + DiceLoss", "PATLoss+1*DiceLoss"]},
         "--loss: got PATLoss + DiceLoss, PATLoss + DiceLoss, expected each loss once"),
        ({"loss": ["PATLoss + DiceLoss"], "set": ["JaccardLoss.smooth=0"]},
         "--set: got an option of JaccardLoss, which is not among --loss"),
        ({"loss": ["PATLoss"], "set": ["FocalLoss.gamma=2"]},
         "--set: got an option of FocalLoss, which is not among --loss"),
    ],
)  # fmt: skip
def test_arguments_that_cannot_be_used_together(given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        arguments.complete(given)


def test_schedules():
    """From 0 to the highest rate during the warm-up, then down to 0."""
    for name in SCHEDULES:
        rates = [share_of_rate(name, step / 100, 0.1) for step in range(100)]
        assert rates[0] == pytest.approx(0.01)
        assert max(rates) == pytest.approx(rates[10], abs=0.02)
        assert sorted(rates[10:], reverse=True) == rates[10:]
        assert (rates[-1] < 0.02) == (name != "constant")
    assert share_of_rate("poly", 0.5, 0.0) == pytest.approx(0.5**0.9)
    assert share_of_rate("cosine", 0.5, 0.0) == pytest.approx(0.5)

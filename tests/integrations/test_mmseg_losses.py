"""The losses as mmsegmentation calls and configures them: its keywords, means, class weights and labels to ignore."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from mmseg_heads import MARKS, WEIGHT, example, partly_ignored

import pat_triton

pytestmark = MARKS


def test_the_call_of_mmsegmentation(mmseg):
    logits, labels, weight = example()
    loss = mmseg.FusedPATLoss(temperature=5.0)
    criterion = pat_triton.PATLoss(temperature=5.0)
    terms = pat_triton.PATLoss(temperature=5.0, reduction="none")(logits, labels)
    torch.testing.assert_close(loss(logits, labels), criterion(logits, labels))
    torch.testing.assert_close(loss(logits, labels, weight), criterion(logits, labels, pixel_weight=weight))
    torch.testing.assert_close(loss(logits, labels, reduction_override="none"), terms)
    torch.testing.assert_close(loss(logits, labels, reduction_override="sum"), terms.sum())
    torch.testing.assert_close(loss(logits, labels, weight, avg_factor=7.0), (weight * terms).sum() / 7)
    torch.testing.assert_close(loss(logits, labels, avg_factor=7.0, reduction_override="none"), terms)
    torch.testing.assert_close(loss(logits, labels), criterion(logits, labels))  # nothing of that stays
    ignored = labels.clone()
    ignored[:, :2] = -1
    torch.testing.assert_close(
        loss(logits, ignored, ignore_index=-1), criterion(logits, ignored.masked_fill(ignored == -1, 255))
    )
    with pytest.raises(ValueError, match="avg_factor: got one for reduction='sum'"):
        loss(logits, labels, avg_factor=7.0, reduction_override="sum")


def test_class_weights_come_as_mmsegmentation_has_them(mmseg, tmp_path):
    logits, labels, _ = example()
    weight = [1.0, 2.0, 0.5, 3.0, 1.5]
    (tmp_path / "weights.json").write_text(str(weight))
    expected = F.cross_entropy(logits, labels, torch.tensor(weight))
    for given in (weight, str(tmp_path / "weights.json")):
        loss = mmseg.FusedCrossEntropyLoss(class_weight=given)
        torch.testing.assert_close(loss(logits, labels), expected)


def test_a_name_that_mmengine_would_not_add_up(mmseg):
    with pytest.raises(
        ValueError, match="loss_name: expected a name with 'loss' in it, as mmengine adds up no others, got 'pat'"
    ):
        mmseg.FusedPATLoss(loss_name="pat")


def test_what_mmsegmentations_own_losses_take(mmseg):
    """Their keywords in the configuration of one of ours, where they mean the same."""
    from mmseg.registry import MODELS

    logits, labels = partly_ignored()
    theirs = {"use_sigmoid": False, "use_mask": False, "loss_weight": 0.4, "loss_name": "loss_ce", "reduction": "mean"}
    for name in (*mmseg.LOSSES, *mmseg.REGIONS):
        loss = MODELS.build({"type": f"Fused{name}", "avg_non_ignore": True, "class_weight": WEIGHT, **theirs})
        assert loss.loss_name == "loss_ce"
        torch.manual_seed(0)
        expected = 0.4 * getattr(pat_triton, name)(weight=WEIGHT)(logits, labels)
        torch.manual_seed(0)
        torch.testing.assert_close(loss(logits, labels, ignore_index=255), expected)


def test_a_sum_of_losses(mmseg):
    """Its terms have the keywords of ``Loss``, and it those that belong to a call."""
    logits, labels = partly_ignored()
    terms = [{"type": "CrossEntropyLoss", "class_weight": WEIGHT}, {"type": "FusedDiceLoss", "smooth": 1e-5}]
    loss = mmseg.FusedSumLoss(terms, use_sigmoid=False, loss_name="loss_ce_dice", ignore_index=(0, 255))
    total = pat_triton.CrossEntropyLoss(WEIGHT, ignore_index=(0, 255)) + pat_triton.DiceLoss(
        1e-5, ignore_index=(0, 255)
    )
    torch.testing.assert_close(loss(logits, labels, ignore_index=255), total(logits, labels))
    plain = mmseg.FusedSumLoss(terms)
    again = pickle.loads(pickle.dumps(copy.deepcopy(plain)))
    assert again(logits, labels, ignore_index=255) == plain(logits, labels, ignore_index=255)
    for wrong, message in (
        ([{"type": "MSELoss"}], "terms: got 'MSELoss', known: 'CrossEntropyLoss'"),
        ([pat_triton.PATLoss()], r"terms: expected configurations such as dict\(type='DiceLoss'\), got PATLoss"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^{message}"):
            mmseg.FusedSumLoss(wrong)
    with pytest.raises(
        ValueError, match=r"^avg_non_ignore: FusedDiceLoss got False, expected True or nothing: it is a"
    ):
        mmseg.FusedDiceLoss(avg_non_ignore=False)
    with pytest.raises(ValueError, match=r"^reduction: got 'none', expected 'mean' or 'sum': a region loss"):
        plain(logits, labels, ignore_index=255, reduction_override="none")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("average", [False, True, None])
def test_the_mean_is_mmsegmentations(mmseg, average, weighted):
    """Of cross-entropy, with a loss and a gradient of theirs. Without ``avg_non_ignore`` ours is as with True. Class
    weights are asked for those of ignored pixels, which have none: there theirs needs a batch without them."""
    from mmseg.registry import MODELS

    logits, labels = example()[:2] if weighted else partly_ignored()
    options = {"class_weight": WEIGHT} if weighted else {}
    theirs = MODELS.build({"type": "CrossEntropyLoss", "avg_non_ignore": average is not False, **options})
    ours = mmseg.FusedCrossEntropyLoss(avg_non_ignore=average, **options)
    found = []
    for loss in (ours, theirs):
        z = logits.clone().requires_grad_()
        value = loss(z, labels, ignore_index=255)
        found.append((value.detach(), *torch.autograd.grad(value, z)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)


def test_an_ignored_pixel_has_no_class_weight(mmseg):
    """So that a mean by class weights is the same both ways; mmsegmentation's own raises."""
    from mmseg.registry import MODELS

    logits, labels = partly_ignored()
    expected = F.cross_entropy(logits, labels, torch.tensor(WEIGHT), ignore_index=255)
    for average in (False, True):
        loss = mmseg.FusedCrossEntropyLoss(avg_non_ignore=average, class_weight=WEIGHT)
        torch.testing.assert_close(loss(logits, labels, ignore_index=255), expected)
        theirs = MODELS.build({"type": "CrossEntropyLoss", "avg_non_ignore": average, "class_weight": WEIGHT})
        with pytest.raises(IndexError):
            theirs(logits, labels, ignore_index=255)


@pytest.mark.parametrize("average", [False, True])
def test_an_ignored_class_has_its_weight(mmseg, average):
    """Among those that a mean divides by, in mmsegmentation too, with False; several ignored labels have none."""
    from mmseg.registry import MODELS

    logits, labels = partly_ignored(0)
    options = {"avg_non_ignore": average, "class_weight": WEIGHT}
    theirs = MODELS.build({"type": "CrossEntropyLoss", **options})(logits, labels, ignore_index=0)
    torch.testing.assert_close(mmseg.FusedCrossEntropyLoss(**options)(logits, labels, ignore_index=0), theirs)
    several = mmseg.FusedCrossEntropyLoss(ignore_index=(0, 255), **options)(logits, labels, ignore_index=255)
    torch.testing.assert_close(several, F.cross_entropy(logits, labels, torch.tensor(WEIGHT), ignore_index=0))


def test_a_mean_by_all_pixels(mmseg):
    """Of every loss whose mean divides by labelled pixels; a third of the pixels is ignored. Class weights are not in
    the divisor of any but cross-entropy. Only a mean divides, and only without ``avg_factor``."""
    logits, labels = partly_ignored()
    for name in set(mmseg.LOSSES) - {"PATLoss", "CrossEntropyLoss"}:
        made = getattr(mmseg, f"Fused{name}")
        every, labelled = (made(avg_non_ignore=average, class_weight=WEIGHT) for average in (False, True))
        for given, ratio in (({}, 2 / 3), ({"reduction_override": "sum"}, 1), ({"avg_factor": 7.0}, 1)):
            found = []
            for loss in (every, labelled):
                torch.manual_seed(0)
                found.append(loss(logits, labels, ignore_index=255, **given))
            torch.testing.assert_close(found[0], ratio * found[1])
        again = pickle.loads(pickle.dumps(copy.deepcopy(every))).eval()
        assert again(logits, labels) == every.eval()(logits, labels)
    statistics = mmseg.FusedFocalLoss(avg_non_ignore=False).with_statistics(logits, labels, 255, False)
    torch.testing.assert_close(statistics[1].loss.sum(), statistics[0])


def test_a_divisor_of_nothing(mmseg):
    """mmsegmentation adds a little to it, so that a batch of ignored pixels has no loss."""
    logits, labels = partly_ignored()
    labels[:] = 255
    assert mmseg.FusedCrossEntropyLoss()(logits, labels, avg_factor=0.0) == 0
    assert mmseg.FusedCrossEntropyLoss(avg_non_ignore=False)(logits, labels) == 0


INHERITED = r"If it is inherited from the base configuration's loss, "


@pytest.mark.parametrize(
    ("type_", "options", "error", "message"),
    [
        ("FusedPATLoss", {"use_sigmoid": True}, ValueError, "use_sigmoid: FusedPATLoss got True, .* a softmax loss"),
        ("FusedFocalLoss", {"use_sigmoid": True}, ValueError, f"{INHERITED}write use_sigmoid=False, or dict._delete_"),
        ("FusedPATLoss", {"use_mask": True}, ValueError, "use_mask: FusedPATLoss got True, .* a softmax loss"),
        ("FusedPATLoss", {"use_sigmoid": "no"}, TypeError, "use_sigmoid: expected True or False, got 'no'"),
        ("FusedPATLoss", {"avg_non_ignore": False}, ValueError, "FusedPATLoss got False.* mean divides by the images"),
        ("FusedPATLoss", {"avg_non_ignore": 1}, TypeError, "avg_non_ignore: expected True or False, got 1"),
        (
            "FusedPATLoss",
            {"variant": "release", "avg_non_ignore": True},
            ValueError,
            "FusedPATLoss got True, expected False or nothing: .* divides by all elements",
        ),
        (
            "FusedPATLoss",
            {"temprature": 20.0},
            TypeError,
            r"FusedPATLoss: got unexpected keywords, 'temprature' \(did you mean 'temperature'\?\). "
            "It takes temperature, .*loss_weight, .*loss_name, class_weight, avg_non_ignore",
        ),
        (
            "FusedLDAMLoss",
            {"thres": 0.9, "min_kept": 10},
            TypeError,
            f"FusedLDAMLoss: .*'thres', 'min_kept'. It takes class_counts, .*{INHERITED}write dict._delete_",
        ),
        ("FusedPATLoss", {"class_weight": WEIGHT, "weight": WEIGHT}, ValueError, "class_weight: got weight too"),
        ("FusedPATLoss", {"loss_name": None, "class_weight": [1, -1]}, ValueError, "weight"),
    ],
)
def test_what_means_something_else_is_refused(type_, options, error, message):
    from mmseg.registry import MODELS

    with pytest.raises(error, match=message):
        MODELS.build({"type": type_, **options})


def test_release_divides_by_all_elements_as_asked(mmseg):
    logits, labels = partly_ignored()
    loss = mmseg.FusedPATLoss(variant="release", avg_non_ignore=False)
    assert loss(logits, labels) == pat_triton.PATLoss(variant="release")(logits, labels)


def test_no_call_writes_to_the_criterion(mmseg):
    logits, labels = partly_ignored(-1)
    loss = mmseg.FusedCrossEntropyLoss()
    derived = {"others"}  # what ``but`` remembers
    before = {name: value for name, value in vars(loss.criterion).items() if name not in derived}
    loss(logits, labels, ignore_index=-1, reduction_override="none")
    loss(logits, labels, ignore_index=-1, avg_factor=3.0)
    loss.with_statistics(logits, labels, -1, True)
    assert before == {name: value for name, value in vars(loss.criterion).items() if name not in derived}
    loss.criterion.reduction = "sum"  # an option assigned between steps is the next call's
    expected = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    torch.testing.assert_close(loss(logits, labels, ignore_index=-1), expected)


@pytest.mark.parametrize(("own", "heads", "counts"), [(-1, 255, -1), (255, -1, -1), (-1, -2, -1), (255, None, 255)])
def test_whose_ignore_index(mmseg, own, heads, counts):
    """The criterion's, unless it is the default of 255: nobody need have said the head's 255."""
    logits, labels = partly_ignored(counts)
    expected = F.cross_entropy(logits, labels, ignore_index=counts)
    loss = mmseg.FusedCrossEntropyLoss(ignore_index=own)
    torch.testing.assert_close(loss(logits, labels, ignore_index=heads), expected)
    torch.testing.assert_close(loss.with_statistics(logits, labels, heads, False)[0], expected)

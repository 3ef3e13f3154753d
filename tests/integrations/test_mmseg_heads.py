"""mmsegmentation's own heads train with the losses, and fused ones as they do."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from mmseg_heads import MARKS, built, example, lost
from torch import nn

pytestmark = MARKS


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("head", ["FCNHead", "SegformerHead"])
def test_a_fused_head_is_the_head(head, align_corners):
    """Cross-entropy of ours and of mmsegmentation, with and without the fused resize: one loss, gradient, accuracy."""
    theirs = {"type": "CrossEntropyLoss", "avg_non_ignore": True}
    expected = lost(built(head, theirs, align_corners=align_corners))
    for kind in (head, f"Fused{head}"):
        ours = lost(built(kind, {"type": "FusedCrossEntropyLoss"}, align_corners=align_corners))
        assert list(ours[0]) == ["loss_ce", "acc_seg"]
        for name in ours[0]:
            torch.testing.assert_close(ours[0][name].reshape(()), expected[0][name].reshape(()), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(ours[1], expected[1], rtol=1e-5, atol=0)
        torch.testing.assert_close(ours[2], expected[2], rtol=1e-4, atol=1e-6)


def test_every_loss_is_registered_and_summed(mmseg):
    for name, expected in {**mmseg.LOSSES, **mmseg.REGIONS}.items():
        losses, total, gradient = lost(built("FusedFCNHead", {"type": f"Fused{name}"}))
        (key,) = (key for key in losses if "loss" in key)
        assert key == expected
        assert total == losses[key] > 0
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize("head", ["FCNHead", "FusedFCNHead"])
def test_a_sum_in_one_pass(head):
    """Its value and gradient are those of a list of its terms."""
    terms = [{"type": "FusedPATLoss", "temperature": 5.0}, {"type": "FusedDiceLoss", "loss_weight": 0.5}]
    alone = lost(built(head, terms))
    losses, total, gradient = lost(built(head, {"type": "FusedSumLoss", "terms": terms}))
    assert list(losses) == ["loss_sum", "acc_seg"]
    torch.testing.assert_close(total, alone[1])
    torch.testing.assert_close(gradient, alone[2], rtol=1e-4, atol=1e-6)


def test_several_losses_of_both_kinds():
    """One of mmsegmentation's on full-size logits, before ours or after, and two of one name, which are added."""
    parts = [
        {"type": "FusedPATLoss", "loss_weight": 0.5},
        {"type": "DiceLoss"},
        {"type": "FusedFocalLoss", "loss_name": "loss_pat", "gamma": 1.0},
    ]
    together = lost(built("FusedFCNHead", parts))[0]
    alone = [lost(built("FCNHead", part))[0] for part in parts]
    assert list(together) == ["loss_pat", "loss_dice", "acc_seg"]
    torch.testing.assert_close(
        lost(built("FusedFCNHead", parts[1::-1]))[1], alone[0]["loss_pat"] + alone[1]["loss_dice"]
    )
    torch.testing.assert_close(together["loss_pat"], alone[0]["loss_pat"] + alone[2]["loss_pat"], rtol=1e-5, atol=0)
    torch.testing.assert_close(together["loss_dice"], alone[1]["loss_dice"])


@pytest.mark.parametrize("options", [{"sampler": {"type": "OHEMPixelSampler", "thresh": 0.2, "min_kept": 10}}, {}])
def test_what_needs_full_size_has_it(options):
    """A sampler, whose choice arrives as a factor of each pixel; and a head without a loss of ours."""
    loss = {"type": "FusedCrossEntropyLoss"} if options else {"type": "CrossEntropyLoss", "avg_non_ignore": True}
    fused, plain = (lost(built(kind, loss, **options)) for kind in ("FusedFCNHead", "FCNHead"))
    torch.testing.assert_close(fused[1], plain[1])
    if options:
        assert fused[1] != lost(built("FCNHead", loss))[1]


def test_the_sampler_chooses_as_for_mmsegmentations_own():
    sampler = {"type": "OHEMPixelSampler", "thresh": 0.2, "min_kept": 10}
    theirs = lost(built("FCNHead", {"type": "CrossEntropyLoss", "avg_non_ignore": True}, sampler=sampler))
    ours = lost(built("FCNHead", {"type": "FusedCrossEntropyLoss"}, sampler=sampler))
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-5, atol=0)


def test_losses_and_heads_are_copied_and_pickled(mmseg):
    logits, labels, _ = example()
    loss = mmseg.FusedBLVLoss(class_counts=[5, 4, 3, 2, 1])
    for again in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        torch.manual_seed(0)
        expected = loss(logits, labels)
        torch.manual_seed(0)
        assert again(logits, labels) == expected
    assert type(pickle.loads(pickle.dumps(built("FusedFCNHead", {"type": "FusedPATLoss"})))).__name__ == "FusedFCNHead"


@pytest.mark.parametrize("align_corners", [False, True])  # the criterion's own, and not
@pytest.mark.parametrize("head", ["FCNHead", "FusedFCNHead"])
def test_a_loss_follows_its_heads_mode(head, align_corners):
    """BLV's noise is for training; the mode changes after calls in the other one."""
    options = {"dropout_ratio": 0, "align_corners": align_corners}
    head = built(head, {"type": "FusedBLVLoss"}, **options)
    plain = built("FCNHead", {"type": "FusedCrossEntropyLoss"}, **options)
    model, loss = nn.Sequential(head), head.loss_decode
    logits, labels, _ = example()
    for training in (True, False, True, False):
        model.train(training)
        assert loss.training == loss.criterion.training == training
        for one, other in (
            (lost(head)[1], lost(plain)[1]),
            (loss(logits, labels, reduction_override="sum"), F.cross_entropy(logits, labels, reduction="sum")),
        ):
            assert torch.allclose(one, other, rtol=1e-5) != training

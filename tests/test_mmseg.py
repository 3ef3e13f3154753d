"""mmsegmentation's own heads train with the losses, from a configuration."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from libraries import needed

import pat_triton

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:mm.*")  # theirs about theirs
SIZE = (32, 48)
CLASSES = 5


@pytest.fixture(scope="module", autouse=True)
def mmseg():
    needed("mmseg", "mmseg.models")
    from pat_triton.integrations import mmseg

    return mmseg


@pytest.fixture(autouse=True)
def poison():
    """The heads are not ours to poison."""


def built(type_, losses, **options):
    from mmseg.registry import MODELS

    torch.manual_seed(0)
    if "Segformer" in type_:
        options |= {"in_channels": [4, 8], "in_index": [0, 1], "norm_cfg": {"type": "BN"}}
    else:
        options |= {"in_channels": 4, "in_index": 0, "num_convs": 1}
    return MODELS.build({"type": type_, "channels": 8, "num_classes": CLASSES, "loss_decode": losses, **options})


def batch():
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    g = torch.Generator().manual_seed(1)
    features = [torch.randn(2, 4, 8, 12, generator=g), torch.randn(2, 8, 4, 6, generator=g)]
    labels = torch.randint(0, CLASSES, (2, *SIZE), generator=g)
    labels[torch.rand(labels.shape, generator=g) < 0.1] = 255
    return features, labels, [SegDataSample(gt_sem_seg=PixelData(data=y[None])) for y in labels]


def lost(head):
    """(losses, the sum that mmengine trains on, the gradient of the last layer)."""
    from mmengine.model import BaseModel

    features, _, samples = batch()
    torch.manual_seed(2)  # dropout and noise
    losses = head.loss(features, samples, None)
    total, _ = BaseModel.parse_losses(None, losses)
    head.zero_grad()
    total.backward()
    return losses, total.detach(), head.conv_seg.weight.grad.clone()


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
    for name in mmseg.LOSSES:
        losses, total, gradient = lost(built("FusedFCNHead", {"type": f"Fused{name}"}))
        (key,) = (key for key in losses if "loss" in key)
        assert key == mmseg.LOSSES[name]
        assert total == losses[key] > 0
        assert gradient.abs().sum() > 0


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


def example():
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, CLASSES, 6, 8, generator=g)
    return logits, torch.randint(0, CLASSES, (2, 6, 8), generator=g), torch.rand(2, 6, 8, generator=g)


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
        ValueError, match="loss_name: expected a name with 'loss' in it, which mmengine adds up, got 'pat'"
    ):
        mmseg.FusedPATLoss(loss_name="pat")


def test_losses_and_heads_are_copied_and_pickled(mmseg):
    logits, labels, _ = example()
    loss = mmseg.FusedBLVLoss(class_counts=[5, 4, 3, 2, 1])
    for again in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        torch.manual_seed(0)
        expected = loss(logits, labels)
        torch.manual_seed(0)
        assert again(logits, labels) == expected
    assert type(pickle.loads(pickle.dumps(built("FusedFCNHead", {"type": "FusedPATLoss"})))).__name__ == "FusedFCNHead"

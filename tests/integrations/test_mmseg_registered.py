"""Every head that mmsegmentation registers is run with a loss of ours, or listed with the reason why not."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from mmseg_heads import CLASSES, MARKS, batch, samples
from torch import nn

pytestmark = MARKS


OURS = {"type": "FusedPATLoss"}
ONE = {"in_channels": 4, "in_index": 0}
TWO = {"in_channels": [4, 8], "in_index": [0, 1]}
NORM = {"norm_cfg": {"type": "BN"}}
ATTENTION = {"type": "KernelUpdator", "in_channels": 8, "feat_channels": 8, "out_channels": 8}
UPDATES = {
    "type": "KernelUpdateHead", "num_classes": CLASSES, "num_heads": 2, "feedforward_channels": 8, "in_channels": 8,
    "out_channels": 8, "kernel_updator_cfg": ATTENTION,
}  # fmt: skip
# Those of mmsegmentation whose loss is that of its base head; each is run with and without "Fused" before its name.
HEADS = {
    "ANNHead": TWO | {"project_channels": 4},
    "APCHead": ONE,
    "ASPPHead": ONE,
    "CCHead": ONE,
    "DMHead": ONE | {"filter_sizes": (1, 3)},
    "DNLHead": ONE,
    "DPTHead": {
        "in_channels": [8] * 4, "in_index": [0, 1, 2, 3], "input_transform": "multiple_select", "embed_dims": 8,
        "post_process_channels": [8] * 4,
    },
    "DepthwiseSeparableASPPHead": ONE | {"c1_in_channels": 4, "c1_channels": 4},
    "DepthwiseSeparableFCNHead": ONE,
    "EMAHead": ONE | {"ema_channels": 8, "num_bases": 4, "num_stages": 2},
    "FCNHead": ONE,
    "FPNHead": TWO | {"feature_strides": [4, 8]},
    "GCHead": ONE,
    "ISAHead": ONE | {"isa_channels": 4, "down_factor": (2, 2)},
    "LRASPPHead": {
        "in_channels": [4] * 3, "in_index": [0, 1, 2], "input_transform": "multiple_select", "branch_channels": (4, 4)
    },
    "LightHamHead": TWO | {"ham_channels": 8, "ham_kwargs": {"MD_R": 4}},
    "NLHead": ONE,
    "OCRHead": ONE | {"ocr_channels": 4},
    "PSAHead": ONE | {"mask_size": (4, 6)},
    "PSPHead": ONE,
    "SETRMLAHead": {"in_channels": [4, 4], "in_index": [0, 0], "mla_channels": 4},
    "SETRUPHead": ONE,
    "SegformerHead": TWO | NORM,
    "SegmenterMaskTransformerHead": ONE | {"num_layers": 1, "num_heads": 2, "embed_dims": 8},
    "UPerHead": TWO,
}  # fmt: skip
# Those with a loss of their own, which calls that of the configuration.
OWN = {
    "DAHead": ONE | {"pam_channels": 4},
    "DDRHead": {"in_channels": 8, "loss_decode": [OURS, OURS]},
    "EncHead": TWO | {"num_codes": 4},
    "IterativeDecodeHead": {"num_stages": 1, "kernel_update_head": [UPDATES]},
    "PIDHead": {"in_channels": 8, "loss_decode": [OURS, OURS, {"type": "BoundaryLoss"}, OURS]},
    "PointHead": TWO,
    "STDCHead": ONE | {"num_classes": 2},
}
PARTS = {"KernelUpdateHead": "IterativeDecodeHead", "KernelUpdator": "IterativeDecodeHead"}
NOT_RUN = {
    "Mask2FormerHead": "is one of mmdet's, which is not installed; its losses are of queries and masks",
    "MaskFormerHead": "is one of mmdet's, which is not installed; its losses are of queries and masks",
    "SideAdapterCLIPHead": "its losses are of masks and their classes, which mmdet matches",
    "VPDDepthHead": "predicts depth, not classes",
}


def test_every_registered_head_is_run_or_listed():
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead
    from mmseg.registry import MODELS

    home = "mmseg.models.decode_heads"
    registered = {name: made for name, made in MODELS.module_dict.items() if made.__module__.startswith(home)}
    tables = [HEADS, OWN, PARTS, NOT_RUN]
    assert sorted(name for table in tables for name in table) == sorted(registered)
    base = {name for name in registered if issubclass(registered[name], BaseDecodeHead)}
    shared = {name for name in base if registered[name].loss_by_feat is BaseDecodeHead.loss_by_feat}
    assert set(HEADS) == shared == {name for name in registered if f"Fused{name}" in MODELS.module_dict}


class CrissCrossAttention(nn.Module):
    """Of mmcv's operators the call: attention of some kind, of the size of its input."""

    def __init__(self, channels):
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x + self.mix(x)


class PSAMask(nn.Module):
    """Of mmcv's operators the call: a pixel's mask over the pixels that it sees, made one over all pixels."""

    def __init__(self, psa_type, mask_size):
        super().__init__()

    def forward(self, x):
        n, _, h, w = x.shape
        return F.adaptive_avg_pool1d(x.flatten(2).transpose(1, 2), h * w).transpose(1, 2).reshape(n, h * w, h, w)


def point_sample(x, points, align_corners=False, **options):
    """mmcv's, which is not compiled, but lies among the operators."""
    return F.grid_sample(x, 2 * points[:, None] - 1, align_corners=align_corners, **options)[:, :, 0]


@pytest.fixture
def operators(monkeypatch):
    heads = "mmseg.models.decode_heads"
    monkeypatch.setattr(f"{heads}.cc_head.CrissCrossAttention", CrissCrossAttention)
    monkeypatch.setattr(f"{heads}.psa_head.PSAMask", PSAMask)
    for module in (f"{heads}.point_head", "mmseg.models.utils.point_sample"):
        monkeypatch.setattr(f"{module}.point_sample", point_sample, raising=False)


def features_of(kind):
    """What the backbones of these heads give them."""
    g = torch.Generator().manual_seed(1)
    levels = [torch.randn(2, 4, 8, 12, generator=g), torch.randn(2, 8, 4, 6, generator=g)]
    if kind == "LRASPPHead":
        return [torch.randn(2, 4, 49, 49, generator=g)] * 3  # it pools windows of 49
    if kind == "DPTHead":
        return [(levels[1], torch.randn(2, 8, generator=g))] * 4
    return [*levels, levels[0]] if kind == "PIDHead" else levels


def ran(type_, losses):
    """(losses, gradients) of a head with one of our losses, on a batch."""
    from mmengine import ConfigDict
    from mmengine.model import BaseModel
    from mmengine.registry import DefaultScope
    from mmseg.registry import MODELS

    kind = type_.removeprefix("Fused")
    torch.manual_seed(0)
    options = {"type": type_, "channels": 8, "num_classes": CLASSES, "loss_decode": losses, **(HEADS | OWN)[kind]}
    if kind == "IterativeDecodeHead":
        made = {"type": "FCNHead", "channels": 8, "num_classes": CLASSES, "loss_decode": losses, **ONE}
        options = {"type": type_, **OWN[kind], "kernel_generate_head": made}
    with DefaultScope.overwrite_default_scope("mmseg"):  # as a configuration's default_scope
        head = MODELS.build(options)
    _, labels, _ = batch()
    given = [features_of(kind), samples(labels), None]
    if kind in ("OCRHead", "PointHead"):
        given.insert(1, torch.randn(2, CLASSES, 8, 12))
        given[-1] = ConfigDict(num_points=32, oversample_ratio=3, importance_sample_ratio=0.75)
    found = head.loss(*given)
    total, _ = BaseModel.parse_losses(None, found)
    total.backward()
    gradients = {name: p.grad for name, p in head.named_parameters() if p.grad is not None}
    return SimpleNamespace(losses=found, total=total.detach(), gradients=gradients)


@pytest.mark.parametrize("kind", HEADS)
def test_a_registered_head_and_its_fused_one_train(kind, operators):
    plain, fused = ran(kind, OURS), ran(f"Fused{kind}", OURS)
    assert list(plain.losses) == list(fused.losses) == ["loss_pat", "acc_seg"]
    assert plain.total > 0 and any(gradient.any() for gradient in plain.gradients.values())
    for name in plain.losses:
        torch.testing.assert_close(fused.losses[name].reshape(()), plain.losses[name].reshape(()), rtol=1e-5, atol=1e-6)
    assert list(fused.gradients) == list(plain.gradients)
    for name, gradient in plain.gradients.items():
        torch.testing.assert_close(fused.gradients[name], gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", OWN)
def test_a_head_with_a_loss_of_its_own_trains(kind, operators):
    found = ran(kind, OURS)
    # Of PIDHead's, one is of boundaries, and one of the pixels where it is sure of a boundary: nowhere as yet.
    theirs = ("loss_se", "loss_bd", "loss_sem_bd")
    ours = [name for name in found.losses if "loss" in name and name not in theirs]
    assert len(ours) == {"DAHead": 3, "DDRHead": 2, "IterativeDecodeHead": 2, "PIDHead": 2}.get(kind, 1)
    assert all(torch.isfinite(found.losses[name]) and found.losses[name] > 0 for name in ours)
    assert any(gradient.any() for gradient in found.gradients.values())

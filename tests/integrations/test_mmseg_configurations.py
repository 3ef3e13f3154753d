"""Configurations that mmsegmentation ships, with one line changed."""

from pathlib import Path

import pytest
import torch
from mmseg_heads import MARKS, samples

import pat_triton

pytestmark = MARKS


# Configurations that mmsegmentation ships, of which a child's loss_decode says another loss and nothing else.
SHIPPED = {
    "segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py": "SegformerHead",
    "deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024.py": "DepthwiseSeparableASPPHead",
    "upernet/upernet_r50_4xb4-80k_ade20k-512x512.py": "UPerHead",
    "fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py": "FCNHead",
}


def configurations():
    import mmseg

    return Path(mmseg.__file__).parent / ".mim" / "configs"


def child(folder, base, type_="FusedPATLoss"):
    """The configuration of a file of one line that trains with another loss."""
    from mmengine import Config

    (folder / "child.py").write_text(
        f"_base_ = [{str(base)!r}]\n"
        'custom_imports = dict(imports=["pat_triton.integrations.mmseg"])\n'
        f'model = dict(decode_head=dict(loss_decode=dict(type="{type_}")))\n'
    )
    return Config.fromfile(folder / "child.py", import_custom_modules=False)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_configuration_with_one_line_changed(name, tmp_path):
    """Its decode head, as large as it is shipped, on small features."""
    from mmengine.model import revert_sync_batchnorm
    from mmseg.registry import MODELS

    config = child(tmp_path, configurations() / name).model.decode_head
    assert config.type == SHIPPED[name] and config.loss_decode.use_sigmoid is False
    g = torch.Generator().manual_seed(0)
    channels = config.in_channels if config.type == "SegformerHead" else [256, 512, 1024, 2048]
    features = [torch.randn(2, c, 16 >> i, 24 >> i, generator=g) for i, c in enumerate(channels)]
    labels = torch.randint(0, config.num_classes, (2, 32, 48), generator=g)
    labels[:, :4] = 255
    head = revert_sync_batchnorm(MODELS.build(config))
    torch.manual_seed(1)
    losses = head.loss(features, samples(labels), None)
    torch.manual_seed(1)
    with torch.no_grad():
        expected = pat_triton.PATLoss(align_corners=head.align_corners)(head(features), labels)
    torch.testing.assert_close(losses["loss_pat"].detach(), expected, rtol=1e-5, atol=0)
    losses["loss_pat"].backward()
    assert head.conv_seg.weight.grad.abs().sum() > 0


# Of the models that others build on, those with which a line is not enough, and the error that says so.
LISTS = "is of type <class 'list'> in base config. You may set `_delete_=True`"  # mmengine's
NOT_ONE_LINE = {
    "fast_scnn": "use_sigmoid: FusedPATLoss got True",  # a loss of another kind
    "ocrnet_hr18": LISTS,  # of heads
    "ocrnet_r50-d8": LISTS,
    "pointrend_r50": LISTS,
    "san_vit-b16": LISTS,  # of losses, for masks and their classes
    "vpd_sd": "has no decode head",
}


def test_every_base_model_takes_a_line(tmp_path):
    from mmseg.registry import MODELS

    bases = {path.stem: path for path in (configurations() / "_base_" / "models").glob("*.py")}
    assert len(bases) >= 50 and set(NOT_ONE_LINE) < set(bases)
    for name in set(bases) - set(NOT_ONE_LINE):
        config = child(tmp_path, bases[name]).model.decode_head.loss_decode
        loss = MODELS.build(config)
        assert type(loss.criterion) is pat_triton.PATLoss
        assert loss.criterion.loss_weight == config.loss_weight and "use_sigmoid" in config


@pytest.mark.parametrize("name", sorted(set(NOT_ONE_LINE) - {"vpd_sd"}))
def test_a_base_model_that_takes_more_says_so(name, tmp_path):
    from mmseg.registry import MODELS

    with pytest.raises((TypeError, ValueError), match=NOT_ONE_LINE[name]):
        MODELS.build(
            child(tmp_path, configurations() / "_base_" / "models" / f"{name}.py").model.decode_head.loss_decode
        )

"""Each line of the README's table "if you use X, write this" is run in the framework it is for."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from libraries import needed
from torch import nn

import pat_triton

README = (Path(__file__).parents[2] / "README.md").read_text()
TABLE = README.partition("| if you use | write |\n|---|---|\n")[2].partition("\n\n")[0]
LINES = dict(re.findall(r"^\| (.*?) \| `(.*)` \|$", TABLE, re.M))
CLASSES, SIZE = 5, 64
TESTS: list = []  # in this file, of one line or more

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:mm.*")  # theirs about theirs


@pytest.fixture
def given():
    torch.manual_seed(0)
    labels = torch.randint(0, CLASSES, (2, SIZE, SIZE))
    logits = torch.randn(2, CLASSES, 16, 16, requires_grad=True)
    return {"torch": torch, "PATLoss": pat_triton.PATLoss, "labels": labels, "logits": logits}


def after(name, given):
    exec(LINES[name], given)
    return given


def pat(logits, labels, align_corners=False):
    """Of logits that are enlarged first."""
    full = F.interpolate(logits, labels.shape[1:], mode="bilinear", align_corners=align_corners)
    return pat_triton.PATLoss()(full, labels)


def test_every_line_has_a_test():
    tested = {name for test in TESTS for name in test.names}
    assert tested == set(LINES)
    assert len(LINES) == 8


def line(*names):
    def mark(test):
        test.names = names
        TESTS.append(test)
        return pytest.mark.parametrize("name", names)(test)

    return mark


@line("torch, Lightning, accelerate")
def test_torch(name, given):
    loss = after(name, given)["loss"]
    loss.backward()
    torch.testing.assert_close(loss, pat(given["logits"], given["labels"]), rtol=1e-5, atol=0)


@line("mmsegmentation 1.x, the loss alone", "mmsegmentation 1.x, upsampling too")
def test_mmsegmentation(name, given):
    needed("mmseg", "mmseg.models")
    from mmengine.structures import PixelData
    from mmengine.utils import import_modules_from_strings
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample

    import_modules_from_strings(**{"imports": ["pat_triton.integrations.mmseg"]})  # what custom_imports does

    sizes = {"in_channels": 4, "channels": 4, "num_classes": CLASSES, "num_convs": 1, "dropout_ratio": 0}
    head = MODELS.build(after(name, given)["head"] | sizes)
    nn.init.normal_(head.conv_seg.weight)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=y[None])) for y in given["labels"]]
    features = [torch.randn(2, 4, 16, 16)]
    losses = head.loss(features, samples, None)
    with torch.no_grad():
        torch.testing.assert_close(losses["loss_pat"], pat(head(features), given["labels"]), rtol=1e-5, atol=0)


@line("transformers, Trainer")
def test_trainer(name, given, tmp_path):
    needed("transformers", "accelerate")
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, Trainer, TrainingArguments

    from pat_triton.integrations.transformers import compute_loss_func

    config = SegformerConfig(
        num_labels=CLASSES, hidden_sizes=[8] * 4, num_attention_heads=[1] * 4, depths=[1] * 4, decoder_hidden_size=8
    )
    scenes = [{"pixel_values": torch.randn(3, SIZE, SIZE), "labels": y} for y in given["labels"]]
    arguments = TrainingArguments(
        str(tmp_path), max_steps=1, logging_steps=1, report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True
    )
    known = {"Trainer": Trainer, "arguments": arguments, "scenes": scenes, "compute_loss_func": compute_loss_func}
    trainer = after(name, given | known | {"model": SegformerForSemanticSegmentation(config)})["trainer"]
    trainer.train()
    (logged,) = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert 5 < logged < 12  # five classes, each of about log 5


@line("transformers, your own loop")
def test_model(name, given):
    """One that never reads its ``loss_function``."""
    needed("transformers")
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    from pat_triton.integrations.transformers import set_loss

    config = SegformerConfig(
        num_labels=CLASSES, hidden_sizes=[8] * 4, num_attention_heads=[1] * 4, depths=[1] * 4, decoder_hidden_size=8
    )
    model = SegformerForSemanticSegmentation(config).eval()
    after(name, given | {"model": model, "set_loss": set_loss})
    outputs = model(torch.randn(2, 3, SIZE, SIZE), labels=given["labels"])
    torch.testing.assert_close(outputs.loss, pat(outputs.logits, given["labels"]), rtol=1e-5, atol=0)


@line("MONAI")
def test_monai(name, given):
    needed("monai", "monai.networks.nets")
    from pat_triton.integrations.monai import MonaiLoss

    criterion = after(name, given | {"MonaiLoss": MonaiLoss})["criterion"]
    logits, labels = given["logits"], given["labels"][:, None, ::4, ::4].float()
    assert criterion(logits, labels) == pat_triton.PATLoss()(logits, labels[:, 0].long())


@line("segmentation_models_pytorch")
def test_the_line_for_smp(name, given):
    needed("segmentation_models_pytorch")
    import segmentation_models_pytorch as smp

    model = smp.FPN("resnet18", encoder_weights=None, classes=CLASSES).eval()
    images = torch.randn(2, 3, SIZE, SIZE)
    full = model(images)
    criterion = after(name, given | {"model": model})["criterion"]
    torch.testing.assert_close(criterion(model(images), given["labels"]), pat_triton.PATLoss()(full, given["labels"]))


@line("torchvision")
def test_the_line_for_torchvision(name, given):
    needed("torchvision", "torchvision.models.segmentation")
    from torchvision.models.segmentation import fcn_resnet50

    model = fcn_resnet50(num_classes=CLASSES, aux_loss=True, weights=None, weights_backbone=None).eval()
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        outputs, features = model(images), model.backbone(images)
        loss = after(name, given | {"model": model, "f": features})["loss"]
    expected = sum(w * pat_triton.PATLoss()(outputs[key], given["labels"]) for key, w in (("out", 1), ("aux", 0.5)))
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)

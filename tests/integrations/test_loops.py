"""Loops that call a loss as it is: segmentation_models_pytorch, torchvision, Lightning, accelerate."""

import pytest
import torch
import torch.nn.functional as F
from libraries import needed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import pat_triton

CLASSES, SIZE = 5, 64


def batch():
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(0, CLASSES, (4, SIZE, SIZE), generator=g)
    labels[:, :8] = 255
    return torch.randn(4, 3, SIZE, SIZE, generator=g), labels


def expected(logits, labels):
    return F.cross_entropy(logits, labels, ignore_index=255)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("name", ["DeepLabV3Plus", "FPN", "Segformer", "Unet"])
def test_smp(name, align_corners):
    """Its heads enlarge, with align_corners=True unless changed; without that the loss does the same."""
    needed("segmentation_models_pytorch")
    import segmentation_models_pytorch as smp

    torch.manual_seed(0)
    images, labels = batch()
    model = getattr(smp, name)("resnet18", encoder_weights=None, classes=CLASSES).eval()
    if name != "Unet":
        assert model.segmentation_head[1].align_corners
        model.segmentation_head[1].align_corners = align_corners
    truth = expected(model(images), labels)
    model.segmentation_head[1] = nn.Identity()
    logits = model(images)
    assert (logits.shape[-1] < SIZE) == (name != "Unet")
    loss = pat_triton.CrossEntropyLoss(align_corners=align_corners)(logits, labels)
    torch.testing.assert_close(loss, truth, rtol=1e-5, atol=0)
    loss.backward()
    assert all(weight.grad is not None for weight in model.segmentation_head.parameters())


def test_torchvision():
    """Its models enlarge with align_corners=False; head and auxiliary head without it."""
    needed("torchvision", "torchvision.models.segmentation")
    from torchvision.models.segmentation import fcn_resnet50

    torch.manual_seed(0)
    images, labels = batch()
    model = fcn_resnet50(num_classes=CLASSES, aux_loss=True, weights=None, weights_backbone=None).eval()
    with torch.no_grad():
        outputs = model(images)
        features = model.backbone(images)
        heads = [model.classifier(features["out"]), model.aux_classifier(features["aux"])]
    truth = expected(outputs["out"], labels) + 0.5 * expected(outputs["aux"], labels)
    loss = pat_triton.CrossEntropyLoss()(heads, labels, weights=[1.0, 0.5])
    torch.testing.assert_close(loss, truth, rtol=1e-5, atol=0)


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, CLASSES, 1))  # a quarter of the size


@pytest.mark.filterwarnings("ignore:::lightning.*", "ignore::DeprecationWarning", "ignore:.*(litlogger|num_workers).*")
def test_lightning(tmp_path):
    needed("lightning", "lightning.pytorch")
    import lightning

    class Segmenter(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.network, self.criterion, self.losses = small(), pat_triton.PATLoss(), []

        def training_step(self, pair, _):
            images, labels = pair
            loss, stats = self.criterion(self.network(images), labels, return_stats=True)
            self.log("pixel_accuracy", pat_triton.metrics.pixel_accuracy(stats).overall.float())
            self.losses.append(loss.item())
            return loss

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 0.05)

    module = Segmenter()
    trainer = lightning.Trainer(
        max_steps=5, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path, accelerator="cpu", precision="bf16-mixed",
    )  # fmt: skip
    trainer.fit(module, DataLoader(TensorDataset(*batch()), 4))
    assert len(module.losses) == 5
    assert module.losses[-1] < module.losses[0]
    assert 0 <= trainer.callback_metrics["pixel_accuracy"] <= 1


def test_accelerate():
    needed("accelerate")
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    network, criterion = small(), pat_triton.PATLoss(loss_weight=1.0)
    optimizer = torch.optim.Adam(network.parameters(), 0.05)
    loader = DataLoader(TensorDataset(*batch()), 2)
    network, optimizer, loader, criterion = accelerator.prepare(network, optimizer, loader, criterion)
    losses = []
    for _ in range(5):
        for images, labels in loader:
            with accelerator.accumulate(network):
                loss = criterion(network(images), labels)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.item())
    assert sum(losses[-2:]) < sum(losses[:2])

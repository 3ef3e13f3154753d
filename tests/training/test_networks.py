"""Every network trains, ours with every loss, and gives the logits that it says."""

import csv
import json
import re

import pytest
import torch
import torch.nn.functional as F
from libraries import needed
from torch import nn

from benchmarks.training import checkpoint, networks
from benchmarks.training.networks import NETWORKS, batch_norm, libraries
from pat_triton.losses import CATALOGUE

LIBRARY = {
    "pyramid": None,
    "segnet": None,
    "attention-unet": "monai",
    **dict.fromkeys(("unet", "unet++", "deeplabv3", "deeplabv3+", "segformer"), "segmentation_models_pytorch"),
}
ENCODER = "mobilenet_v2"  # of few weights, which are written after every loss
RATIO = {"pyramid": 4, "deeplabv3": 8, "deeplabv3+": 4, "segformer": 4}  # of the image's size to the logits'


@pytest.fixture(autouse=True)
def poison():
    """The models are not ours to poison: pooling and batch norm of torch itself use empty memory."""


@pytest.fixture(params=NETWORKS)
def model(request):
    if LIBRARY[request.param]:
        needed(LIBRARY[request.param])
    return request.param


def built(model, classes=5, seed=0):
    torch.manual_seed(seed)
    return networks.build(model, classes, 4 if NETWORKS[model].width else None, ENCODER, False)


def test_two_steps_with_its_losses(model, job, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.training.datasets.NUMBER_OF_SCENES", {"train": 4, "val": 2})
    # Of each library's networks, which take seconds a loss, two: a loss sees no network but its logits.
    losses = tuple(CATALOGUE) if LIBRARY[model] is None else ("CrossEntropyLoss", "PATLoss")
    slim = ("--width", 4) if NETWORKS[model].width else ("--encoder", ENCODER)
    code, out = job(
        "train", "--model", model, *slim, "--loss", *losses, "--size", 64, 64, "--steps", 2, "--evaluate", 1,
        "--no-measure", "--out", tmp_path,
    )  # fmt: skip
    assert code == 0, out.err
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    results = json.loads((folder / "results.json").read_text())["losses"]
    assert list(results) == list(losses)
    with open(folder / "losses.csv", newline="") as file:
        steps = list(csv.DictReader(file))
    values = torch.tensor([[float(row[loss]) for loss in losses] for row in steps])
    assert values.shape == (2, len(losses))
    assert values.isfinite().all()
    with open(folder / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["loss"], row["step"]) for row in rows] == [(loss, step) for loss in losses for step in "12"]
    # Two steps of the last loss moved every weight that is multiplied.
    trained, before = checkpoint.read(folder)["training"]["model"], built(model, 12, seed=0)
    for name, weight in before.named_parameters():
        assert weight.ndim < 2 or not torch.equal(weight, trained[name]), name


def test_logits_are_as_small_as_the_head_makes_them(model):
    with torch.no_grad():
        logits = built(model).eval()(torch.randn(2, 3, 64, 96))
    ratio = RATIO.get(model, 1)
    assert logits.shape == (2, 5, 64 // ratio, 96 // ratio)


@pytest.mark.parametrize("name", ["deeplabv3", "deeplabv3+", "segformer"])
def test_the_loss_resizes_as_the_head_would(name):
    needed("segmentation_models_pytorch")
    import segmentation_models_pytorch as smp

    whole = {"deeplabv3": smp.DeepLabV3, "deeplabv3+": smp.DeepLabV3Plus, "segformer": smp.Segformer}[name]
    theirs = whole(ENCODER, encoder_weights=None, classes=5).eval()
    ours = built(name).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        full = F.interpolate(ours(images), (64, 96), mode="bilinear", align_corners=NETWORKS[name].align_corners)
        torch.testing.assert_close(full, theirs(images))


def test_every_layer_shares_its_statistics(model):
    """Under DistributedDataParallel: those of half a batch make another network."""
    layers = [layer for layer in built(model).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert all(isinstance(layer, batch_norm.BatchNorm2d) for layer in layers)


def test_every_weight_has_a_gradient(model):
    """DistributedDataParallel waits for each."""
    network = built(model)
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_shared_batch_norm_keeps_what_was_learnt():
    layer = nn.BatchNorm2d(3, eps=1e-3, momentum=0.2)
    layer(torch.randn(4, 3, 2, 2))
    made = networks.shared(nn.Sequential(layer))[0]
    assert type(made) is batch_norm.BatchNorm2d
    assert (made.eps, made.momentum) == (1e-3, 0.2)
    assert torch.equal(made.running_mean, layer.running_mean)


def test_shared_batch_norm_under_autocast(monkeypatch):
    """As with two processes, of which this is all: the statistics are those of float32, the dtype stays."""
    monkeypatch.setattr(batch_norm, "launched", lambda: True)
    layer, expected = batch_norm.BatchNorm2d(3), nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 8, 8, dtype=torch.bfloat16) + 5
    monkeypatch.setattr(batch_norm, "average", lambda x: x)
    y = layer(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected(x.float()), rtol=0.02, atol=0.02)
    torch.testing.assert_close(layer.running_mean, expected.running_mean)
    torch.testing.assert_close(layer.running_var, expected.running_var)


def test_layers_that_would_not_share_are_refused(monkeypatch):
    class Other(nn.BatchNorm2d):
        """As timm's, with an activation."""

    network = nn.Sequential(nn.Conv2d(3, 3, 1), Other(3))
    networks.shared(network)  # in one process nothing is lost
    monkeypatch.setattr(batch_norm, "launched", lambda: True)
    with pytest.raises(ValueError, match="--encoder: got one whose Other layers do not share their statistics"):
        networks.shared(network)


def test_segnet_is_vgg16s_convolutions_twice():
    """The 13 of VGG16 (14.7 million weights) and their mirror image; odd sizes come back as they were."""
    segnet = networks.build("segnet", 19, None, "", False)
    convolutions = [layer for layer in segnet.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 26
    assert [c.out_channels for c in convolutions[:13]] == [64, 64, 128, 128, *[256] * 3, *[512] * 6]
    assert sum(c.weight.numel() for c in convolutions[:13]) == 14_710_464
    assert built("segnet")(torch.randn(2, 3, 45, 67)).shape == (2, 5, 45, 67)


def test_unpooling_puts_back_where_the_encoder_pooled():
    """A network without convolutions between would give the maxima in their places."""
    segnet = built("segnet").eval()
    segnet.encoder = nn.ModuleList([nn.Identity()])
    segnet.decoder = nn.ModuleList([nn.Identity()])
    x = torch.randn(1, 3, 4, 4)
    y = segnet(x)
    kept = y != 0
    assert kept.flatten(2).sum(2).tolist() == [[4, 4, 4]]
    assert torch.equal(y[kept], x[kept])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "unet", "--size", 64, 72),
         "--size: got 64 72, expected at least 32 each, multiples of 32 for --model unet, such as 64 64"),
        (("--model", "pyramid", "--size", 16, 64),
         "--size: got 16 64, expected at least 32 each for --model pyramid, such as 32 64"),
        (("--model", "unet", "--width", 8, "--size", 64, 64),
         "--width: got 8, expected none: --model unet is as wide as its --encoder"),
        (("--model", "segnet", "--encoder", "resnet18"),
         "--encoder: got resnet18, expected none: --model segnet has no encoder to choose"),
        (("--model", "pyramid", "--pretrained"),
         "--pretrained: got True, expected none: --model pyramid has no encoder to choose"),
    ],
)  # fmt: skip
def test_what_a_network_cannot_take(arguments, message, job):
    code, out = job("train", *arguments)
    assert code == 2
    assert out.err == f"python -m benchmarks: error: {message}\n"


def test_an_unknown_encoder():
    needed("segmentation_models_pytorch")
    with pytest.raises(ValueError, match=re.escape("--encoder: got 'resnet19', known: resnet18, resnet34, ")):
        networks.build("unet", 5, None, "resnet19", False)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("No module named 'monai'", name="monai"), "--model: needs monai, which is not installed"),
        (RuntimeError("operator torchvision::nms does not exist"),
         "--model: monai imports torchvision, which was built for another torch than the one installed"),
    ],
)  # fmt: skip
def test_a_library_that_is_not_there(error, message, monkeypatch):
    def missing(_):
        raise error

    monkeypatch.setattr(libraries, "import_module", missing)
    with pytest.raises(ValueError, match=re.escape(message)):
        libraries.imported("monai.networks.nets")

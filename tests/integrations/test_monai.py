"""MONAI's networks and targets: volumes, index maps of floats, one-hot."""

import pytest
import torch
import torch.nn.functional as F
from libraries import needed

import pat_triton

CLASSES = 4


@pytest.fixture(scope="module", autouse=True)
def monai():
    needed("monai", "monai.networks.nets", "monai.losses")
    from pat_triton.integrations import monai

    return monai


def unet():
    from monai.networks.nets import UNet

    torch.manual_seed(0)
    return UNet(3, in_channels=1, out_channels=CLASSES, channels=(4, 8), strides=(2,))


def volumes():
    g = torch.Generator().manual_seed(1)
    labels = torch.randint(0, CLASSES, (2, 1, 8, 12, 16), generator=g)
    return torch.randn(2, 1, 8, 12, 16, generator=g) + labels, labels


def forms(labels):
    from monai.data import MetaTensor
    from monai.networks import one_hot

    return {
        "int64": labels,
        "float32": labels.float(),
        "float64": labels.double(),
        "bfloat16": labels.bfloat16(),
        "no channel": labels[:, 0].float(),
        "one-hot": one_hot(labels, CLASSES),
        "bool one-hot": one_hot(labels, CLASSES).bool(),
        "MetaTensor": MetaTensor(labels.float()),
    }


def test_every_form_of_a_target_is_the_same(monai):
    images, labels = volumes()
    logits = unet()(images).detach()
    criterion = pat_triton.PATLoss()
    expected = criterion(logits, labels[:, 0])
    for name, target in forms(labels).items():
        value = monai.MonaiLoss(criterion)(logits, target)
        assert torch.equal(value, expected), name
        assert type(value) is torch.Tensor


def test_cross_entropy_is_monais(monai):
    """MONAI's DiceCELoss without its Dice."""
    from monai.losses import DiceCELoss

    images, labels = volumes()
    logits = unet()(images).detach()
    theirs = DiceCELoss(to_onehot_y=True, softmax=True, lambda_dice=0.0)(logits, labels)
    torch.testing.assert_close(monai.MonaiLoss(pat_triton.CrossEntropyLoss())(logits, labels.float()), theirs)


def test_cross_entropy_and_dice_are_monais(monai):
    """Its DiceCELoss, in one pass; a list of logits, and evaluation, as for one loss."""
    from monai.losses import DiceCELoss

    images, labels = volumes()
    logits = unet()(images).detach()
    theirs = DiceCELoss(to_onehot_y=True, softmax=True)
    ours = monai.MonaiLoss(pat_triton.CrossEntropyLoss() + pat_triton.DiceLoss(smooth=1e-5, per_image=True))
    found = []
    for criterion in (ours, theirs):
        z = logits.clone().requires_grad_()
        value = criterion(z, labels.float())
        found.append((value.detach(), *torch.autograd.grad(value, z)))
    for mine, its in zip(*found, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-9)
    with torch.no_grad():
        torch.testing.assert_close(ours([logits, logits], labels, weights=[1.0, 0.5]), 1.5 * found[1][0])


@pytest.mark.parametrize("loss", ["CrossEntropyLoss", "BLVLoss", "PATLoss"])
def test_a_3d_unet_learns(loss, monai):
    images, labels = volumes()
    network, criterion = unet(), monai.MonaiLoss(getattr(pat_triton, loss)())
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    losses = []
    for _ in range(12):
        value = criterion(network(images), labels.float())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < 0.9 * losses[0]


def test_bool_labels(monai):
    """Of two classes: something and the rest."""
    images, labels = volumes()
    logits = unet()(images).detach()[:, :2]
    some = labels > 1
    criterion = pat_triton.PATLoss()
    assert torch.equal(monai.MonaiLoss(criterion)(logits, some), criterion(logits, some.long()))


def test_a_list_of_logits(monai):
    """As MONAI's networks give for deep supervision, beside every form of a target, and stacked ones of MetaTensors."""
    from monai.data import MetaTensor

    images, labels = volumes()
    heads = [unet()(images).detach(), unet()(images.flip(0)).detach()]
    criterion = pat_triton.PATLoss()
    expected = criterion(heads, labels[:, 0], weights=[1.0, 0.5])
    for name, target in forms(labels).items():
        for logits in (heads, tuple(map(MetaTensor, heads))):
            assert torch.equal(monai.MonaiLoss(criterion)(logits, target, weights=[1.0, 0.5]), expected), name


def test_monai_evaluation_has_no_noise(monai):
    """MONAI's evaluators, which call no eval() of a loss."""
    images, labels = volumes()
    logits = unet()(images).detach()
    criterion = pat_triton.BLVLoss()
    loss = monai.MonaiLoss(criterion)
    plain = pat_triton.CrossEntropyLoss()(logits, labels)
    with torch.no_grad():
        assert torch.equal(loss(logits, labels), plain)
    assert not torch.equal(loss(logits, labels), plain)
    assert criterion.training


def test_one_channel_is_named(monai):
    images, labels = volumes()
    with pytest.raises(ValueError, match=r"^logits: expected at least 2 classes .* takes two channels, "):
        monai.MonaiLoss(pat_triton.PATLoss())(unet()(images)[:, :1], labels > 1)


def test_what_the_loss_takes_besides(monai):
    images, labels = volumes()
    logits = unet()(images).detach()
    weight = torch.rand(labels.shape)
    value, stats = monai.MonaiLoss(pat_triton.PATLoss())(logits, labels.float(), pixel_weight=weight, return_stats=True)
    torch.testing.assert_close(value, pat_triton.PATLoss()(logits, labels, pixel_weight=weight))
    assert stats.labelled.sum() == labels.numel()


def test_what_is_no_loss_or_no_tensor(monai):
    with pytest.raises(TypeError, match=r"^criterion: expected a loss of pat_triton, .* got CrossEntropyLoss$"):
        monai.MonaiLoss(torch.nn.CrossEntropyLoss())
    with pytest.raises(TypeError, match=r"^target: expected a torch.Tensor, got NoneType$"):
        monai.MonaiLoss(pat_triton.PATLoss())(torch.zeros(1, CLASSES, 2, 2, 2), None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y + 0.5, "target: got numbers that are not whole, expected class indices; is this the image?"),
        (lambda y: F.one_hot(y[:, 0], CLASSES).movedim(-1, 1) * 0.9, "for each class, expected one-hot labels"),
        (lambda y: (y == y).expand(-1, CLASSES, -1, -1, -1), "for each class, expected one-hot labels: at"),
    ],
)  # fmt: skip
def test_targets_that_have_no_class(change, message, monai):
    images, labels = volumes()
    with pytest.raises(ValueError, match=message):
        monai.MonaiLoss(pat_triton.PATLoss())(unet()(images), change(labels))

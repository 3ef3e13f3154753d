"""mmsegmentation's heads, small, with batches for them."""

import pytest
import torch

MARKS = [  # of every test with mmsegmentation; the warnings are theirs about theirs
    pytest.mark.usefixtures("mmseg"),
    pytest.mark.filterwarnings("ignore::UserWarning:mm.*"),
    pytest.mark.filterwarnings("ignore:.*deprecated in `FFN:DeprecationWarning"),
]
SIZE = (32, 48)
CLASSES = 5


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


def example():
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, CLASSES, 6, 8, generator=g)
    return logits, torch.randint(0, CLASSES, (2, 6, 8), generator=g), torch.rand(2, 6, 8, generator=g)


WEIGHT = [1.0, 2.0, 0.5, 3.0, 1.5]


def partly_ignored(label=255):
    logits, labels, _ = example()
    labels[:, :2] = label  # a third
    return logits, labels


def samples(labels):
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    edges = [PixelData(data=(y[None] == 1).float()) for y in labels]  # PIDHead's
    return [
        SegDataSample(gt_sem_seg=PixelData(data=y[None]), gt_edge_map=edge)
        for y, edge in zip(labels, edges, strict=True)
    ]

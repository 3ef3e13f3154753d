"""A small feature pyramid network, whose logits have a quarter of the image's height and width.

After Kirillov et al. 2019, Panoptic Feature Pyramid Networks, section 3: features of every scale are
brought to a quarter and added.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from .batch_norm import BatchNorm2d

LEVELS = 5  # halvings of the image's size
SHRINKAGE = 4  # of the image's height and width, in the logits


class PyramidNet(nn.Module):
    """images (B, 3, H, W) float -> logits (B, classes, H / 4, W / 4), rounded up.

    width: channels at half the image's size; they double at each of the levels below.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS)]
        self.encoder = nn.ModuleList(
            nn.Sequential(*_convolution(before, after, stride=2), *_convolution(after, after))
            for before, after in zip([3, *widths], widths, strict=False)
        )
        merged = widths[1]
        self.laterals = nn.ModuleList(nn.Conv2d(features, merged, 1) for features in widths[1:])
        self.head = nn.Sequential(*_convolution(merged, merged), nn.Conv2d(merged, classes, 1))

    def forward(self, images: Tensor) -> Tensor:
        x, features = images, []
        for stage in self.encoder:
            x = stage(x)
            features.append(x)
        parts = [lateral(part) for lateral, part in zip(self.laterals, features[1:], strict=True)]
        size = parts[0].shape[-2:]
        merged = sum((F.interpolate(part, size, mode="bilinear") for part in parts[1:]), parts[0])
        return self.head(merged).contiguous()


def _convolution(before: int, after: int, stride: int = 1) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
    return convolution, BatchNorm2d(after), nn.ReLU(inplace=True)

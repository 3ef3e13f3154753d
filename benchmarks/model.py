"""A small SegNet: the decoder puts values back where max pooling found them.

After Badrinarayanan et al. 2017, SegNet: A Deep Convolutional Encoder-Decoder Architecture.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 3


class SegNet(nn.Module):
    """images (B, 3, H, W) float -> logits (B, classes, H, W); H and W at least 2 ** LEVELS.

    width: channels at full resolution; they double at each of the levels below.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS)]
        self.encoder = nn.ModuleList(
            _stage(before, after, after) for before, after in zip([3, *widths], widths, strict=False)
        )
        self.decoder = nn.ModuleList(
            _stage(after, after, before) for before, after in zip([width, *widths], widths, strict=False)
        )
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        x, trail = images, []
        for stage in self.encoder:
            x = stage(x)
            size = x.shape[-2:]
            x, where = F.max_pool2d(x, 2, return_indices=True)
            trail.append((where, size))
        for stage, (where, size) in zip(reversed(self.decoder), reversed(trail), strict=True):
            x = stage(F.max_unpool2d(x, where, (2, 2), output_size=size))
        return self.head(x).contiguous()


def normalise(images: Tensor) -> Tensor:
    """uint8 -> float32 in [-1, 1]; on a CPU in the layout in which its convolutions are fastest."""
    scaled = images.float().div_(127.5).sub_(1)
    return scaled.contiguous(memory_format=torch.channels_last) if images.device.type == "cpu" else scaled


def _stage(before: int, within: int, after: int) -> nn.Sequential:
    return nn.Sequential(*_convolution(before, within), *_convolution(within, after))


def _convolution(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)

"""SegNet: VGG16's convolutions, and a mirror image of them that unpools where the encoder pooled.

After Badrinarayanan et al. 2017, SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
Segmentation, section 3.
"""

import torch.nn.functional as F
from torch import Tensor, nn

CONVOLUTIONS = (2, 2, 3, 3, 3)  # of VGG16's stages
SHRINKAGE = 2 ** len(CONVOLUTIONS)  # of the image's height and width at the bottom


class SegNet(nn.Module):
    """images (B, 3, H, W) float -> logits (B, classes, H, W), for H and W from 32.

    width: channels of the first stage; they double at each, up to eightfold. 64 is VGG16.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        widths = [width * min(2**stage, 8) for stage in range(len(CONVOLUTIONS))]
        before = [3, *widths[:-1]]
        after = [classes, *widths[:-1]]  # of the decoder's stages, from the last
        self.encoder = nn.ModuleList(
            nn.Sequential(*(_convolution(b if i == 0 else w, w) for i in range(n)))
            for b, w, n in zip(before, widths, CONVOLUTIONS, strict=True)
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(
                *(_convolution(w, w) for _ in range(n - 1)),
                nn.Conv2d(w, a, 3, padding=1) if stage == 0 else _convolution(w, a),
            )
            for stage, (a, w, n) in enumerate(zip(after, widths, CONVOLUTIONS, strict=True))
        )

    def forward(self, images: Tensor) -> Tensor:
        x, pooled = images, []
        for stage in self.encoder:
            x = stage(x)
            size = x.shape[-2:]
            x, places = F.max_pool2d(x, 2, return_indices=True)
            pooled.append((places, size))
        for stage, (places, size) in zip(reversed(self.decoder), reversed(pooled), strict=True):
            x = stage(F.max_unpool2d(x, places, [2, 2], output_size=size))
        return x


def _convolution(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )

"""The networks that are trained: images (B, 3, H, W) float -> logits (B, classes, h, w).

Those whose heads would enlarge their logits to the image's size give them as they are: the loss resizes them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from . import libraries
from .batch_norm import shared
from .pyramid import LEVELS, PyramidNet
from .segnet import SHRINKAGE, SegNet


@dataclass(frozen=True)
class Network:
    """make(classes, width, encoder, pretrained). width: channels of the first stage where the network is not an
    encoder's, unless told otherwise. least: height and width of an image; multiple: of which they have to be.
    align_corners: how its head would enlarge the logits."""

    make: Callable[[int, int, str, bool], nn.Module]
    width: int | None = None
    least: int = 32
    multiple: int = 32
    align_corners: bool = False


NETWORKS = {
    "pyramid": Network(lambda classes, width, *_: PyramidNet(classes, width), 16, 2**LEVELS, 1),
    "segnet": Network(lambda classes, width, *_: SegNet(classes, width), 64, SHRINKAGE, 1),
    "attention-unet": Network(libraries.attention_unet, 64, 16, 16),
    "unet": Network(libraries.smp("Unet")),
    "unet++": Network(libraries.smp("UnetPlusPlus")),
    "deeplabv3": Network(libraries.smp("DeepLabV3"), align_corners=True),
    "deeplabv3+": Network(libraries.smp("DeepLabV3Plus"), align_corners=True),
    "segformer": Network(libraries.smp("Segformer"), align_corners=True),
}


def check(name: str, size: tuple[int, int], given: Mapping[str, Any]) -> None:
    """ValueError if the network cannot take images of that (height, width), or has no such options."""
    network, least, multiple = NETWORKS[name], NETWORKS[name].least, NETWORKS[name].multiple
    if min(size) < least or any(extent % multiple for extent in size):
        nearest = " ".join(str(max(least, round(extent / multiple) * multiple)) for extent in size)
        what = "--crop" if given.get("crop") else "--size" if given.get("size") else "--size of the data set"
        multiples = f", multiples of {multiple}" if multiple > 1 else ""
        raise ValueError(
            f"{what}: got {size[0]} {size[1]}, expected at least {least} each{multiples} for --model {name}, "
            f"such as {nearest}"
        )
    if network.width is None and "width" in given:
        raise ValueError(f"--width: got {given['width']}, expected none: --model {name} is as wide as its --encoder")
    for option in {"encoder", "pretrained"} & given.keys() if network.width is not None else ():
        raise ValueError(f"--{option}: got {given[option]}, expected none: --model {name} has no encoder to choose")


def build(name: str, classes: int, width: int | None, encoder: str, pretrained: bool) -> nn.Module:
    network = NETWORKS[name]
    return shared(network.make(classes, width or network.width or 0, encoder, pretrained))


def normalise(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in ImageNet's units, in channels_last layout."""
    mean, deviation = _units(images.device)
    return images.float().sub_(mean).div_(deviation).movedim(-1, 1)


@cache
def _units(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of red, green and blue. To bring them to a GPU waits for it: once."""
    return torch.tensor((123.675, 116.28, 103.53), device=device), torch.tensor((58.395, 57.12, 57.375), device=device)

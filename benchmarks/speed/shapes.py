"""Sizes that are measured, by name: batches as they are trained, and smaller ones for a CPU."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Sizes:
    """(images, height, width) on a GPU and on a CPU."""

    classes: int
    gpu: tuple[int, int, int]
    cpu: tuple[int, int, int]


SHAPES = {
    "cityscapes": Sizes(19, (8, 1024, 2048), (2, 512, 1024)),
    "ade20k": Sizes(150, (4, 512, 512), (2, 256, 256)),
    "coco-stuff": Sizes(171, (4, 512, 512), (2, 256, 256)),
    "nyu": Sizes(40, (8, 480, 640), (2, 480, 640)),
    "camvid": Sizes(11, (8, 360, 480), (2, 360, 480)),
    "pet": Sizes(3, (32, 256, 256), (8, 256, 256)),
    "small": Sizes(19, (2, 128, 128), (2, 128, 128)),  # where overhead shows
}


def resolve(words: Sequence[str], device: torch.device) -> tuple[str, Shape]:
    """What ``--shape`` was given: a name, or B L H W. The name, and (B, L, H, W)."""
    if len(words) == 1 and words[0] in SHAPES:
        sizes = SHAPES[words[0]]
        images, height, width = sizes.cpu if device.type == "cpu" else sizes.gpu
        return words[0], (images, sizes.classes, height, width)
    if len(words) != 4 or not all(word.isdecimal() and int(word) for word in words):
        raise ValueError(f"--shape: got {' '.join(words)!r}, expected four whole numbers B L H W or one of {_names()}")
    B, L, H, W = map(int, words)
    return f"{B}x{L}x{H}x{W}", (B, L, H, W)


def quarter(shape: Shape) -> tuple[int, int]:
    """The logits' size of a head at a quarter of the labels' height and width."""
    return -(-shape[2] // 4), -(-shape[3] // 4)


def _names() -> str:
    return ", ".join(SHAPES)

"""A training sample at another scale, cropped and mirrored."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from ..scenes.canvas import VOID
from .splits import Sample

GREY = 124, 116, 104  # of the pixels beside an image: what the networks see as nothing


@dataclass(frozen=True)
class Augmentation:
    """scale: of a sample, drawn evenly from (lowest, highest). size: (height, width) of the crop, which a smaller
    image fills in part; the rest is ``VOID``."""

    scale: tuple[float, float]
    size: tuple[int, int]

    def draw(self, rng: torch.Generator) -> "Change":
        mirrored, scale, top, left = torch.rand(4, generator=rng, dtype=torch.float64).tolist()
        lowest, highest = self.scale
        return Change(mirrored < 0.5, lowest + (highest - lowest) * scale, (top, left), self.size)


@dataclass(frozen=True)
class Change:
    """at: where the crop lies, from 0 (top, left) to 1."""

    mirrored: bool
    scale: float
    at: tuple[float, float]
    size: tuple[int, int]

    def __call__(self, sample: Sample) -> Sample:
        image, labels = sample
        height, width = (max(1, round(self.scale * n)) for n in labels.shape)
        if (height, width) != labels.shape:
            image = _resized(image, (height, width), Image.Resampling.BILINEAR)
            labels = _resized(labels, (height, width), Image.Resampling.NEAREST)
        image, labels = (self._crop(part, filling) for part, filling in ((image, GREY), (labels, VOID)))
        # A copy: torch takes no negative strides.
        return (image[:, ::-1].copy(), labels[:, ::-1].copy()) if self.mirrored else (image, labels)

    def _crop(self, pixels: np.ndarray, filling: object) -> np.ndarray:
        parts = [_part(have, want, at) for have, want, at in zip(pixels.shape, self.size, self.at, strict=False)]
        cut = pixels[parts[0][0], parts[1][0]]
        if cut.shape[:2] == self.size:
            return cut
        padded = np.empty((*self.size, *pixels.shape[2:]), pixels.dtype)
        padded[:] = filling
        padded[parts[0][1], parts[1][1]] = cut
        return padded


def _resized(pixels: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], how))


def _part(have: int, want: int, at: float) -> tuple[slice, slice]:
    """Of one axis: what is taken of the image, and where it goes in the crop."""
    start = round(at * abs(have - want))
    if have >= want:
        return slice(start, start + want), slice(0, want)
    return slice(0, have), slice(start, start + have)

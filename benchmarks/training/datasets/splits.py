"""A part of a data set: in memory, or read from its files each time."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Sample = tuple[np.ndarray, np.ndarray]  # an image (H, W, 3) uint8 and its labels (H, W) uint8


class Split(ABC):
    """Samples of one size (height, width)."""

    size: tuple[int, int]

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, number: int) -> Sample: ...


@dataclass(frozen=True)
class Held(Split):
    """images (N, H, W, 3) uint8, labels (N, H, W) uint8."""

    images: np.ndarray
    labels: np.ndarray

    @property
    def size(self) -> tuple[int, int]:  # type: ignore[override]
        return self.labels.shape[1:]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> Sample:
        return self.images[number], self.labels[number]


@dataclass(frozen=True)
class Read(Split):
    """What ``read(number)`` gives."""

    read: Callable[[int], Sample]
    count: int
    size: tuple[int, int]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Sample:
        return self.read(number)


def stack(samples: Iterable[Sample]) -> tuple[Tensor, Tensor]:
    """images (N, H, W, 3) and labels (N, H, W)."""
    images, labels = zip(*samples, strict=True)
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels))

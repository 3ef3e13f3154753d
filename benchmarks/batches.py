"""In which order a split is trained on."""

from collections.abc import Iterator

import torch
from torch import Tensor

from .data import Split


class Batches(Iterator[tuple[Tensor, Tensor]]):
    """Shuffled batches of mirrored and unmirrored images without end, the same for the same seed."""

    def __init__(self, split: Split, batch: int, seed: int) -> None:
        self.split = split
        self.batch = batch
        self.rng = torch.Generator().manual_seed(seed)
        self.order = torch.empty(0, dtype=torch.int64)

    def __next__(self) -> tuple[Tensor, Tensor]:
        while len(self.order) < self.batch:
            self.order = torch.cat((self.order, torch.randperm(len(self.split.images), generator=self.rng)))
        index, self.order = self.order[: self.batch], self.order[self.batch :]
        images, labels = self.split.images[index], self.split.labels[index]
        mirrored = torch.rand(self.batch, generator=self.rng) < 0.5
        images[mirrored], labels[mirrored] = images[mirrored].flip(-1), labels[mirrored].flip(-1)
        return images, labels

    def state_dict(self) -> dict[str, Tensor]:
        return {"generator": self.rng.get_state(), "order": self.order}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.rng.set_state(state["generator"])
        self.order = state["order"]

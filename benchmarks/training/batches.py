"""In which order and how changed a split is trained on."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from .datasets import Split
from .datasets.augmentation import Augmentation, Change
from .datasets.splits import Sample, stack
from .parallel import share

AHEAD = 2  # batches that are being made while one is trained on
POOL = ThreadPoolExecutor(os.cpu_count(), "samples")  # its threads start with the first sample

Chosen = tuple[int, Change]
State = dict[str, Tensor]


class Batches(Iterator[tuple[Tensor, Tensor]]):
    """Shuffled batches of changed samples without end, the same for the same seed: this process's images
    (B, H, W, 3) uint8 and labels (B, H, W) uint8 of each."""

    def __init__(self, split: Split, batch: int, seed: int, augmentation: Augmentation | None = None) -> None:
        self.split = split
        self.batch = batch
        self.augmentation = augmentation or Augmentation((1.0, 1.0), split.size)
        self.rng = torch.Generator().manual_seed(seed)
        self.order = torch.empty(0, dtype=torch.int64)
        # With the state after each, as those made ahead are not yet trained on.
        self.coming: deque[tuple[list[Future[Sample]], State]] = deque()
        self.state = self._drawn()

    def __next__(self) -> tuple[Tensor, Tensor]:
        while len(self.coming) <= AHEAD:
            samples = [POOL.submit(self._made, chosen) for chosen in share(self._choose())]
            self.coming.append((samples, self._drawn()))
        futures, self.state = self.coming.popleft()
        return stack(future.result() for future in futures)

    def state_dict(self) -> State:
        return self.state

    def load_state_dict(self, state: State) -> None:
        self.coming.clear()
        self.rng.set_state(state["generator"])
        self.order = state["order"]
        self.state = state

    def _choose(self) -> list[Chosen]:
        while len(self.order) < self.batch:
            self.order = torch.cat((self.order, torch.randperm(len(self.split), generator=self.rng)))
        numbers, self.order = self.order[: self.batch].tolist(), self.order[self.batch :]
        return [(number, self.augmentation.draw(self.rng)) for number in numbers]

    def _made(self, chosen: Chosen) -> Sample:
        number, change = chosen
        return change(self.split[number])

    def _drawn(self) -> State:
        return {"generator": self.rng.get_state(), "order": self.order.clone()}

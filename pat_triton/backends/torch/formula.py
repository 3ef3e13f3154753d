"""A call's loss, as all of its chunks compute it."""

import math
from typing import Any

import torch
from torch import Tensor

from ... import noise
from ...adjustment import ROWS
from ...inputs import LossInputs, compute_dtype


class Formula:
    """What is the same in all chunks of a call, and shared by all who work on them: never written to.

    weights: (images, L + 2); labelled: 1 for each class, (L + 2,); scale, offset, variation (L, 1, 1) and margin
    (L + 2,), where there are such.
    """

    def __init__(self, logits: Tensor, inputs: LossInputs, shape: torch.Size) -> None:
        """shape: (B, *spatial), the labels'."""
        self.inputs, self.shape = inputs, shape
        self.curve: Any = inputs.curve
        self.classes = logits.shape[1]
        self.compute = compute_dtype(logits)
        self.on_cpu = logits.device.type == "cpu"
        assert inputs.tables is not None  # but while a call is planned
        tables = inputs.tables.to(self.compute)
        self.weights = self._for_rows(tables[inputs.first : inputs.first + len(logits)])
        self.labelled = None if inputs.regions is None else self._for_rows(self.weights.new_ones(self.classes))
        self.scale, self.offset, self.margin, self.variation = (
            None if (row := inputs.row(name)) is None else tables[row][:, None, None] for name in ROWS
        )
        if self.margin is not None:
            self.margin = torch.constant_pad_nd(self.margin[:, 0, 0], (0, 2))
        self.key: noise.Key = ()
        if inputs.seed is not None:
            self.key = tuple(inputs.seed.tolist()) if self.on_cpu else inputs.seed.unbind()

    def _for_rows(self, of_classes: Tensor) -> Tensor:
        """0 for ignored pixels, and nan for labels that are no class, where they were not looked at."""
        made = torch.constant_pad_nd(of_classes, (0, 2))
        if not self.on_cpu:
            made[..., -1] = math.nan
        return made

    @property
    def cost(self) -> int:
        """Of an element, in the time of one without noise, which takes ten times as long to draw."""
        return 10 if self.variation is not None else 1

    @property
    def adjusts(self) -> bool:
        return bool(self.inputs.rows)

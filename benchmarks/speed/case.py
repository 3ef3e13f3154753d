"""The tensors that all contestants of a run share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from .cost import Loss
from .formulas import IGNORED
from .shapes import Shape

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
BLOCK = 8  # pixels; labels are alike within
# A gradient scaler's factor for fp16. Its usual first one, 2 ** 16, overflows where a class has one pixel.
SCALE = 2.0**14


@dataclass(frozen=True)
class Case:
    """logits (B, L, h, w) that require a gradient; target (B, H, W) int64."""

    logits: Tensor
    target: Tensor

    @property
    def device(self) -> torch.device:
        return self.logits.device

    @property
    def scale(self) -> float:
        """What the loss is multiplied by before its gradient is taken."""
        return SCALE if self.logits.dtype == torch.float16 else 1.0

    @cached_property
    def counts(self) -> Tensor:
        """(L,) pixels of each class, given to every loss that has class counts; at least 1."""
        bins = torch.bincount(self.target[self.target != IGNORED], minlength=self.logits.shape[1])
        return bins.clamp(min=1)

    @property
    def floor_bytes(self) -> int:
        """What any loss moves at least: logits read once, their gradient written once, labels read once."""
        return 2 * self.logits.nbytes + self.target.nbytes

    def step(self, loss: Loss) -> tuple[Tensor, Tensor]:
        """The loss and its gradient, times ``scale``."""
        value = loss(self.logits, self.target)
        factor = None if self.scale == 1 else torch.full_like(value, self.scale)
        (gradient,) = torch.autograd.grad(value, self.logits, factor)
        return value.detach(), gradient

    def as_trained(self, loss: Callable[..., Tensor], *tables: Tensor) -> Loss:
        """A rival's loss under autocast where the logits have 16 bits; ours reads them as they are."""
        dtype, kind = self.logits.dtype, self.device.type

        def call(logits: Tensor, target: Tensor) -> Tensor:
            return loss(logits, target, *tables)

        def mixed(logits: Tensor, target: Tensor) -> Tensor:
            with torch.autocast(kind, dtype):
                return call(logits, target)

        return call if dtype == torch.float32 else mixed


def example(shape: Shape, source: Sequence[int], dtype: str, device: torch.device) -> Case:
    """Labels in blocks, of long-tailed classes, a tenth of the rows ignored; logits as of a half-trained network.

    source: (h, w) of the logits.
    """
    B, L, H, W = shape
    generator = torch.Generator(device).manual_seed(0)
    shares = torch.arange(1, L + 1, device=device) ** -2.0
    blocks = (B, -(-H // BLOCK), -(-W // BLOCK))
    drawn = torch.multinomial(shares, blocks[0] * blocks[1] * blocks[2], replacement=True, generator=generator)
    target = drawn.view(blocks).repeat_interleave(BLOCK, 1).repeat_interleave(BLOCK, 2)[:, :H, :W].contiguous()
    own = F.interpolate(target[:, None].double(), tuple(source)).long()
    target[:, : H // 10] = IGNORED
    logits = torch.randn(B, L, *source, generator=generator, device=device).mul_(2)
    logits.scatter_add_(1, own, torch.full_like(own, 4, dtype=logits.dtype))
    return Case(logits.to(DTYPES[dtype]).requires_grad_(), target)

"""The paper's losses as their authors released them, formula by formula; arguments as in ``formulas``."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal

from .formulas import IGNORED, Formula, resize


def pat(logits: Tensor, target: Tensor, temperature: float = 20.0) -> Tensor:
    """One-hot labels of L channels, and the mean over all elements."""
    labelled = target != IGNORED
    onehot = F.one_hot(target.where(labelled, 0), logits.shape[1]).movedim(-1, 1).float() * labelled[:, None]
    logp = F.log_softmax(resize(logits, target) / temperature, 1)
    beta = 1 / (2 * torch.exp(logp.exp() - 1))
    return (-(logp * onehot * beta)).mean()


def blv(logits: Tensor, target: Tensor, rarity: Tensor, sigma: float = 4.0) -> Tensor:
    """rarity (L,): log N - log n. The noise is drawn on the CPU and moved; ignored pixels count in the mean."""
    logits = resize(logits, target)
    noise = Normal(0.0, sigma).sample(logits.shape).clamp(-1, 1).to(logits.device)
    variation = (noise.abs().permute(0, 2, 3, 1) / rarity.max() * rarity).permute(0, 3, 1, 2)
    return F.cross_entropy(logits + variation, target, ignore_index=IGNORED, reduction="none").mean()


RELEASED = {
    "PATLoss": Formula(pat),
    "BLVLoss": Formula(blv, lambda counts: (counts.sum() / counts).log()),
}

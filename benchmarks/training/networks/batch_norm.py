"""Batch normalisation that does not depend on how many processes share the batch."""

import torch
from torch import Tensor, nn

from ..parallel import average, launched, size


class BatchNorm2d(nn.BatchNorm2d):
    """With the statistics of the whole batch, whose images lie evenly in the processes.

    Each process's own would make another network of it, worst where it has one image; and torch's
    SyncBatchNorm is for GPUs alone.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and launched()):
            return super().forward(x)
        own_variance, own_mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)  # 16 bits under autocast
        mean = average(own_mean)
        variance = average(own_variance + (own_mean - mean).square())
        self._follow(mean.detach(), variance.detach(), size() * x.numel() / x.shape[1])
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]).to(x.dtype)

    def _follow(self, mean: Tensor, variance: Tensor, count: float) -> None:
        """The running statistics, of which evaluation is made; their variance is the unbiased one."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        self.num_batches_tracked += 1


def shared(model: nn.Module) -> nn.Module:
    """The model with such layers in place of torch's."""
    for name, child in model.named_children():
        if launched() and isinstance(child, nn.BatchNorm2d) and type(child) not in (nn.BatchNorm2d, BatchNorm2d):
            raise ValueError(
                f"--encoder: got one whose {type(child).__name__} layers do not share their statistics between "
                "processes, expected torch's BatchNorm2d, such as resnet34's; or train in one process"
            )
        setattr(model, name, _like(child) if type(child) is nn.BatchNorm2d else shared(child))
    return model


def _like(layer: nn.BatchNorm2d) -> BatchNorm2d:
    made = BatchNorm2d(layer.num_features, layer.eps, layer.momentum)
    made.load_state_dict(layer.state_dict())
    return made

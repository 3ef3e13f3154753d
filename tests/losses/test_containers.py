"""Tensors of other classes: what torch's own loss takes gives the numbers of the plain tensor."""

import pytest
import torch
import torch.nn.functional as F
from cases import PATHS, Loss, example
from libraries import needed

import pat_triton
from pat_triton import metrics


class Named(torch.Tensor):
    """A subclass that says more than its numbers, as MONAI's and fastai's do: whatever comes of it is one again."""


def mask(t):
    from torchvision import tv_tensors

    return tv_tensors.Mask(t)


def meta(t):
    from monai.data import MetaTensor

    return MetaTensor(t)


KINDS = {
    "subclass": ((), lambda t: t.as_subclass(Named)),
    "parameter": ((), lambda t: torch.nn.Parameter(t, requires_grad=t.is_floating_point() and t.requires_grad)),
    "buffer": ((), lambda t: torch.nn.Buffer(t)),
    "MetaTensor": (("monai", "monai.data"), meta),
    "tv_tensor": (("torchvision", "torchvision.tv_tensors"), mask),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", KINDS)
def test_any_tensor(name, path):
    """Loss, gradient, statistics, labels, matrix and metrics."""
    package, wrap = KINDS[name]
    for library in package:
        needed(library)
    logits, target = (t.to(path[1]) for t in example((2, 7, 4, 5), torch.float32))
    sizes = torch.full((2, 7), 99, device=path[1])
    weight = torch.rand(target.shape, device=path[1])
    wrapped = wrap(logits), wrap(target)
    assert F.cross_entropy(*wrapped, ignore_index=255) == F.cross_entropy(logits, target, ignore_index=255)
    criterion = Loss("PATLoss").ours(path)
    found = []
    for z, y, s, w in ((logits, target, sizes, weight), (*wrapped, wrap(sizes), wrap(weight))):
        leaf = z.detach().requires_grad_()
        value, told = criterion(leaf, y, True, mask_sizes=s, pixel_weight=w)
        value.backward()
        matrix = pat_triton.confusion_matrix(z, y, 7, backend=path[0])
        found.append(
            [value.detach(), leaf.grad, *told, pat_triton.predict(z, (8, 9), backend=path[0]), matrix,
             *metrics.iou(matrix if z is logits else wrap(matrix))]
        )  # fmt: skip
    for a, b in zip(*found, strict=True):
        assert torch.equal(torch.as_tensor(a), b.as_subclass(torch.Tensor))

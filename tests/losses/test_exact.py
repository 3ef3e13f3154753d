"""Is it exact? Both paths and both gradient plans against the naive reference."""

import pytest
import torch
import torch.nn.functional as F
from cases import (
    EXACT,
    LOSSES,
    PATHS,
    PLANS,
    SAME_DTYPE,
    SHAPE,
    SHAPES,
    WEIGHT,
    Loss,
    assert_close,
    distance,
    example,
    expected,
    ignore,
    noise_error,
    run,
    tolerance,
)  # fmt: skip

import pat_triton


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gradient", PLANS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("loss", LOSSES)
def test_fp64_truth(loss, reduction, gradient, path):
    logits, target = example(SHAPE)
    upstream = torch.randn(target.shape if reduction == "none" else ()).double()
    value, grad = run(loss, path, logits, target, upstream=upstream, reduction=reduction, gradient=gradient)
    truth, slope = expected(loss, logits, target, upstream=upstream, reduction=reduction, on=path[1])
    assert_close("loss", value, truth, tolerance(loss, path))
    assert_close("gradient", grad, slope, tolerance(loss, path))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "loss", [Loss("PATLoss"), Loss("LDAMLoss", {"scale": 4.0}), Loss("BLVLoss")], ids=["pat", "ldam", "blv"]
)
def test_shapes(loss, shape, path):
    logits, target = example(shape)
    options = {"ignore_index": ignore(shape)}
    value, grad = run(loss, path, logits, target, **options)
    truth, slope = expected(loss, logits, target, on=path[1], **options)
    assert_close("loss", value, truth, tolerance(loss, path))
    assert_close("gradient", grad, slope, tolerance(loss, path))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", SAME_DTYPE, ids=str)
@pytest.mark.parametrize("loss", LOSSES)
def test_no_worse_than_torch_at_the_same_dtype(loss, dtype, path):
    logits, target = example(SHAPE, dtype)
    ours = run(loss, path, logits, target)
    theirs = expected(loss, logits, target, on=path[1])
    truth = expected(loss, logits.double(), target, on=path[1])
    for name, a, b, c in zip(("loss", "gradient"), ours, theirs, truth, strict=True):
        allowed = distance(b, c) + (SAME_DTYPE[dtype] if name == "gradient" else SAME_DTYPE[torch.float32])
        assert_close(name, a, c, allowed + noise_error(loss, path))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", [torch.float64, *SAME_DTYPE], ids=str)
def test_dtypes(dtype, path):
    """Loss and map in fp32, in fp64 for fp64 logits; the gradient in the logits' dtype."""
    logits, target = example(SHAPE, dtype)
    z = logits.to(path[1]).requires_grad_()
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    for reduction in ("mean", "none"):
        value = pat_triton.PATLoss(backend=path[0], reduction=reduction)(z, target.to(path[1]))
        assert value.dtype == wide
        assert torch.autograd.grad(value.sum(), z)[0].dtype == dtype


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_is_torchs(reduction, weight, path):
    logits, target = example(SHAPE)
    value, grad = run(Loss("CrossEntropyLoss", {"weight": weight}), path, logits, target, reduction=reduction)
    z = logits.requires_grad_()
    w = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    truth = F.cross_entropy(z, target, w, ignore_index=255, reduction=reduction)
    truth.sum().backward()
    assert_close("loss", value, truth.detach(), EXACT)
    assert_close("gradient", grad, z.grad, EXACT)

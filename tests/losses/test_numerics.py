"""Where losses go wrong: confident pixels, impossible classes, infinities, logits of any size, and huge offsets."""

import pytest
import torch
import torch.nn.functional as F
from cases import (
    EACH,
    GPU,
    PATHS,
    PLANS,
    SAME_DTYPE,
    Loss,
    assert_close,
    distance,
    enlarged,
    example,
    expected,
    run,
    tiled,
)  # fmt: skip

import pat_triton

CURVED = [
    pytest.param(Loss(*a), id=i)
    for i, a in {
        "ce": ("CrossEntropyLoss",),
        "focal": ("FocalLoss",),
        "focal-half": ("FocalLoss", {"gamma": 0.5}),
        "pat": ("PATLoss",),
        "table1": ("PATLoss", {"variant": "table1", "temperature": 2.0}),
    }.items()
]


def confident(gap: float, dtype: torch.dtype):
    """One pixel a gap: the label leads every other class by it."""
    logits = torch.zeros(1, 5, 4, dtype=dtype)
    logits[:, 2] = gap
    return logits + torch.tensor([0.0, 0.5, 0.0, -0.5, 0.25], dtype=dtype)[:, None], torch.full((1, 4), 2)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gap", [2.0, 7.0, 15.0, 30.0, 60.0])
@pytest.mark.parametrize("loss", CURVED)
def test_confident_pixels_keep_their_digits(loss, gap, path):
    """Every column of the fp32 gradient to 1e-5 of its own size, where 1 - p would have no digit left."""
    logits, target = confident(gap, torch.float32)
    value, grad = run(loss, path, logits, target)
    truth, slope = expected(loss, logits.double(), target)
    if gap < 30:  # beyond, the reference's log-softmax rounds u to 0 even in fp64
        assert_close("loss", value, truth, 1e-5)
        assert ((grad - slope).abs() <= 1e-5 * slope.abs()).all()
    assert grad.isfinite().all() and (grad[:, 2] <= 0).all()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gap", [20.0, 44.0, 45.0, 88.0, 89.0, 1e4])
@pytest.mark.parametrize("loss", CURVED)
def test_a_label_far_below_the_others_keeps_its_digits(loss, gap, path):
    """In one pixel of four: the exponentials of the others over its own leave fp32 from a gap of 88 on."""
    logits, target = confident(2.0, torch.float32)
    logits[:, 2, 1] = -gap
    value, grad = run(loss, path, logits, target)
    truth, slope = expected(loss, logits.double(), target)
    assert_close("loss", value, truth, 1e-5)
    assert ((grad - slope).abs() <= 1e-5 * slope.abs()).all()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("loss", CURVED)
def test_a_certain_pixel_is_finite(loss, path):
    """p = 1 exactly: zero loss and gradient, also for focal's gamma below 1."""
    for gap in (200.0, 1e4, 1e30):
        value, grad = run(loss, path, *confident(gap, torch.float32))
        assert value == 0 and (grad == 0).all()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("loss", CURVED)
def test_impossible_classes(loss, path):
    """-inf for a class that is not the label: no share, no gradient, the rest as without it."""
    logits, target = example((1, 8, 3, 5), torch.float32)
    target[target == 4] = 0
    logits[:, 4] = -torch.inf
    value, grad = run(loss, path, logits, target)
    without = logits[:, [0, 1, 2, 3, 5, 6, 7]]
    renamed = torch.where((target > 4) & (target < 255), target - 1, target)
    truth, slope = expected(loss, without.double(), renamed)
    assert_close("loss", value, truth, 1e-5)
    assert (grad[:, 4] == 0).all()
    assert_close("gradient", grad[:, [0, 1, 2, 3, 5, 6, 7]], slope, 1e-5)


def test_impossible_classes_before_improbable_ones(monkeypatch):
    """A column whose first block is all -inf must not be measured against 0."""
    logits, target = example((1, 7, 2, 3), torch.float32)
    logits[:, :4] = -torch.inf
    logits[:, 4:] -= 1000
    target[:] = 5
    truth, slope = expected(Loss("PATLoss"), logits.double(), target)
    with tiled(monkeypatch, CLASSES=4, PIXELS=16, num_warps=1, VECTOR=2):
        value, grad = run(Loss("PATLoss"), ("triton", GPU), logits, target)
    assert_close("loss", value, truth, 1e-4)
    assert_close("gradient", grad, slope, 1e-4)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gradient", PLANS)
@pytest.mark.parametrize("loss", CURVED)
def test_an_impossible_label(loss, gradient, path):
    """Infinite loss and a finite gradient, as torch: the label is pulled up with slope -f."""
    logits, target = example((1, 6, 2, 3), torch.float32)
    target[:] = 3
    logits[:, 3, 0, 0] = -torch.inf
    value, grad = run(loss, path, logits, target, gradient=gradient)
    assert value == torch.inf
    assert grad.isfinite().all() and (grad[0, 3, 0, 0] < 0)
    z = logits.clone().requires_grad_()
    F.cross_entropy(z, target).backward()
    if loss.name == "CrossEntropyLoss":
        assert_close("gradient", grad, z.grad.double(), 1e-6)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gradient", PLANS)
@pytest.mark.parametrize("source", [(4, 6), (2, 3)], ids=["dense", "resized"])
@pytest.mark.parametrize("loss", EACH)
def test_nan_and_inf_propagate(loss, source, gradient, path):
    """To the loss, the pixels that see it and their class; the prediction is argmax's, where nan is the largest."""
    clean, target = enlarged((2, 7, *source), (4, 6), torch.float32)
    target[target == 255] = 3
    target[0, 1, 2] = 2
    node = (0, 1, 2) if source == (4, 6) else (0, 0, 1)
    where = torch.zeros(2, 1, *source)
    where[node[0], :, node[1], node[2]] = 1
    # Not by F.interpolate of the nan itself, which takes 0 of it into account beyond the first node.
    spoilt = F.interpolate(where, (4, 6), mode="bilinear")[:, 0] > 0
    best = F.interpolate(clean, (4, 6), mode="bilinear").argmax(1).masked_fill(spoilt, 5)
    predicted = torch.stack([torch.bincount(image.flatten(), minlength=7) for image in best])
    for value in (torch.nan, torch.inf):
        logits = clean.clone()
        logits[node[0], 5, node[1], node[2]] = value
        total, grad = run(loss, path, logits, target, gradient=gradient)
        assert total.isnan()
        if loss.has_regions:  # the loss of all pixels, and so their gradient
            assert grad[node[0], :, node[1], node[2]].isnan().all()
            continue
        assert grad[:, :, node[1], node[2]].isnan().all(1).tolist() == [True, False]
        assert grad[1].isfinite().all()
        if gradient == "recompute":  # what a map and statistics are, whatever the plan
            continue
        terms, _ = run(loss, path, logits, target, reduction="none")
        assert torch.equal(terms.isnan(), spoilt)

        z, y = logits.to(path[1]), target.to(path[1])
        _, stats = loss.ours(path)(z, y, return_stats=True)
        assert torch.equal(stats.predicted.cpu(), predicted)
        assert stats.loss.isnan().any(1).tolist() == [True, False]
        assert torch.equal(pat_triton.predict(z, (4, 6), backend=path[0]).cpu().long(), best)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gradient", PLANS)
@pytest.mark.parametrize("source", [(4, 6), (2, 3)], ids=["dense", "resized"])
@pytest.mark.parametrize("loss", EACH)
def test_impossible_classes_and_labels(loss, source, gradient, path):
    """-inf all over a class: no share and no gradient where another is labelled, infinite loss and a finite gradient
    where it is, none there if the class weighs nothing."""
    logits, target = enlarged((2, 7, *source), (4, 6), torch.float32)
    target[(target == 5) | (target == 255)] = 3
    logits[:, 5] = -torch.inf
    value, grad = run(loss, path, logits, target, gradient=gradient)
    assert value.isfinite()
    assert grad.isfinite().all() and (grad[:, 5] == 0).all()
    # The reference's own gradient is nan at log 0.
    low = torch.where(logits.isinf(), -1e4, logits).double()
    truth, slope = expected(loss, low, target, on=path[1])
    assert_close("loss", value, truth, 1e-5)
    assert_close("gradient", grad, slope, 1e-5)

    target[0, 1, 2] = 5
    value, grad = run(loss, path, logits, target, gradient=gradient)
    assert grad.isfinite().all()
    if loss.of_pixels(path) is None:  # of areas: a pixel that is missed for sure
        assert value.isfinite() and (grad[:, 5] == 0).all()
        return
    assert value == torch.inf
    assert (grad[0, 5] < 0).any() and (grad[1, 5] == 0).all()


# To where a difference of two logits, LDAM's 30-fold too, still is a float32.
SIZES = [
    pytest.param(dtype, size, id=f"{dtype}-{size:g}")
    for dtype, sizes in {
        torch.float32: (1e-30, 1e4, 1e30, 5e36),
        torch.float16: (6e-8, 6e4),
        torch.bfloat16: (1e4, 5e36),
    }.items()
    for size in sizes
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("dtype", "size"), SIZES)
@pytest.mark.parametrize("source", [(4, 6), (2, 3)], ids=["dense", "resized"])
@pytest.mark.parametrize("loss", EACH)
def test_logits_of_every_size(loss, source, dtype, size, path):
    logits, target = enlarged((2, 7, *source), (4, 6))
    logits = (logits * (size / logits.abs().max())).to(dtype)
    truth, slope = expected(loss, logits.double(), target, on=path[1])
    value, grad = run(loss, path, logits, target)
    assert_close("loss", value, truth, 1e-5)
    if slope.abs().max() < 1e-9:  # of areas that are quite sure: by the last digit of a probability of 1
        assert grad.abs().max() < 1e-9
    elif loss.arguments.get("gamma") != 0.5:  # the reference's is 0 * inf where q is 0
        assert_close("gradient", grad, slope, SAME_DTYPE[dtype])
    assert grad.isfinite().all()


@pytest.mark.parametrize("path", PATHS)
def test_large_logits_of_many_classes_beside_ignored_pixels(path):
    """Resized, where the softmax is kept for blocks of classes: the exponentials of ignored pixels are not infinite."""
    logits, target = enlarged((2, 40, 2, 3), (4, 6), torch.float32)
    logits *= 1e3
    value, grad = run(Loss("CrossEntropyLoss"), path, logits, target)
    truth, slope = expected(Loss("CrossEntropyLoss"), logits.double(), target)
    assert_close("loss", value, truth, 1e-5)
    assert_close("gradient", grad, slope, 1e-5)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gradient", PLANS)
@pytest.mark.parametrize("loss", CURVED)
def test_a_difference_beyond_float32(loss, gradient, path):
    """bfloat16 at its end: the loss is inf, as 6e38 is in float32, and the gradient is right."""
    logits = torch.tensor([[3e38, -3e38, 0.0, -1e38]], dtype=torch.bfloat16).view(1, 4, 1)
    target = torch.ones(1, 1, dtype=torch.int64)
    value, grad = run(loss, path, logits, target, gradient=gradient)
    assert value == torch.inf
    f = run(loss, path, logits / 1e30, target)[1]
    assert torch.equal(grad, f) and grad[0, 0] > 0 and grad[0, 1] < 0


@pytest.mark.untouched
@pytest.mark.parametrize("path", PATHS)
def test_offsets_beyond_32_bits(path):
    """The image and the class stride each carry an offset past 2 ** 31 elements."""
    memory = torch.empty(3 * 2**31 + 64, dtype=torch.float16, device=path[1])
    z = memory.as_strided((2, 3, 16), (2**31, 2**31, 3))
    dense = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0)).half()
    for b, c in ((0, 0), (0, 1), (1, 1), (1, 2)):
        z[b, c] = dense[b, c].to(path[1])
    dense = z.cpu().contiguous()
    target = torch.randint(0, 3, (2, 16))
    a = pat_triton.PATLoss(backend=path[0])(z, target.to(path[1])).cpu()
    assert distance(a.double(), expected(Loss("PATLoss"), dense.double(), target)[0]) < 1e-5

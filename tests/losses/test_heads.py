"""Several logits in one call, mask sizes from the caller, and class weights that change between epochs."""

import re

import pytest
import torch
from cases import EXACT, LOSSES, PATHS, PLANS, WEIGHT, Loss, assert_close, example, run

import pat_triton
from pat_triton.call import forget

SIZES = [(8, 10), (4, 5), (8, 10), (3, 3)]  # the labels' own, and other resolutions
FACTORS = [1.0, 0.4, -0.5, 0.0]


def heads(path, dtype=torch.float64):
    _, target = example((2, 7, *SIZES[0]))
    logits = [example((2, 7, *size), dtype, seed=i)[0].to(path[1]).requires_grad_() for i, size in enumerate(SIZES)]
    return logits, target.to(path[1])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_list_is_the_weighted_sum(loss, reduction):
    """On one path: a list is several calls with one census."""
    path = PATHS[0].values[0]
    logits, target = heads(path)
    criterion = loss.ours(path, reduction=reduction).train(not loss.draws)
    value = criterion(logits, target, weights=FACTORS)
    value.backward(torch.ones_like(value))
    total = 0
    for head, factor in zip(logits, FACTORS, strict=True):
        z = head.detach().clone().requires_grad_()
        alone = criterion(z, target)
        alone.backward(torch.full_like(alone, factor))
        total = total + factor * alone.detach()
        assert_close("gradient", head.grad, z.grad, EXACT)
    assert_close("loss", value.detach(), total, EXACT)


def test_the_labels_are_counted_once(monkeypatch):
    from pat_triton.backends.torch import backend

    counted, histogram = [], backend.histogram
    monkeypatch.setattr(backend, "histogram", lambda *a: counted.append(a) or histogram(*a))
    logits, target = heads(PATHS[0].values[0])
    pat_triton.PATLoss(class_counts=None, weight=WEIGHT)(logits, target)
    assert len(counted) == 1


def test_each_head_has_its_own_noise():
    logits, target = heads(PATHS[0].values[0])
    torch.manual_seed(0)
    both = pat_triton.BLVLoss()([logits[0], logits[0]], target)
    torch.manual_seed(0)
    first, second = (pat_triton.BLVLoss()(logits[0], target) for _ in range(2))
    assert first != second
    assert_close("loss", both.detach(), (first + second).detach(), EXACT)


@pytest.mark.parametrize("path", PATHS)
def test_heads_of_several_dtypes_and_their_statistics(path):
    logits, target = heads(path, torch.float32)
    mixed = [logits[0].detach().half().requires_grad_(), logits[1]]
    value, statistics = pat_triton.PATLoss(backend=path[0])(mixed, target, return_stats=True, weights=[1, 0.4])
    value.backward()
    assert [z.grad.dtype for z in mixed] == [torch.float16, torch.float32]
    torch.testing.assert_close(statistics.loss.sum(), value.detach())
    _, first = pat_triton.PATLoss(backend=path[0])(mixed[0].detach(), target, return_stats=True)
    assert torch.equal(statistics.predicted, first.predicted)


def test_a_tuple_of_one_is_the_tensor():
    logits, target = heads(PATHS[0].values[0])
    assert torch.equal(pat_triton.PATLoss()(logits[:1], target), pat_triton.PATLoss()(logits[0], target))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gradient", PLANS)
def test_tiles_with_the_mask_sizes_of_the_image_add_up(gradient, path):
    """Four tiles of a batch: the sum of their losses, and their gradients, are those of the whole."""
    logits, target = example((2, 7, 6, 8))
    criterion = Loss("PATLoss", {"weight": WEIGHT}).ours(path, gradient=gradient)
    sizes = torch.stack([(target == c).flatten(1).sum(1) for c in range(7)], 1).to(path[1])
    z = logits.to(path[1]).requires_grad_()
    total = sum(
        criterion(z[..., rows, columns], target.to(path[1])[:, rows, columns], mask_sizes=sizes)
        for rows in (slice(2), slice(2, 6))
        for columns in (slice(5), slice(5, 8))
    )
    total.backward()
    value, grad = run(Loss("PATLoss", {"weight": WEIGHT}), path, logits, target)
    assert_close("loss", total.detach().cpu(), value, EXACT)
    assert_close("gradient", z.grad.cpu(), grad, EXACT)


def test_mask_sizes_that_are_too_small(monkeypatch):
    logits, target = example((2, 7, 3, 4))
    target[1] = 3
    sizes = torch.full((2, 7), 100)
    sizes[1, 3] = 11
    message = (
        "mask_sizes: got 11 for class 3 in image 1, expected at least 12, the pixels of that class in the target; pass "
        "the numbers of pixels in the whole image, of which the target is a crop"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pat_triton.PATLoss()(logits, target, mask_sizes=sizes)
    monkeypatch.setattr("pat_triton.checks.labels.CHECKED_DEVICES", ())
    forget()  # that labels are looked at here
    assert pat_triton.PATLoss()(logits, target, mask_sizes=sizes).isnan()


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "LDAMLoss", "FocalLoss"])
def test_mask_sizes_where_nothing_weighs_by_them(name):
    logits, target = example((2, 7, 3, 4))
    with pytest.raises(
        ValueError, match=r"^mask_sizes: got some, expected none: \w+\(\) does not use them; MaskSize\(\)"
    ):
        getattr(pat_triton, name)()(logits, target, mask_sizes=torch.full((2, 7), 100))


@pytest.mark.parametrize("path", PATHS)
def test_deferred_reweighting(path):
    """LDAM's schedule: plain first, from some epoch on with class weights, in the same module."""
    logits, target = example((2, 7, 3, 4))
    z, y = logits.to(path[1]), target.to(path[1])
    counts = [900, 17, 1, 45000, 3, 260, 1]
    criterion = pat_triton.LDAMLoss(counts, backend=path[0]).to(path[1])
    plain = criterion(z, y)
    criterion.weight = WEIGHT
    criterion.to(path[1])
    assert torch.equal(criterion(z, y), pat_triton.LDAMLoss(counts, weight=WEIGHT, backend=path[0]).to(path[1])(z, y))
    criterion.weight = torch.tensor(WEIGHT, device=path[1]) * 2
    assert torch.equal(
        criterion(z, y), 2 * pat_triton.LDAMLoss(counts, weight=WEIGHT, backend=path[0]).to(path[1])(z, y)
    )
    criterion.weight = None
    assert torch.equal(criterion(z, y), plain)
    criterion.class_counts = [1, 2, 3, 4, 5, 6, 7]
    assert criterion.class_counts.dtype == torch.int64 and criterion.class_counts.device == z.device
    with pytest.raises(ValueError, match=r"^weight: expected numbers of 0 or more, got -1$"):
        criterion.weight = [-1.0] * 7
    with pytest.raises(ValueError, match=r"^class_counts: expected whole numbers of pixels, got \[1.5, 2.0\]$"):
        criterion.class_counts = [1.5, 2]

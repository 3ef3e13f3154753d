"""Ignored, absent and missing pixels: they have no say, and give no 0/0."""

import pytest
import torch
import torch.nn.functional as F
from cases import EXACT, LOSSES, PATHS, PLANS, SHAPE, Loss, assert_close, example, expected, run


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gradient", PLANS)
@pytest.mark.parametrize("loss", LOSSES)
def test_ignored_pixels_have_no_say(loss, gradient, path):
    """Whatever their logits hold."""
    logits, target = example(SHAPE)
    value, grad = run(loss, path, logits, target, gradient=gradient)
    ignored = (target == 255)[:, None].expand_as(logits)
    wild = torch.tensor([torch.nan, torch.inf, -torch.inf, 1e300]).double()
    logits[ignored] = wild.repeat(int(ignored.sum()))[: int(ignored.sum())]
    again, same = run(loss, path, logits, target, gradient=gradient)
    assert torch.equal(again, value) and torch.equal(same, grad)
    assert (same[ignored] == 0).all()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_labelled(loss, reduction, path):
    """All of one image, then of both: its pixels weigh nothing, and the batch gives 0, not nan."""
    logits, target = example(SHAPE)
    target[0] = 255
    value, grad = run(loss, path, logits, target, reduction=reduction)
    assert value.isfinite().all() and (grad[0] == 0).all()
    target[:] = 255
    value, grad = run(loss, path, logits, target, reduction=reduction)
    assert (value == 0).all() and (grad == 0).all()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(0, 7, 4, 4), (2, 7, 0, 4)], ids=["no-images", "no-pixels"])
def test_empty_batch(shape, reduction, path):
    for loss in (row for row in LOSSES if reduction != "none" or not row.values[0].has_regions):
        value, grad = run(loss.values[0], path, torch.zeros(shape), torch.zeros(shape[0], *shape[2:]).long(),
                          reduction=reduction)  # fmt: skip
        assert value.shape == ((shape[0], *shape[2:]) if reduction == "none" else ())
        assert (value == 0).all() and grad.shape == shape


@pytest.mark.parametrize("path", PATHS)
def test_a_class_absent_from_an_image(path):
    """PAT's 1 / S would be 1 / 0; absent classes' balanced weights are 0, the others sum to their number."""
    from pat_triton.weights import EffectiveNumber, LabelCounts, MaskSize

    sizes = torch.tensor([[3, 0, 5], [1, 0, 0]])
    census = LabelCounts(lambda: F.pad(sizes, (0, 1)), torch.zeros(2, 3, 3), 3)
    table, images = MaskSize()(census)
    torch.testing.assert_close(table, torch.tensor([[1 / 3, 0, 1 / 5], [1, 0, 0]]).double())
    assert images == 2
    for beta in (None, 0.0, 0.9, 0.9999):
        table, _ = EffectiveNumber(beta)(census)
        assert table[1] == 0
        torch.testing.assert_close(table.sum(), torch.tensor(2.0).double())


def test_class_balanced_weights_on_pixel_counts():
    """Cityscapes' counts: the default spreads them, where the literature's 0.9999 gives equal weights."""
    from pat_triton.weights import EffectiveNumber, LabelCounts

    counts = torch.tensor([2036416525, 386328286, 7463162, 5449152])
    census = LabelCounts(lambda: F.pad(counts[None], (0, 1)), torch.zeros(1, 1), 4, counts=counts)
    spread, flat = (EffectiveNumber(beta)(census)[0] for beta in (None, 0.9999))
    assert spread.max() / spread.min() > 200
    assert flat.max() / flat.min() < 1 + 1e-6


@pytest.mark.parametrize("path", PATHS)
def test_blv_with_one_class_only(path):
    """All c_l zero: no variation, not 0 / 0."""
    logits, target = example((1, 3, 2, 2))
    target[:] = 255
    target[0, 0, 0] = 1
    value, grad = run(Loss("BLVLoss"), path, logits, target)
    truth, slope = expected(Loss("CrossEntropyLoss"), logits, target)
    assert_close("loss", value, truth, EXACT)
    assert_close("gradient", grad, slope, EXACT)

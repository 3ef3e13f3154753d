"""Resized logits that are not numbers or not possible, labels that are no class, and nothing at all."""

import math

import pytest
import torch
import torch.nn.functional as F
from cases import BLV, EXACT, GPU, LDAM, PAT, PATHS, PLANS, Loss, assert_close, enlarged, run

import pat_triton

SOURCE, SIZE = (2, 7, 6, 9), (15, 23)


@pytest.mark.parametrize("path", PATHS)
def test_impossible_classes_of_resized_logits(path):
    """-inf in all of an image: never seen, as without the class."""
    logits, target = enlarged(SOURCE, SIZE)
    target[target == 6] = 0
    value, grad = run(PAT, path, logits[:, :6], target)
    logits[:, 6] = -torch.inf
    again, same = run(PAT, path, logits, target)
    assert_close("loss", again, value, EXACT)
    assert_close("gradient", same, F.pad(grad, (0, 0, 0, 0, 0, 1)), EXACT)


@pytest.mark.parametrize("path", PATHS)
def test_one_impossible_node(path):
    """-inf at one node: the outputs it takes part in, and no others; F.interpolate gives nan beyond the first node."""
    logits, target = torch.zeros(1, 3, 4, 4, dtype=torch.float64), torch.zeros(1, 8, 8, dtype=torch.int64)
    logits[0, 0], logits[0, 1, 1, 1] = 1, -torch.inf
    impossible = torch.zeros(8, 8, dtype=torch.bool)
    impossible[1:5, 1:5] = True
    labels = pat_triton.predict(logits.to(path[1]), (8, 8), backend=path[0])
    assert not labels.any()
    terms, grad = run(Loss("CrossEntropyLoss"), path, logits, target, reduction="none")
    both, one = (torch.tensor(n, dtype=torch.float64).mul(math.exp(-1)).log1p() for n in (2, 1))
    assert_close("loss", terms[0], torch.where(impossible, one, both), EXACT)
    assert grad.isfinite().all()


@pytest.mark.parametrize("path", PATHS)
def test_nan_where_most_nodes_are_not_seen(path):
    """Downsizing: of 12 x 12 nodes the outputs see every fourth and its neighbour."""
    logits, target = enlarged((1, 3, 12, 12), (3, 3))
    target[target == 255] = 0
    logits[0, 1, 1, 1] = torch.nan
    _, grad = run(PAT, path, logits, target)
    nan = torch.zeros(12, 12, dtype=torch.bool)
    nan[1:3, 1:3] = True
    assert torch.equal(grad.isnan(), nan.expand_as(grad))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("plan", PLANS)
def test_nan_is_seen_by_its_intervals_only(plan, path):
    """As after F.interpolate; and where all that see it is ignored, by nothing."""
    logits, target = enlarged((1, 3, 8, 10), (32, 40))
    target[target == 255] = 0
    logits[0, 1, 2, 3] = torch.nan
    value, grad = run(PAT, path, logits, target, gradient=plan)
    assert value.isnan()
    nan = torch.zeros(8, 10, dtype=torch.bool)
    nan[1:4, 2:5] = True
    assert torch.equal(grad.isnan(), nan.expand_as(grad))

    target[0, 4:16, 8:20] = 255
    value, grad = run(PAT, path, logits, target, gradient=plan)
    truth, slope = run(PAT, path, logits.nan_to_num(), target, gradient=plan)
    assert_close("loss", value, truth, EXACT)
    assert_close("gradient", grad, slope, EXACT)


@pytest.mark.parametrize("label", [-100, 19, 2**40])
@pytest.mark.parametrize("classes", [7, 40])
def test_an_unchecked_wrong_label_is_nan_around_it_and_nothing_else(classes, label, monkeypatch):
    logits, target = enlarged((1, classes, 6, 8), (24, 32), torch.float32)
    target[0, 9, 13] = label if label != 19 else classes
    monkeypatch.setattr("pat_triton.checks.labels.CHECKED_DEVICES", ())
    value, grad = run(PAT, ("triton", GPU), logits, target)
    assert value.isnan()
    nan = torch.zeros(6, 8, dtype=torch.bool)
    nan[1:3, 2:4] = True
    assert torch.equal(grad.isnan(), nan.expand_as(grad))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("loss", [PAT, LDAM, BLV], ids=lambda loss: loss.name)
def test_without_labelled_pixels(loss, path):
    logits, target = enlarged(SOURCE, SIZE)
    value, grad = run(loss, path, logits, torch.full_like(target, 255))
    assert value == 0
    assert not grad.any()


@pytest.mark.parametrize("path", PATHS)
def test_an_empty_batch(path):
    logits, target = enlarged(SOURCE, SIZE)
    value, grad = run(PAT, path, logits[:0], target[:0])
    assert value == 0
    assert grad.shape == (0, *SOURCE[1:])
    for empty in (target[:, :0], target[:, :, :0]):
        value, grad = run(PAT, path, logits, empty)
        assert value == 0
        assert not grad.any()

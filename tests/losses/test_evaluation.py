"""Predictions, confusion matrices, statistics and the metrics of them, against interpolate, argmax and sums."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cases import (
    EACH,
    EXACT,
    GPU,
    LOSSES,
    PATHS,
    PLANS,
    RESIZES,
    Loss,
    assert_close,
    distance,
    enlarged,
    example,
    ignore,
)  # fmt: skip

import pat_triton
from pat_triton import Statistics, confusion_matrix, metrics, predict

SHAPES = [(2, 7, 9, 13), (1, 5, 3, 4, 6), (2, 40, 11), (1, 150, 5, 7), (1, 1100, 2, 3)]


def counted(target, prediction, classes):
    """The definition."""
    known = (target >= 0) & (target < classes)
    pairs = target[known] * classes + prediction[known].long()
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


@pytest.mark.parametrize("align_corners", [False, True], ids=["half-pixels", "corners"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("source", "size"), RESIZES, ids=str)
def test_predictions_of_resized_logits(source, size, path, align_corners):
    logits, target = enlarged((2, 7, *source), size)
    truth = F.interpolate(logits, size, mode="bilinear", align_corners=align_corners).argmax(1)
    options = {"align_corners": align_corners, "backend": path[0]}
    labels = predict(logits.to(path[1]), size, **options)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels.cpu(), truth.to(torch.uint8))
    matrix = confusion_matrix(logits.to(path[1]), target.to(path[1]), 7, **options)
    assert torch.equal(matrix.cpu(), counted(target, truth, 7))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_predictions_of_dense_logits(shape, path):
    """Up to 256 classes a byte, then two; more cells than a program counts for itself."""
    logits, target = example(shape, torch.float32)
    labels = predict(logits.to(path[1]), shape[2:], backend=path[0]).cpu()
    assert labels.dtype == (torch.uint8 if shape[1] <= 256 else torch.int16)
    assert torch.equal(labels.long(), logits.argmax(1))
    z, y = logits.to(path[1]), target.to(path[1])[:, None]
    matrix = confusion_matrix(z, y, shape[1], ignore_index=ignore(shape), backend=path[0])
    assert torch.equal(matrix.cpu(), counted(target, logits.argmax(1), shape[1]))


@pytest.mark.parametrize("path", PATHS)
def test_a_size_for_each_image(path):
    logits, _ = example((3, 7, 4, 5), torch.float32)
    logits, sizes = logits.to(path[1]), [(9, 8), [4, 5], torch.Size((2, 30))]
    maps = predict(logits, sizes, align_corners=True, backend=path[0])
    assert [tuple(labels.shape) for labels in maps] == [tuple(size) for size in sizes]
    for image, size, labels in zip(logits, sizes, maps, strict=True):
        expected = predict(image[None], size, align_corners=True, backend=path[0])
        assert torch.equal(labels, expected[0])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("size", [(5, 6), (10, 12)], ids=["dense", "resized"])
def test_ties_nan_and_infinities(size, dtype, path):
    """As argmax: the first of several, nan before everything, a column of -inf is class 0."""
    logits = torch.randint(-1, 2, (3, 7, 5, 6), generator=torch.Generator().manual_seed(0)).to(dtype)
    logits[0, 3, 2, 2] = logits[0, 5, 2, 2] = torch.nan
    logits[1] = -torch.inf
    logits[2, 4] = logits[2, 6] = torch.inf
    whole = logits if size == (5, 6) else F.interpolate(logits.double(), size, mode="bilinear")
    whole[1] = -torch.inf  # F.interpolate makes nan of -inf * 0
    whole[2, [4, 6]] = torch.inf
    labels = predict(logits.to(path[1]), size, backend=path[0]).cpu()
    assert torch.equal(labels[:2].long(), whole[:2].argmax(1))
    if size == (5, 6):
        assert (labels[2] == 4).all()


# The parameters of a loss make no other sums where its logits are resized.
@pytest.mark.parametrize(
    ("loss", "resized"),
    [pytest.param(*row.values, False, id=f"{row.id}-dense") for row in LOSSES]
    + [pytest.param(*row.values, True, id=f"{row.id}-resized") for row in EACH],
)
@pytest.mark.parametrize("path", PATHS)
def test_statistics(loss, path, resized):
    """By image and class: sums of the map, counts of the confusion matrix; and the loss stays what it is."""
    logits, target = enlarged((2, 7, 6, 9), (15, 23)) if resized else example((2, 7, 9, 13))
    z, y = logits.to(path[1]), target.to(path[1])
    maps = loss.of_pixels(path)
    criterion = loss.ours(path, reduction="sum")
    torch.manual_seed(3)
    terms = torch.zeros_like(target, dtype=z.dtype) if maps is None else maps(z, y).cpu()
    torch.manual_seed(3)
    value, stats = criterion(z, y, return_stats=True)
    torch.manual_seed(3)
    assert torch.equal(value, criterion(z, y))
    assert all(s.shape == (2, 7) and s.device == z.device for s in stats)
    truth = torch.zeros(2, 8, dtype=torch.float64).scatter_add_(
        1, target.clamp(max=7).flatten(1), terms.double().flatten(1)
    )
    assert_close("loss", stats.loss.cpu().double(), truth[:, :7], EXACT)
    for b in range(2):
        matrix = confusion_matrix(z[b : b + 1], y[b : b + 1], 7, backend=path[0])
        assert torch.equal(stats.labelled[b], matrix.sum(1))
        assert torch.equal(stats.predicted[b], matrix.sum(0))
        assert torch.equal(stats.correct[b], matrix.diag())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("resized", [False, True], ids=["dense", "resized"])
def test_statistics_beside_the_gradient(resized, plan, path):
    """They change neither loss nor gradient, ask for none themselves, and add up to the loss."""
    logits, target = enlarged((2, 7, 6, 9), (15, 23)) if resized else example((2, 7, 9, 13))
    y = target.to(path[1])
    criterion = Loss("PATLoss").ours(path, gradient=plan)
    a, b = (logits.to(path[1], copy=True).requires_grad_() for _ in range(2))
    value = criterion(a, y)
    value.backward()
    again, stats = criterion(b, y, return_stats=True)
    again.backward()
    assert torch.equal(value, again)
    assert torch.equal(a.grad, b.grad)
    assert not any(s.requires_grad for s in stats)
    assert_close("sum", stats.loss.sum().cpu(), value.detach().cpu(), EXACT)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_statistics_without_a_gradient(reduction, path):
    logits, target = example((1, 40, 4, 6), torch.float32)
    with torch.no_grad():
        value, stats = Loss("PATLoss").ours(path, reduction=reduction)(
            logits.to(path[1]), target.to(path[1]), return_stats=True
        )
    assert distance(stats.loss.sum().cpu(), value.sum().cpu()) < 1e-5


@pytest.mark.parametrize("path", PATHS)
def test_metrics_where_nothing_is_labelled(path):
    logits, target = enlarged((2, 7, 6, 9), (15, 23))
    z, y = logits.to(path[1]), torch.full_like(target, 255).to(path[1])
    assert not confusion_matrix(z, y, 7, backend=path[0]).any()
    _, stats = Loss("PATLoss").ours(path)(z, y, return_stats=True)
    assert not any(s.any() for s in stats)
    empty = confusion_matrix(z[:0], y[:0], 7, backend=path[0])
    assert empty.shape == (7, 7)
    assert not empty.any()
    assert predict(z[:0], (15, 23), backend=path[0]).shape == (0, 15, 23)


@pytest.mark.parametrize("path", PATHS)
def test_integers_of_numpy_and_another_default_device(path):
    logits, target = enlarged((2, 7, 6, 9), (15, 23))
    z, y = logits.to(path[1]), target.to(path[1])
    size, ignored = map(np.int64, (15, 23)), np.int64(255)
    with torch.device("meta"):
        labels = predict(z, tuple(size), backend=path[0])
        matrix = confusion_matrix(z, y, np.int64(7), ignore_index=ignored, backend=path[0])
    assert torch.equal(labels, predict(z, (15, 23), backend=path[0]))
    assert torch.equal(matrix, confusion_matrix(z, y, 7, backend=path[0]))


def test_metrics():
    """By hand: class 2 is labelled and never predicted, class 3 neither, class 4 only predicted."""
    matrix = torch.tensor([
        [6, 2, 0, 0, 0],
        [1, 3, 0, 0, 4],
        [2, 2, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ])  # fmt: skip
    nan = torch.nan
    by_class, mean = metrics.iou(matrix)
    same(by_class, [6 / 11, 3 / 12, 0, nan, 0])
    same(mean, (6 / 11 + 3 / 12) / 4)
    by_class, mean = metrics.dice(matrix)
    same(by_class, [12 / 17, 6 / 15, 0, nan, 0])
    same(mean, (12 / 17 + 6 / 15) / 4)
    overall, by_class, mean = metrics.pixel_accuracy(matrix)
    same(overall, 9 / 20)
    same(by_class, [6 / 8, 3 / 8, 0, nan, nan])
    same(mean, (6 / 8 + 3 / 8) / 3)


def same(a, b):
    torch.testing.assert_close(a, torch.tensor(b, dtype=torch.float64), equal_nan=True)


def test_metrics_of_statistics_are_those_of_the_matrix():
    logits, target = example((3, 7, 9, 13))
    batches = [pat_triton.PATLoss()(logits[b], target[b], return_stats=True)[1] for b in (slice(1), slice(1, 3))]
    stats = Statistics(*map(torch.cat, zip(*batches, strict=True)))
    matrix = confusion_matrix(logits, target, 7)
    for metric in (metrics.iou, metrics.dice, metrics.pixel_accuracy):
        for a, b in zip(metric(stats), metric(matrix), strict=True):
            torch.testing.assert_close(a, b, equal_nan=True)


def test_an_unchecked_wrong_label_spoils_every_metric(monkeypatch):
    """However many batches are added to it."""
    logits, target = example((2, 7, 9, 13))
    good = confusion_matrix(logits.to(GPU), target.to(GPU), 7, backend="triton")
    target[0, 3, 3] = 7
    monkeypatch.setattr("pat_triton.checks.labels.CHECKED_DEVICES", ())
    matrix = confusion_matrix(logits.to(GPU), target.to(GPU), 7, backend="triton") + 1_000_000 * good
    assert (matrix < 0).all()
    _, stats = Loss("PATLoss").ours(("triton", GPU))(logits.to(GPU), target.to(GPU), return_stats=True)
    assert stats.loss[0].isnan().all()
    assert stats.loss[1].isfinite().all()
    for counts in (matrix, stats):
        for metric in (metrics.iou, metrics.dice, metrics.pixel_accuracy):
            assert all(part.isnan().all() for part in metric(counts))
    monkeypatch.setenv("PAT_TRITON_VALIDATE", "1")
    with pytest.raises(ValueError, match=r"1 label is neither a class 0\.\.6 nor ignore_index=255: 7"):
        confusion_matrix(logits.to(GPU), target.to(GPU), 7, backend="triton")


@pytest.mark.skipif(GPU.type == "cpu", reason="needs a GPU")
def test_no_host_sync_in_evaluation(no_host_sync):
    logits, target = (t.to(GPU) for t in enlarged((2, 7, 6, 9), (15, 23), torch.float32))
    with no_host_sync():
        matrix = confusion_matrix(logits, target, 7)
        metrics.iou(matrix)
        metrics.pixel_accuracy(matrix)

"""A class that is ignored, or several: it has no loss, takes no part in what normalises, and stays in the softmax."""

import pytest
import torch
import torch.nn.functional as F
from cases import COUNTS, EXACT, LOSSES, PATHS, assert_close, example, tolerance

import pat_triton
from pat_triton import metrics

IGNORED = {
    "a class": 0,
    "a class and void": (0, 255),
    "the rarest": (5, 255),
    "void twice": (-1, 255),
    "all": (*range(7), 255),
}
SHAPE = (2, 7, 4, 5)


def batch(device):
    """Every class is there, and void, which is ignored or class 0 here."""
    logits, target = example(SHAPE)
    return logits.to(device), target.to(device)


def told(ignored):
    return [ignored] if isinstance(ignored, int) else list(ignored)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("given", [True, False], ids=["given", "batch"])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_with_ignored_classes(loss, given, path):
    """Value and gradient are the reference's."""
    logits, labels = batch(path[1])
    for name, ignored in IGNORED.items():
        target = labels if 255 in told(ignored) else labels.masked_fill(labels == 255, 3)
        arguments = {"ignore_index": ignored}
        if given and loss.name not in ("CrossEntropyLoss", "FocalLoss", "PATLoss"):
            arguments["class_counts"] = COUNTS
        ours, truth = loss.ours(path, **arguments), loss.reference(**arguments)
        z, oracle = (logits.double().detach().requires_grad_() for _ in range(2))
        torch.manual_seed(7)
        value = ours(z, target)
        options = {}
        if loss.draws:
            torch.manual_seed(7)
            options["seed"] = tuple(torch.randint(0, 1 << 32, (2,), device=path[1]).tolist())
        expected = truth(oracle, target, **options)
        allowed = tolerance(loss, path) * (2 if loss.draws else 1)
        assert_close(f"{name}: loss", value.detach().cpu(), expected.detach().cpu(), allowed)
        if name == "all":
            assert value == 0
            continue
        value.backward()
        expected.backward()
        assert_close(f"{name}: gradient", z.grad.cpu(), oracle.grad.cpu(), allowed)


@pytest.mark.parametrize("path", PATHS)
def test_as_torch(path):
    logits, target = batch(path[1])
    target[target == 255] = 3
    for weight in (None, torch.arange(1.0, 8.0, dtype=torch.float64)):
        ours = pat_triton.CrossEntropyLoss(weight, ignore_index=0, backend=path[0]).to(path[1])
        moved = None if weight is None else weight.to(path[1])
        theirs = F.cross_entropy(logits.double(), target, moved, ignore_index=0)
        assert_close("loss", ours(logits.double(), target), theirs, EXACT)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("loss", [pat_triton.LDAMLoss, pat_triton.BLVLoss, pat_triton.ClassBalancedLoss])
def test_what_an_ignored_class_counts(loss, path):
    """Its given count changes nothing, however rare or frequent it is."""
    logits, target = batch(path[1])
    found = []
    for count in (1, 10**9):
        criterion = loss([count, *COUNTS[1:]], ignore_index=(0, 255), backend=path[0]).to(path[1])
        torch.manual_seed(0)
        found.append(criterion(logits, target))
    assert torch.equal(*found)


def test_statistics_and_metrics():
    """nan, and in no mean, although pixels are predicted as it."""
    logits, target = batch(torch.device("cpu"))
    logits[:, 0] += 2
    _, statistics = pat_triton.PATLoss(ignore_index=(0, 255))(logits, target, return_stats=True)
    matrix = pat_triton.confusion_matrix(logits, target, 7, ignore_index=(0, 255))
    assert matrix[0].sum() == 0 < matrix[:, 0].sum()
    assert statistics.labelled[:, 0].sum() == statistics.predicted[:, 0].sum() == 0
    for metric in (metrics.iou, metrics.dice, metrics.pixel_accuracy):
        ours, told = metric(statistics), metric(matrix, ignore_index=(0, 255))
        for a, b in zip(ours, told, strict=True):
            torch.testing.assert_close(a, b, equal_nan=True)
        assert ours.by_class[0].isnan() and not ours.by_class[1:].isnan().any()
        torch.testing.assert_close(ours.mean, ours.by_class[1:].mean())


def test_compiled_with_ignored_classes():
    criterion = pat_triton.LDAMLoss(COUNTS, ignore_index=(0, 255))
    logits, target = batch(torch.device("cpu"))
    call = torch.compile(criterion, fullgraph=True, backend="aot_eager")
    assert torch.equal(call(logits, target), criterion(logits, target))
    torch.compiler.reset()


def test_class_counts():
    _, target = batch(torch.device("cpu"))
    counts = pat_triton.class_counts([target], 7, (0, 255), progress=False)
    assert counts[0] == 0 and counts[3] == (target == 3).sum()
    with pytest.raises(ValueError, match=r"^ignore_index: 255, its default, is one of the 300 classes"):
        pat_triton.class_counts([target], 300)


@pytest.mark.parametrize("ignored", [1, (1, 255), (16, 1, 255)])
@pytest.mark.parametrize("path", PATHS)
def test_any_label_in_loops(ignored, path):
    """Triton compiles in an integer that is 1, and has no loop lose it; resized logits walk in one."""
    logits = torch.randn(1, 17, 3, 4, device=path[1])
    target = torch.randint(0, 17, (1, 6, 9), device=path[1])
    found = pat_triton.CrossEntropyLoss(ignore_index=ignored, backend=path[0])(logits, target)
    gone = torch.where(torch.isin(target, torch.tensor(told(ignored), device=path[1])), 255, target)
    assert_close("loss", found, pat_triton.CrossEntropyLoss(backend=path[0])(logits, gone), 1e-6)

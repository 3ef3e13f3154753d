"""What is alive at once, by a tracker of tensors: nothing of L channels at the target's size, anywhere."""

import dataclasses
import itertools

import pytest
import torch
from cases import BLV, LDAM, LDAM_AND_DICE, PAT, PAT_AND_DICE, PATHS, enlarged
from tracker import Tracker

import pat_triton
from pat_triton.backends.torch import workspace
from pat_triton.curves import Exponential
from pat_triton.weights import MaskSize


def step(criterion, logits, target, **options):
    value = criterion(logits, target, **options)
    (value[0] if options else value).backward()


def test_the_tracker_sees_what_eager_torch_makes():
    logits, target = enlarged((1, 7, 8, 8), (32, 32), torch.float32)
    logits.requires_grad_()
    full = 4 * 7 * 32 * 32
    with Tracker() as seen:
        big = torch.nn.functional.interpolate(logits, target.shape[1:], mode="bilinear")
        torch.nn.functional.cross_entropy(big, target, ignore_index=255).backward()
    assert seen.largest == full
    assert seen.peak >= 3 * full


@pytest.mark.untouched
@pytest.mark.parametrize("plan", ["one_pass", "recompute"])
@pytest.mark.parametrize("stats", [False, True], ids=["", "statistics"])
@pytest.mark.parametrize("loss", [PAT, LDAM, BLV], ids=lambda loss: loss.name)
def test_the_torch_path(loss, stats, plan):
    """2 x 19 x 128 x 256 to 512 x 1024: at most 0.35 of the logits at full size, eager has 3 and more."""
    logits, target = enlarged((2, 19, 128, 256), (512, 1024), torch.float32)
    logits.requires_grad_()
    options = {"return_stats": True} if stats else {}
    with Tracker() as seen:
        step(loss.ours(PATHS[0].values[0], gradient=plan), logits, target.to(torch.uint8), **options)
    assert seen.largest < 4 * 19 * 512 * 1024 / 4
    assert seen.peak < 0.35 * 4 * 2 * 19 * 512 * 1024


@pytest.mark.untouched
@pytest.mark.parametrize(("source", "most"), [((128, 256), 0.4), ((512, 1024), 1.4)], ids=["resized", "dense"])
@pytest.mark.parametrize("loss", [PAT_AND_DICE, LDAM_AND_DICE], ids=["PAT", "LDAM"])
def test_a_region_loss_beside_one_of_pixels(loss, source, most):
    """By buffers of the logits at full size; also where one adjusts the logits and the other takes them as they came.
    The formula of PAT and Dice has 8."""
    logits, target = enlarged((2, 19, *source), (512, 1024), torch.float32)
    with Tracker() as seen:
        step(loss.ours(PATHS[0].values[0]), logits.requires_grad_(), target.to(torch.uint8))
    assert seen.peak < most * 4 * 2 * 19 * 512 * 1024


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("classes", [19, 40])
def test_nothing_of_all_classes_on_either_path(classes, path, monkeypatch):
    """No storage of L x H x W elements, in loss, gradient, statistics, prediction and confusion matrix."""
    logits, target = enlarged((1, classes, 3, 4), (12, 16), torch.float32)
    logits, target = logits.to(path[1]).requires_grad_(), target.to(path[1])
    monkeypatch.setattr("pat_triton.backends.torch.source.CPU_CHUNK", 2000)
    with Tracker() as seen:
        for loss, plan in itertools.product((PAT, LDAM), ("one_pass", "recompute")):
            step(loss.ours(path, gradient=plan), logits, target, return_stats=True)
        pat_triton.predict(logits, (12, 16), backend=path[0])
        pat_triton.confusion_matrix(logits, target, classes, backend=path[0])
    assert seen.largest < 4 * classes * 12 * 16


@pytest.mark.untouched
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["", "channels_last"])
def test_exponentials_are_made_where_the_gradient_will_be(layout):
    """Scratch memory is for vectors of the pixels alone."""
    logits, target = enlarged((2, 19, 64, 64), (64, 64), torch.float32)
    logits = logits.to(memory_format=layout).requires_grad_()
    workspace.forget()
    step(pat_triton.PATLoss(backend="torch"), logits, target)
    assert max(workspace.kept()) < logits.nbytes / 2


def test_scratch_memory_outlives_inference_mode_and_is_never_lent_twice():
    logits, target = enlarged((2, 3, 4, 4), (8, 8), torch.float32)
    (alone,) = torch.autograd.grad(pat_triton.PATLoss()(logits.requires_grad_(), target), logits)
    workspace.forget()
    with torch.inference_mode():
        pat_triton.PATLoss()(logits, target)
    assert torch.equal(torch.autograd.grad(pat_triton.PATLoss()(logits, target), logits)[0], alone)

    @dataclasses.dataclass(frozen=True)
    class Nested(Exponential):
        """PAT's, which asks for another loss in the middle of its own."""

        name = "nested"

        def __call__(self, u, p, q):
            pat_triton.CrossEntropyLoss()(-logits.detach(), target)
            return super().__call__(u, p, q)

    nested = pat_triton.SegmentationLoss(Nested(), weights=MaskSize())
    assert torch.equal(torch.autograd.grad(nested(logits, target), logits)[0], alone)

"""Drawn cases of everything against the reference in float64; ``pytest --hypothesis-profile=thorough`` draws more."""

from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from cases import CPU, EXACT, GPU, NOISY, SAME_DTYPE, hardware_error
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import NAMES, cases
from torch import Tensor

from pat_triton import predict

TORCH, TRITON = ("torch", CPU), ("triton", GPU)


class Results(NamedTuple):
    """Of a case on a path. gradients: none, one, or two of the same; statistics: () if not asked for."""

    value: Tensor
    gradients: list[Tensor]
    statistics: tuple[Tensor, ...]

    def all(self):
        return [self.value, *self.gradients, *self.statistics]


class Tolerance(NamedTuple):
    """relative to the largest magnitude of the truth, and absolute."""

    relative: float
    absolute: float


def largest(t):
    return t.abs().max().item() if t.numel() else 0.0


def assert_close(name, ours, truth, tolerance):
    """nan is close to nothing."""
    assert ours.shape == truth.shape, name
    error = largest(ours.cpu().double() - truth.cpu().double())
    allowed = tolerance.relative * largest(truth) + tolerance.absolute
    assert error <= allowed, f"{name}: error {error:.3g} above {allowed:.3g}"


def run(case, path, z, y):
    backend, device = path
    criterion = case.criterion(backend).to(device)
    leaf = z.detach().requires_grad_(case.graph != "without")
    logits, target = leaf.view_as(leaf) if case.graph == "inside" else leaf, y.unsqueeze(1) if case.channel else y
    torch.manual_seed(case.seed)
    made = criterion(logits, target, return_stats=case.stats)
    value, statistics = made if case.stats else (made, ())
    gradients = []
    if case.graph != "without":
        for more in [True, False] if case.twice else [False]:
            (gradient,) = torch.autograd.grad(value, leaf, case.factor(value), retain_graph=more)
            gradients.append(gradient.clone())
            gradient.fill_(7)  # the caller's to change
    return Results(value.detach(), gradients, statistics)


def reference(case, z, y, factor, device, reduction):
    """(value, gradient) in float64, with the noise that is drawn on ``device``."""
    z = z.clone().requires_grad_()
    key = {}
    if case.loss == "BLVLoss":  # which alone takes them
        torch.manual_seed(case.seed)
        key = {"seed": tuple(torch.randint(0, 1 << 32, (2,), device=device).tolist()), "training": case.training}
    value = case.reference(reduction)(z, y, **key)
    (gradient,) = torch.autograd.grad(value, z, factor)
    return value.detach(), gradient


def tolerances(case, path, z, unsure, factor):
    """Of the value and of the gradient."""
    compute = torch.float64 if case.dtype == torch.float64 else torch.float32
    base = EXACT if case.dtype == torch.float64 else SAME_DTYPE[torch.float32]
    if case.draws:  # a small cosine has an error relative to 1, which sigma multiplies
        sigma, distribution = case.arguments["sigma"], case.arguments["distribution"]
        base = max(base, NOISY * (1 + sigma), hardware_error(path, sigma, distribution))
    # An error of an adjusted logit is a relative error of its exponential; 25 for what is added to one.
    relative = base + 16 * torch.finfo(compute).eps * case.stretch * (largest(z.where(z > -1e299, 0)) + 25)
    # Where every pixel is sure, the reference loses the digits of log p and 1 - p that are below those of 1,
    # and float32 what is below 1e-38.
    # A region loss has its digits below those of the sums to which every pixel adds.
    digits = 64 * torch.finfo(torch.float64).eps
    value, gradient = ((digits + (relative if case.has_regions else 0.0)) * largest(t) for t in unsure)
    value += digits * case.subtracted
    # One pass rounds the gradient before the factor comes, and after. The interpreter truncates. The smallest
    # numbers have a fixed step.
    info, arrives = torch.finfo(case.dtype), factor is not None
    rounding = info.eps * (2 if arrives and case.gradient != "recompute" else 1)
    gradient += info.tiny * info.eps * max(1.0, largest(factor) if arrives else 1.0)
    return Tolerance(relative, value), Tolerance(relative + rounding, gradient)


def check_statistics(case, statistics, y, terms, prediction, tolerance):
    """terms: of the truth, whose sums by class are the loss's, but for the mean's normaliser."""
    own = y[:, None] == case.classes
    said = (prediction[:, None] == case.classes) & (y != case.ignore_index)[:, None]
    for name, counted in {"labelled": own, "predicted": said, "correct": own & said}.items():
        found = getattr(statistics, name).cpu()
        assert found.dtype == torch.int64 and torch.equal(found, counted.flatten(2).sum(2)), name
    assert_close("statistics", statistics.loss, (own * terms[:, None]).flatten(2).sum(2), tolerance)


def check(case, path):
    """Everything that is true of a case; returns its results and the tolerances of value and gradient."""
    backend, device = path
    logits, target, memory = case.inputs(device)
    kept = [m.clone() for m in memory]
    with case.cuts():
        results, again = (run(case, path, logits, target) for _ in range(2))
        prediction = predict(logits, case.size, case.align_corners, backend).cpu().long()
    for m, was in zip(memory, kept, strict=True):
        assert torch.equal(m.view(torch.uint8), was.view(torch.uint8)), "an input was written to"
    assert all(map(torch.equal, results.all(), again.all())), "other bits"
    value, gradients, statistics = results
    assert value.dtype == (torch.float64 if case.dtype == torch.float64 else torch.float32)
    assert all(g.dtype == case.dtype for g in gradients)

    # Finite, but as impossible as before, also after an interpolation.
    z, y = logits.cpu().double().nan_to_num(nan=0.0, neginf=-1e300), target.cpu().long()
    factor = case.factor(value)
    factor = None if factor is None else factor.cpu().double()
    truth = reference(case, z, y, factor, device, case.reduction)
    unsure = reference(case.even, torch.zeros_like(z), y, factor, device, case.reduction)
    tolerance = tolerances(case, path, z, unsure, factor)
    assert_close("loss", value, truth[0], tolerance[0])
    for gradient in gradients:
        assert_close("gradient", gradient, truth[1], tolerance[1])

    full = F.interpolate(z, case.size, mode="bilinear", align_corners=case.align_corners) if case.resized else z
    known = (y != case.ignore_index)[:, None]
    behind = (full.amax(1, keepdim=True) - full.gather(1, prediction[:, None]))[known]
    if case.resized:
        assert (behind <= 1e-5 * largest(z)).all(), "prediction"
    else:
        assert torch.equal(prediction[:, None][known], full.argmax(1, keepdim=True)[known]), "prediction"
    if case.stats:
        terms = torch.zeros(y.shape)
        if case.of_pixels is not None:
            ones = {"none": torch.ones(y.shape).double()}
            (terms, _), (total, _) = (
                reference(case.of_pixels, z, y, ones.get(reduction), device, reduction)
                for reduction in ("none", case.reduction)
            )
            terms = terms * (total.sum() / (terms.sum() or 1))
        check_statistics(case, statistics, y, terms, prediction, tolerance[0])
    return results, tolerance


def every_loss(test):
    """A few examples of each find more than many of all: most of Hypothesis' later ones vary what it drew before."""
    test = pytest.mark.parametrize("resized", [False, True], ids=["dense", "resized"])(test)
    return pytest.mark.parametrize("loss", NAMES)(test)


@every_loss
@settings(max_examples=6 * settings.default.max_examples)
@given(data=st.data())
def test_torch_path(loss, resized, data):
    check(data.draw(cases(loss, resized, small=False)), TORCH)


@every_loss
@given(data=st.data())
def test_drawn_cases_on_both_paths(loss, resized, data):
    case = data.draw(cases(loss, resized, small=True))
    (ours, tolerance), (other, _) = check(case, TORCH), check(case, TRITON)
    if CPU == GPU or not case.draws:  # each device has a generator of its own
        assert_close("paths", other.value, ours.value, tolerance[0])
        for a, b in zip(other.gradients, ours.gradients, strict=True):
            assert_close("paths", a, b, tolerance[1])

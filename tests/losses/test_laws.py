"""Laws that hold for every curve, loss, tile and layout, those to come included."""

import pytest
import torch
from cases import CPU, EXACT, GPU, LOSSES, NOISY, PATHS, PLANS, SHAPE, assert_close, example, run, tiled

import pat_triton
from pat_triton.adjustment import Tables
from pat_triton.backends.torch.source import PER_PIXEL
from pat_triton.call import forget
from pat_triton.curves import CURVES, Exponential, Focal

CURVES_AT = [curve() for curve in CURVES.values() if curve.name != "none"]
CURVES_AT += [Focal(0.0), Focal(0.5), Focal(1.0), Focal(5.0), Exponential(-2.0, 0.3), Exponential(0.5)]


@pytest.mark.parametrize("curve", CURVES_AT, ids=repr)
def test_slope_is_the_derivative_of_value(curve):
    u = -torch.logspace(-12, 1.5, 200, dtype=torch.float64).requires_grad_()
    value, slope = curve(u, u.exp(), -torch.expm1(u))
    (derivative,) = torch.autograd.grad(value.sum(), u)
    torch.testing.assert_close(slope, derivative, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("curve", CURVES_AT, ids=repr)
def test_curves_stay_finite_at_both_ends(curve):
    u = torch.tensor([0.0, -1e-300, -700.0], dtype=torch.float64)
    for part in curve(u, u.exp(), -torch.expm1(u)):
        assert part.isfinite().all()
    value, slope = curve(torch.tensor(-torch.inf), torch.tensor(0.0), torch.tensor(1.0))
    assert value == torch.inf and slope.isfinite()


def test_detached_slope_is_the_frozen_weight():
    u = -torch.logspace(-6, 1, 50, dtype=torch.float64)
    value, slope = Exponential(2.0, 0.1, through=0.0)(u, u.exp(), -torch.expm1(u))
    torch.testing.assert_close(slope, value / u)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("curve", CURVES_AT, ids=repr)
def test_both_faces_of_a_curve_agree(curve, dtype):
    logits, target = example(SHAPE, dtype)
    results = []
    for backend, device in (("torch", CPU), ("triton", GPU)):
        z = logits.to(device).requires_grad_()
        value = pat_triton.SegmentationLoss(curve, backend=backend)(z, target.to(device))
        results.append((value.detach().cpu(), *torch.autograd.grad(value, z)))
    tolerance = EXACT if dtype == torch.float64 else 2e-6
    for name, a, b in zip(("loss", "gradient"), *results, strict=True):
        assert_close(name, a.cpu(), b.cpu(), tolerance)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "tile",
    [
        {"CLASSES": 4, "PIXELS": 16, "num_warps": 1, "VECTOR": 2},  # seven classes in two blocks
        {"CLASSES": 8, "PIXELS": 1024, "num_warps": 4, "VECTOR": 4},  # one program an image, mostly empty
        {"CLASSES": 32, "PIXELS": 32, "num_warps": 2, "VECTOR": 1},  # more rows than classes, read in one dimension
    ],
    ids=str,
)
def test_tile_size_does_not_matter(loss, tile, monkeypatch):
    logits, target = example(SHAPE)
    path = ("triton", GPU)
    value, grad = run(loss, path, logits, target)
    with tiled(monkeypatch, **tile):
        again, same = run(loss, path, logits, target)
    assert_close("loss", again, value, EXACT)
    assert_close("gradient", same, grad, EXACT)


# Two classes of a block, of which the last has one, in several programs, the last of an image part empty, or none.
OWN = {"CLASSES": 2, "num_warps": 2, "VECTOR": 2, "OWN": True}


@pytest.mark.parametrize(("pixels", "shape"), [(16, SHAPE), (64, (2, 7, 12, 16))], ids=["ragged", "even"])
@pytest.mark.parametrize("gradient", PLANS)
@pytest.mark.parametrize("loss", [loss for loss in LOSSES if not loss.values[0].draws])
def test_the_labels_logit_by_an_address_of_its_own(loss, gradient, pixels, shape, monkeypatch):
    """Its gradient, too: both of logits whose labels are ignored or infinite, besides."""
    logits, target = example(shape)
    logits[0, :, 0, 0], logits[1, 3, 0, 1] = torch.nan, -torch.inf
    target[0, 0, 0], target[1, 0, 1] = 255, 5
    path = ("triton", GPU)
    value, grad = run(loss, path, logits, target, gradient=gradient)
    with tiled(monkeypatch, **OWN, PIXELS=pixels):
        again, same = run(loss, path, logits, target, gradient=gradient)
    assert_close("loss", again, value, EXACT)
    assert_close("gradient", same, grad, EXACT)


@pytest.mark.parametrize("own", [False, True])
def test_a_scale_of_each_class(own, monkeypatch):
    """By an adjustment of one's own. A scale that classes share the kernels take on in passing, others by class."""

    def adjustment(counts):
        n = counts.double().clamp(min=1)
        return Tables(scale=1 + torch.arange(len(n)).to(n) / 4, offset=n.log(), margin=n**-0.25)

    logits, target = example(SHAPE)
    made = []
    with tiled(monkeypatch, **OWN | {"OWN": own}, PIXELS=16):
        for backend, device in (("torch", CPU), ("triton", GPU)):
            z = logits.to(device).requires_grad_()
            loss = pat_triton.SegmentationLoss("focal", (adjustment,), backend=backend)(z, target.to(device))
            made.append((loss.detach().cpu(), torch.autograd.grad(loss, z)[0].cpu()))
    for name, a, b in zip(("loss", "gradient"), *made, strict=True):
        assert_close(name, a, b, EXACT)


@pytest.mark.parametrize("source", [SHAPE[2:], (3, 4)], ids=["dense", "resized"])
@pytest.mark.parametrize("loss", LOSSES)
def test_offsets_of_64_bits_are_those_of_32(loss, source, monkeypatch):
    """As for images that 32 bits do not count; the tests' own would not come to them."""
    logits, target = example((*SHAPE[:2], *source))[0], example(SHAPE)[1]
    path = ("triton", GPU)
    value, grad = run(loss, path, logits, target)
    monkeypatch.setattr("pat_triton.backends.triton.views.LIMIT", 1)
    forget()
    again, same = run(loss, path, logits, target)
    forget()
    assert torch.equal(again, value) and torch.equal(same, grad)


@pytest.mark.parametrize("loss", LOSSES)
def test_chunk_size_does_not_matter(loss, monkeypatch):
    logits, target = example(SHAPE)
    path = ("torch", CPU)
    value, grad = run(loss, path, logits, target)
    for pixels in (1, 30):  # one at a time; two rows and a bit
        monkeypatch.setattr("pat_triton.backends.torch.source.CPU_CHUNK", pixels * (7 + PER_PIXEL))
        monkeypatch.setattr("pat_triton.backends.torch.count.CPU_LABELS", 5)
        again, same = run(loss, path, logits, target)
        assert_close("loss", again, value, EXACT)
        assert_close("gradient", same, grad, EXACT)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("loss", LOSSES)
def test_reductions_are_one_map(loss, path):
    """sum is the map's sum, the mean its quotient by the normaliser, 0 at ignored pixels; loss_weight scales all."""
    logits, target = example(SHAPE)
    reductions = ("sum", "mean") if loss.has_regions else ("none", "sum", "mean")
    values = {r: run(loss, path, logits, target, reduction=r)[0] for r in reductions}
    if not loss.has_regions:
        assert (values["none"][target == 255] == 0).all()
        assert_close("sum", values["none"].sum(), values["sum"], EXACT)
    doubled = run(loss, path, logits, target, reduction="mean", loss_weight=2 * loss.arguments.get("loss_weight", 1.0))
    assert_close("loss_weight", doubled[0], 2 * values["mean"], EXACT)


@pytest.mark.parametrize("loss", LOSSES)
def test_paths_agree_in_fp32(loss):
    logits, target = example(SHAPE, torch.float32)
    a, b = (run(loss, path.values[0], logits, target) for path in PATHS)
    if loss.draws and GPU != CPU:
        pytest.skip("each device has its own generator; test_noise compares the draws under one key")
    for name, x, y in zip(("loss", "gradient"), a, b, strict=True):
        assert_close(name, x, y, NOISY)


@pytest.mark.parametrize("path", PATHS)
def test_parts_combine(path):
    """What nobody has published is still one line: LDAM margins, BLV variation, focal, mask sizes."""
    from pat_triton.adjustment import Margin, Scale, Variation
    from pat_triton.weights import MaskSize

    logits, target = example(SHAPE)
    backend, device = path
    z = logits.to(device).requires_grad_()
    criterion = pat_triton.SegmentationLoss(
        "focal", (Margin(0.4), Scale(2.0), Variation(1.0, "uniform")), MaskSize(), backend=backend
    )
    criterion.eval()
    value = criterion(z, target.to(device))
    counts = torch.stack([(target == c).sum() for c in range(7)]).double().clamp(min=1)
    root = counts**-0.25
    own = torch.nn.functional.one_hot(target.clamp(max=6), 7).movedim(-1, 1)
    a = 2.0 * (logits - own * (0.4 * root / root.max()).view(7, 1, 1))
    p = a.softmax(1).gather(1, target.clamp(max=6)[:, None])[:, 0]
    truth = 0.0
    for b in range(2):
        for c in target[b].unique().tolist():
            if c != 255:
                truth += (-((1 - p[b]) ** 2) * p[b].log())[target[b] == c].mean() / 2
    torch.testing.assert_close(value.detach().cpu(), truth)
    corner = z.detach()[:1, :, :2, :3].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: criterion(x, target[:1, :2, :3].to(device)), corner)

"""16-bit logits: autocast leaves them alone, and a scaled float16 gradient is as exact as float16 can be."""

import math

import pytest
import torch
from cases import EACH, GPU, PAT, PATHS, PLANS, Loss, assert_close, enlarged, example, expected, run
from tracker import Tracker

from pat_triton.backends.triton import backend as kernels
from pat_triton.backends.triton import tiles

HALVES = [torch.float16, torch.bfloat16]
SCALE = torch.tensor(65536.0)  # a GradScaler's first
CE = Loss("CrossEntropyLoss")
INTERPRETED = GPU.type == "cpu"


def step(loss, path, logits, target, autocast, **options):
    """(loss, gradient) as they come, the noise of one seed; forward and backward under autocast or not."""
    device, dtype = path[1], logits.dtype
    z, y = logits.detach().to(device).requires_grad_(), target.to(device)
    torch.manual_seed(3)
    with torch.autocast(device.type, dtype, enabled=autocast):
        value = loss.ours(path, **options)(z, y)
        value.sum().backward()
    return value.detach(), z.grad


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("source", [(6, 8), (3, 5)], ids=["dense", "resized"])
@pytest.mark.parametrize("loss", EACH)
def test_autocast_changes_no_bit(loss, source, dtype, path):
    logits, target = enlarged((2, 7, *source), (6, 8), dtype)
    plain, slope = step(loss, path, logits, target, autocast=False)
    value, grad = step(loss, path, logits, target, autocast=True)
    assert value.dtype == torch.float32 and grad.dtype == dtype
    assert torch.equal(value, plain) and torch.equal(grad, slope)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("plan", PLANS)
def test_autocast_makes_no_copy(plan, dtype, path, monkeypatch):
    """Nothing is larger than the 16-bit gradient; a float32 copy would be twice as large."""
    logits, target = example((1, 19, 64, 64), dtype)
    monkeypatch.setattr("pat_triton.backends.torch.source.CPU_CHUNK", 8000)
    with Tracker() as seen:
        step(PAT, path, logits, target, autocast=True, gradient=plan)
    assert seen.largest == 2 * logits.numel()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("size", [(8, 8), (16, 16)], ids=["dense", "resized"])
def test_a_network_learns_under_autocast(size, dtype, path):
    """Its parameters' gradients are those of the reference on the same logits in float32, but for one rounding."""
    device = path[1]
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 7, 1))
    network.to(device)
    images, (_, target) = torch.randn(2, 3, 8, 8, device=device), example((2, 7, *size))

    def slopes(criterion):
        with torch.autocast(device.type, dtype):
            logits = network(images)
            assert logits.dtype == dtype
            value = criterion(logits)
        return torch.autograd.grad(value, list(network.parameters()))

    ours = slopes(lambda z: PAT.ours(path)(z, target.to(device)))
    truth = slopes(lambda z: PAT.reference()(z.float(), target.to(device)))
    for a, b in zip(ours, truth, strict=True):
        assert a.dtype == torch.float32
        assert_close("gradient", a, b, 2.0**-6)


def error(a, truth):
    return ((a - truth).norm() / truth.norm()).item()


def floor(truth, dtype, path):
    """The relative L2 error of ``truth`` rounded to ``dtype``, which no gradient of that dtype can undercut.

    For bfloat16 the interpreter drops digits instead, which is twice as bad.
    """
    if path[0] == "triton" and INTERPRETED and dtype == torch.bfloat16:
        return error((truth.float().view(torch.int32) >> 16 << 16).view(torch.float32).double(), truth)
    return error(truth.to(dtype).double(), truth)


# 4,194,304 pixels. Four classes keep the truth, several float64 copies, at 128 MiB each.
MANY = {"dense": ((2048, 2048), (2048, 2048)), "resized": ((512, 512), (2048, 2048))}


@pytest.fixture
def few_programs(monkeypatch):
    """Few and large tiles where they are interpreted, program after program."""
    if kernels.INTERPRETED:
        monkeypatch.setattr(tiles, "loss_tile", lambda *_: tiles.Tile(4, 1 << 16, 1, 4))
        monkeypatch.setattr(tiles, "upsample_tile", lambda *_: tiles.UpsampleTile(4, 128, 4, 64, 1))


@pytest.mark.untouched
@pytest.mark.usefixtures("few_programs")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("many", "loss"), [("dense", CE), ("resized", PAT)], ids=MANY)
def test_fp16_gradients_of_4_million_pixels(many, loss, path):
    """As exact as float16 is, 2e-4; made before the scale arrives they lose 0.5 to 10 %. The interpreter takes
    minutes for so many: there 1 in 64, each with a weight that makes its gradient as small."""
    few = 8 if path[0] == "triton" and kernels.INTERPRETED else 1
    source, size = ([n // few for n in extents] for extents in MANY[many])
    options = {"loss_weight": few**-2.0}
    logits, target = enlarged((1, 4, *source), tuple(size), torch.float16)
    _, truth = expected(loss, logits.double(), target, upstream=SCALE.double(), **options)
    _, grad = run(loss, path, logits, target, upstream=SCALE, **options)
    assert error(grad, truth) < 1e-3
    assert error(grad, truth) < 1.05 * floor(truth, torch.float16, path)
    _, early = run(loss, path, logits, target, gradient="one_pass", **options)
    assert error(early * SCALE, truth) > 4e-3


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("loss", [CE, PAT], ids=lambda loss: loss.name)
@pytest.mark.parametrize("source", [(32, 32), (8, 8)], ids=["dense", "resized"])
def test_bf16_gradients_of_as_many(source, loss, plan, path):
    """bfloat16 ends where float32 does, so that both plans are as exact as it is: 8 bits, 2e-3. Fewer pixels, with
    a weight that makes up for them."""
    logits, target = enlarged((1, 7, *source), (32, 32), torch.bfloat16)
    options = {"loss_weight": 2.0**-12}
    _, truth = expected(loss, logits.double(), target, upstream=SCALE.double(), **options)
    _, grad = run(loss, path, logits, target, upstream=SCALE, gradient=plan, **options)
    assert error(grad, truth) < 1.05 * floor(truth, torch.bfloat16, path)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("loss", [CE, PAT], ids=lambda loss: loss.name)
def test_auto_is_recompute_for_fp16(loss, path):
    """To the bit, under a scale; and it is not one_pass."""
    logits, target = example((1, 7, 32, 32), torch.float16)
    auto, again, early = (
        run(loss, path, logits, target, upstream=SCALE, gradient=plan, loss_weight=1e-3)[1]
        for plan in ("auto", "recompute", "one_pass")
    )
    assert torch.equal(auto, again) and not torch.equal(auto, early)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("plan", PLANS)
def test_a_scaler_skips_a_step_that_overflows(plan, path):
    """PAT's gradient at a wrong pixel, the only one of its class, is exp(1 / 20): times 65536 it is inf, not clamped.
    Halved it is a number, and the next steps are taken."""
    target = torch.zeros(1, 4, 4, dtype=torch.int64, device=path[1])
    target[0, 1, 1] = 2
    weight = torch.zeros(1, 3, 4, 4, device=path[1])
    weight[0, 0, 1, 1] = 32
    weight.requires_grad_()
    optimiser = torch.optim.SGD([weight], lr=0.5)
    scaler = torch.amp.GradScaler(path[1].type, init_scale=SCALE.item())
    criterion = PAT.ours(path, gradient=plan)

    def step():
        """The gradient of the float16 logits, and how far the parameter went."""
        before = weight.detach().clone()
        optimiser.zero_grad()
        logits = weight.half()
        logits.retain_grad()
        scaler.scale(criterion(logits, target)).backward()
        scaler.step(optimiser)
        scaler.update()
        return logits.grad, weight.detach() - before

    grad, moved = step()
    assert grad.dtype == torch.float16
    assert grad[0, :, 1, 1].tolist() == [torch.inf, 0, -torch.inf]
    assert grad.isinf().sum() == 2 and not grad.isnan().any()
    assert not moved.any()
    assert scaler.get_scale() == 32768
    for _ in range(3):
        grad, moved = step()
        assert grad.isfinite().all()
        assert moved[0, 2, 1, 1].item() == pytest.approx(0.5 * math.exp(1 / 20), rel=1e-3)
        assert scaler.get_scale() == 32768

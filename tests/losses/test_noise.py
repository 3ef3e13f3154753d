"""BLV's noise: its layout, the same on every path, and seeded from torch's generator."""

import math
from importlib import import_module

import pytest
import torch
from cases import CPU, LOSSES, PATHS, SHAPE, example, hardware_error

import pat_triton
from pat_triton import noise
from pat_triton.adjustment import Noise
from pat_triton.curves import CrossEntropy
from pat_triton.inputs import LossInputs
from reference import philox as oracle

KEY = (0x9ABCDEF0, 0xFEDCBA98)


@pytest.mark.parametrize("distribution", ["gaussian", "uniform"])
@pytest.mark.parametrize("classes", [2, 7, 19])
def test_layout_of_the_variates(classes, distribution):
    """Class 4k + i takes word i of counter k; pixels are numbered over all spatial dimensions."""
    shape = (3, classes, 4, 5)
    truth = oracle.variates(torch.Size(shape), KEY, distribution == "uniform", CPU)
    expected = (truth * 0.25).abs().clamp(max=1).transpose(0, 1).flatten(2)
    for images in (torch.arange(3), torch.tensor([2])):
        ours = noise.magnitude(KEY, distribution, 0.25, images[:, None], torch.arange(20), classes)
        torch.testing.assert_close(ours, expected[:, images], rtol=0, atol=2e-6)


def drawn(path, distribution, sigma=1.0, shape=(2, 7, 6, 5), seed=11):
    """|v| as a loss saw it, from logits that isolate it: the offset-free a of two classes differ by |v| alone."""
    backend, device = path
    module = import_module(f"pat_triton.backends.{backend}.backend")
    logits = torch.zeros(shape, dtype=torch.float64, device=device)
    target = torch.zeros(shape[0], *shape[2:], dtype=torch.int64, device=device)
    seen = []
    for c in range(1, shape[1]):
        # Only class c varies, and only class 0 and c are possible: exp(loss) - 1 = exp(|v_c|).
        z = torch.full_like(logits, -torch.inf)
        z[:, 0], z[:, c] = 0, 0
        # For kernels a row that begins with sigma, a row of the variation, then a row of weights for each image.
        lead = int(backend == "triton")
        first = lead + 1
        tables = torch.ones(first + shape[0], shape[1], dtype=torch.float64, device=device)
        tables[0] = sigma
        tables[lead] = 0
        tables[lead, c] = 1
        key = torch.tensor(KEY, device=device)
        inputs = LossInputs(
            CrossEntropy(), tables, ("variation",), first, Noise(distribution, sigma), key, (255,), lead=lead
        )
        seen.append(torch.expm1(module.run(z, target, inputs, reduce=False).loss).log().cpu())
    return torch.stack(seen, 1)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("distribution", ["gaussian", "uniform"])
def test_paths_draw_the_reference_noise(distribution, path):
    """Under one key on any device; the uniform exactly, the normal to an ulp or two of log, cos and sin, or to what an
    NVIDIA GPU's own are off."""
    shape = (2, 7, 6, 5)
    truth = oracle.variates(torch.Size(shape), KEY, distribution == "uniform", CPU).abs().clamp(max=1)[:, 1:]
    tolerance = max(1e-12 if distribution == "uniform" else 2e-6, hardware_error(path, 1.0, distribution))
    torch.testing.assert_close(drawn(path, distribution), truth.double(), rtol=0, atol=tolerance)


def test_the_normal_is_normal():
    v = oracle.variates(torch.Size((1, 64, 128, 128)), KEY, False, CPU)
    assert abs(v.mean()) < 0.005 and abs(v.std() - 1) < 0.005
    saturated = (v * 4).abs().ge(1).double().mean().item()
    assert abs(saturated - math.erfc(0.25 / math.sqrt(2))) < 0.003  # 80 %, as in the authors' release


@pytest.mark.parametrize("path", PATHS)
def test_manual_seed_reproduces_and_calls_differ(path):
    logits, target = example(SHAPE, torch.float32)
    criterion = pat_triton.BLVLoss(backend=path[0])
    z, y = logits.to(path[1]), target.to(path[1])
    torch.manual_seed(5)
    first, second = criterion(z, y), criterion(z, y)
    torch.manual_seed(5)
    assert torch.equal(criterion(z, y), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("path", PATHS)
def test_evaluation_is_plain_cross_entropy(path):
    logits, target = example(SHAPE)
    z, y = logits.to(path[1]), target.to(path[1])
    state = torch.get_rng_state()
    value = pat_triton.BLVLoss(backend=path[0]).eval()(z, y)
    assert torch.equal(value, pat_triton.CrossEntropyLoss(backend=path[0])(z, y))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("loss", LOSSES)
def test_only_blv_draws(loss):
    logits, target = example(SHAPE)
    state = torch.get_rng_state()
    loss.ours(("torch", CPU))(logits, target)
    assert torch.equal(state, torch.get_rng_state()) != loss.draws


def test_tail_classes_vary_most():
    from pat_triton.adjustment import Variation

    c = Variation()(torch.tensor([1000, 100, 10, 0])).variation
    assert c[0] < c[1] < c[2] < c[3] == 1

"""The gradient as autograd sees it: gradcheck, upstream gradients, second backwards, and refused transforms."""

import gc
import re
import weakref

import pytest
import torch
from cases import (
    CPU,
    EACH,
    EXACT,
    LOSSES,
    NOISY,
    PAT,
    PATHS,
    PLANS,
    SAME_DTYPE,
    SHAPE,
    Loss,
    assert_close,
    example,
    expected,
    run,
)  # fmt: skip

import pat_triton

# The interpreter takes seconds for each: there one loss of each curve, and sums; test_exact has them all.
CURVED = {
    tuple(loss.curve.name for loss in row.values[0].ours(("torch", CPU)).losses): row for row in reversed(EACH)
}  # fmt: skip
CHECKED = [
    pytest.param(*path.values, *loss.values, id=f"{loss.id}-{path.id}")
    for path in PATHS
    for loss in (LOSSES if path.values[0][0] == "torch" else CURVED.values())
]


@pytest.mark.parametrize(("path", "loss"), CHECKED)
@pytest.mark.parametrize("gradient", PLANS)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_gradcheck(loss, reduction, gradient, path):
    if loss.arguments.get("detach_weight"):
        loss = Loss(loss.name, {**loss.arguments, "detach_weight": False})
    logits, target = example((1, 7, 2, 3))
    z, y = logits.to(path[1]).requires_grad_(), target.to(path[1])
    criterion = loss.ours(path, reduction=reduction, gradient=gradient)

    def value(x):
        torch.manual_seed(0)
        return criterion(x, y)

    assert torch.autograd.gradcheck(value, z)


def test_detached_weight_is_a_constant_in_the_gradient():
    logits, target = example(SHAPE)
    for path in PATHS:
        value, grad = run(Loss("PATLoss", {"detach_weight": True}), path.values[0], logits, target)
        _, slope = expected(Loss("PATLoss", {"detach_weight": True}), logits, target)
        whole, through = expected(PAT, logits, target)
        assert_close("loss", value, whole, EXACT)
        assert_close("gradient", grad, slope, EXACT)
        assert not torch.allclose(slope, through, rtol=1e-3)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gradient", PLANS)
@pytest.mark.parametrize(
    "upstream",
    [
        torch.tensor(-2.5),
        torch.tensor(0.0),
        torch.tensor(65536.0),
        torch.randn(2, 9, 13, generator=torch.Generator().manual_seed(1)),
        torch.randn(2, 1, 13).expand(2, 9, 13),  # stride 0
        torch.randn(2, 13, 9).transpose(1, 2),
    ],
    ids=["negative", "zero", "scaler", "random", "stride0", "transposed"],
)
def test_upstream_gradients(upstream, gradient, path):
    logits, target = example(SHAPE)
    options = {"reduction": "none" if upstream.ndim else "mean"}
    _, grad = run(PAT, path, logits, target, upstream=upstream.double(), gradient=gradient, **options)
    _, truth = expected(PAT, logits, target, upstream=upstream.double(), **options)
    assert_close("gradient", grad, truth, EXACT)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gradient", PLANS)
@pytest.mark.parametrize("loss", [PAT, Loss("BLVLoss")], ids=["pat", "blv"])
def test_backward_again_is_exact(loss, gradient, path):
    """Also after a grad_output of 0, and after the caller has changed what the first one returned."""
    logits, target = example(SHAPE)
    z = logits.to(path[1]).requires_grad_()
    torch.manual_seed(0)
    value = loss.ours(path, gradient=gradient)(z, target.to(path[1]))
    (first,) = torch.autograd.grad(value, z, torch.full_like(value, 3.0), retain_graph=True)
    kept = first.clone()
    first.fill_(7.0)
    (zero,) = torch.autograd.grad(value, z, torch.zeros_like(value), retain_graph=True)
    assert (zero == 0).all()
    (last,) = torch.autograd.grad(value, z, torch.full_like(value, 3.0))
    assert torch.equal(last, kept)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(value, z)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gradient", PLANS)
def test_second_derivative_raises(gradient, path):
    logits, target = example(SHAPE)
    z, y = logits.to(path[1]).requires_grad_(), target.to(path[1])
    criterion = PAT.ours(path, gradient=gradient)
    for upstream in (None, torch.ones((), device=path[1], dtype=torch.float64, requires_grad=True)):
        value = criterion(z, y)
        (grad,) = torch.autograd.grad(value, z, upstream, create_graph=True)
        assert grad.requires_grad
        for penalty in (grad.sum(), value + grad.pow(2).sum()):
            with pytest.raises(RuntimeError, match="no second derivative"):
                penalty.backward(retain_graph=True)
    z, y = z[:1, :, :1, :2].detach().requires_grad_(), y[:1, :1, :2]
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.gradgradcheck(lambda x: criterion(x, y), z)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gradient", PLANS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_inputs_are_left_alone(dtype, gradient, path):
    logits, target = example(SHAPE, dtype)
    z, y = logits.to(path[1]).requires_grad_(), target.to(path[1])
    counts, weight = torch.arange(1, 8), torch.arange(1.0, 8.0)
    versions = z._version, y._version
    for loss in (PAT, Loss("BLVLoss", {"class_counts": counts}), Loss("LDAMLoss", {"weight": weight})):
        loss.ours(path, gradient=gradient)(z, y).backward()
    with torch.no_grad():
        PAT.ours(path)(z, y)
    assert torch.equal(z.detach().cpu(), logits) and torch.equal(y.cpu(), target)
    assert (z._version, y._version) == versions
    assert torch.equal(counts, torch.arange(1, 8)) and torch.equal(weight, torch.arange(1.0, 8.0))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gradient", PLANS)
def test_the_loss_may_be_changed_in_place(gradient, path):
    logits, target = example(SHAPE)
    z = logits.to(path[1]).requires_grad_()
    value = PAT.ours(path, gradient=gradient)(z, target.to(path[1]))
    value /= 4
    value.backward()
    assert_close("gradient", z.grad.cpu(), expected(PAT, logits, target)[1] / 4, EXACT)


@pytest.mark.parametrize("path", PATHS)
def test_plans_hold_what_they_should(path):
    """One pass keeps no reference to the logits; without a graph nothing is kept at all."""
    logits, target = example(SHAPE)
    y = target.to(path[1])
    for gradient, alive in (("one_pass", False), ("recompute", True)):
        leaf = logits.to(path[1]).requires_grad_()
        z = leaf * 1.0
        value = PAT.ours(path, gradient=gradient)(z, y)
        seen = weakref.ref(z)
        del z
        gc.collect()
        assert (seen() is not None) == alive
        value.backward()
    assert not PAT.ours(path)(logits.detach().to(path[1]), y).requires_grad


@pytest.mark.parametrize("path", PATHS)
def test_plans_agree_in_low_precision(path):
    for dtype, tolerance in SAME_DTYPE.items():
        logits, target = example(SHAPE, dtype)
        for loss in (PAT, Loss("BLVLoss")):
            a, b = (run(loss, path, logits, target, gradient=plan) for plan in PLANS)
            assert_close("loss", a[0], b[0], NOISY)
            assert_close("gradient", a[1], b[1], tolerance)


def test_a_gradient_accumulates():
    logits, target = example(SHAPE)
    z = logits.clone().requires_grad_()
    criterion = pat_triton.PATLoss()
    (criterion(z, target) + criterion(z, target)).backward()
    assert_close("gradient", z.grad, 2 * expected(PAT, logits, target)[1], EXACT)


def test_transforms_are_refused():
    logits, target = example((2, 7, 3, 4))
    criterion = pat_triton.PATLoss()
    refused = {
        "pat_triton does not run under torch.func transforms (grad, vmap, jvp, ...); take gradients with "
        "loss.backward() or torch.autograd.grad, and for single images use reduction='none' or return_stats=True": (
            lambda: torch.func.grad(lambda z: criterion(z, target))(logits),
            lambda: torch.vmap(lambda z, y: criterion(z[None], y[None]))(logits, target),
            lambda: torch.func.jvp(lambda z: criterion(z, target), (logits,), (logits,)),
            lambda: torch.vmap(lambda z: pat_triton.predict(z[None], (3, 4)))(logits),
        ),
        "pat_triton has no forward-mode derivative; take gradients with loss.backward()": (lambda: forward(logits),),
        "pat_triton: several gradients at once (is_grads_batched, vectorize=True) need gradient='one_pass', or take "
        "them one by one": (lambda: batched(pat_triton.PATLoss(gradient="recompute")),),
    }

    def forward(z):
        with torch.autograd.forward_ad.dual_level():
            return criterion(torch.autograd.forward_ad.make_dual(z, z), target)

    def batched(criterion):
        z = logits.clone().requires_grad_()
        factors = torch.tensor([1.0, -2.0], dtype=torch.float64)
        return torch.autograd.grad(criterion(z, target), z, factors, is_grads_batched=True)[0]

    for message, calls in refused.items():
        for call in calls:
            with pytest.raises(RuntimeError, match=f"^{re.escape(message)}$"):
                call()
    both = batched(criterion)
    assert_close("gradient", both[1], -2 * both[0], EXACT)

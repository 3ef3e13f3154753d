"""The operators: schemas, fakes and strides, and tensors that hold no numbers."""

import pytest
import torch
from cases import LOSSES, PATHS, Loss, example
from steps import CLASSES, DENSE, INTERPRETED, RESIZED, batch
from torch._subclasses.fake_tensor import FakeTensorMode

import pat_triton
from pat_triton import operators
from pat_triton.inputs import Result

CHECKED = [
    (name, path.values[0], step)
    for name in ("PATLoss", "LDAMLoss", "BLVLoss", "BalancedSoftmaxLoss")
    for path in PATHS
    for step in (DENSE[0], RESIZED[0])
    if path.values[0] != INTERPRETED or (name, step) in (("BLVLoss", DENSE[0]), ("PATLoss", RESIZED[0]))
]


def arguments(path, step, loss):
    """The arguments of the loss operator as a call makes them."""
    logits, target = batch(step, path[1])
    seen = []
    criterion = loss.ours(path)
    traced = operators.Operators(path[0])
    traced.run = lambda z, y, inputs, **_: seen.append(inputs) or Result(z.sum(), None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pat_triton.plan.route", lambda *_: traced)
        criterion(logits, target, pixel_weight=torch.rand(target.shape, device=path[1]))
    return logits, target, operators._flat(seen[0], path[0])


@pytest.mark.parametrize(("name", "path", "step"), CHECKED)
def test_opcheck(name, path, step):
    """Schema, fake, autograd registration and tracing of every operator; every table is in one of these losses."""
    ops, check = torch.ops.pat_triton, torch.library.opcheck
    logits, target, flat = arguments(path, step, Loss(name))
    check(ops.loss, (logits, target, *flat, True, False, False))
    for options in ((False, False, True), (True, True, True)):  # what they add has no derivative, and says so
        check(ops.loss, (logits.detach(), target, *flat, *options))
    check(ops.gradient, (torch.tensor(0.5, device=path[1]), logits.detach(), target, *flat))
    check(ops.histogram, (target, CLASSES, 255, path[0]))
    check(ops.predict, (logits.detach(), target.shape[1:], True, path[0]))
    check(ops.confusion, (target, target.clamp(max=CLASSES - 1), CLASSES, 255, path[0]))
    assert {op._name for op in operators.OPERATORS} == {"loss", "gradient", "histogram", "predict", "confusion"}


@pytest.mark.parametrize("layout", ["channels_last", "crop", "expanded"])
@pytest.mark.parametrize("path", PATHS)
def test_opcheck_strides(layout, path):
    """What a fake says of strides is what comes."""
    logits, target, flat = arguments(path, DENSE[0], Loss("PATLoss"))
    logits = logits.detach()
    z = {
        "channels_last": logits.contiguous(memory_format=torch.channels_last),
        "crop": torch.nn.functional.pad(logits, (2, 1, 1, 1))[..., 1:-1, 2:-1],
        "expanded": logits[:1].expand_as(logits),
    }[layout]
    torch.library.opcheck(torch.ops.pat_triton.loss, (z, target, *flat, True, True, False))
    torch.library.opcheck(torch.ops.pat_triton.gradient, (torch.ones((), device=path[1]), z, target, *flat))


@pytest.mark.parametrize("loss", LOSSES)
def test_tensors_without_numbers(loss):
    """FakeTensor and meta: shapes, dtypes and devices of what would come, backward included."""
    criterion = loss.ours(("auto", torch.device("cpu")))
    logits, target = example((2, 7, 9, 13), torch.float16)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        z, y = mode.from_tensor(logits).requires_grad_(), mode.from_tensor(target)
        value = criterion(z, y)
        value.backward()
        assert (value.shape, value.dtype, z.grad.dtype, z.grad.shape) == ((), torch.float32, z.dtype, z.shape)
        assert pat_triton.predict(z, (18, 26)).shape == (2, 18, 26)
    meta = loss.ours(("auto", torch.device("meta")), reduction="none")
    z = torch.zeros(2, 7, 4, 5, device="meta", requires_grad=True)
    value, statistics = meta(z, torch.empty(2, 8, 9, dtype=torch.uint8, device="meta"), return_stats=True)
    value.sum().backward()
    assert value.shape == (2, 8, 9) and z.grad.shape == z.shape and statistics.loss.shape == (2, 7)


def test_an_unregistered_curve_cannot_be_compiled():
    class Flat(pat_triton.Curve):
        name = "flat"

        def __call__(self, u, p, q):
            return -u, torch.full_like(u, -1.0)

    with pytest.raises(ValueError, match=r"^curve: got 'flat', known: 'cross_entropy', 'focal', 'exponential'$"):
        pat_triton.SegmentationLoss(Flat())(
            torch.empty(1, 3, 4, device="meta"), torch.empty(1, 4, device="meta").long()
        )

"""The operators: schemas, fakes and strides, and tensors that hold no numbers."""

import pytest
import torch
from cases import LOSSES, PATHS, Loss, example
from graphs import Graphs
from steps import CLASSES, DENSE, INTERPRETED, RESIZED, batch
from torch._subclasses.fake_tensor import FakeTensorMode

import pat_triton
from pat_triton import operators

OPS = torch.ops.pat_triton
CHECKED = [
    (name, path.values[0], step)
    for name in ("PATLoss", "LDAMLoss", "BLVLoss", "BalancedSoftmaxLoss")
    for path in PATHS
    for step in (DENSE[0], RESIZED[0])
    if path.values[0] != INTERPRETED or (name, step) in (("BLVLoss", DENSE[0]), ("PATLoss", RESIZED[0]))
]


def arguments(path, criterion, logits, target, **options):
    """What the graphs of a step hand to each operator."""
    graphs = Graphs()
    torch.compiler.reset()
    value = torch.compile(criterion, fullgraph=True, backend=graphs.backend)(logits, target, **options)
    (value[0] if isinstance(value, tuple) else value).backward()
    torch.compiler.reset()
    return {op: [_detached(value) for value in given] for op, given in graphs.arguments.items()}


def _detached(value):
    if isinstance(value, list | tuple):
        return [v.detach() if isinstance(v, torch.Tensor) else v for v in value]
    return value.detach() if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize(("name", "path", "step"), CHECKED)
def test_opcheck(name, path, step):
    """Schema, fake and tracing of every operator; every table is in one of these losses."""
    check, loss = torch.library.opcheck, Loss(name)
    logits, target = batch(step, path[1])
    weight = torch.rand(target.shape, device=path[1])
    for gradient, stats in (("one_pass", True), ("recompute", False)):
        criterion = loss.ours(path, gradient=gradient)
        given = arguments(path, criterion, logits, target, pixel_weight=weight, return_stats=stats)
        assert set(given) == {OPS.forward.default} | ({OPS.backward.default} if gradient == "recompute" else set())
        if name == "BLVLoss":  # which draws its keys: others at every call
            continue
        for op, of in given.items():
            check(op, of)
    numbers, none = criterion.numbers, [None] * 3
    text = criterion.said[name != "BLVLoss"][0]
    check(OPS.loss, ([logits], target, numbers, *none, weight, [], [], [], None, [1.0], False, text, []))
    check(OPS.histogram, (target, CLASSES, [255], path[0]))
    check(OPS.predict, (logits.detach(), target.shape[1:], True, path[0]))
    check(OPS.confusion, (target, target.clamp(max=CLASSES - 1), CLASSES, [255], path[0]))
    assert set(operators.OPERATORS) == {"forward", "backward", "histogram", "predict", "confusion"}


@pytest.mark.parametrize("layout", ["channels_last", "crop", "expanded"])
@pytest.mark.parametrize("path", PATHS)
def test_opcheck_strides(layout, path):
    """What a fake says of strides is what comes."""
    logits, target = batch(DENSE[0], path[1])
    logits = logits.detach()
    z = {
        "channels_last": logits.contiguous(memory_format=torch.channels_last),
        "crop": torch.nn.functional.pad(logits, (2, 1, 1, 1))[..., 1:-1, 2:-1],
        "expanded": logits[:1].expand_as(logits),
    }[layout].requires_grad_()
    for gradient in ("one_pass", "recompute"):
        criterion = Loss("PATLoss").ours(path, gradient=gradient)
        for op, given in arguments(path, criterion, z, target).items():
            torch.library.opcheck(op, given)


def test_opcheck_of_parts_of_the_users_own():
    """Of a rule that torch's operators make tables of, several heads at once, with noise that was drawn before."""

    def halved(labels):
        return 0.5, labels.labelled()

    logits, target = batch(RESIZED[0], torch.device("cpu"))
    criterion = pat_triton.SegmentationLoss("focal", pat_triton.adjustment.Variation(0.5), halved, gradient="recompute")
    other = logits.detach()[..., 1:].clone().requires_grad_()
    given = arguments(None, criterion, [logits, other], target)
    assert set(given) == {OPS.histogram.default, OPS.forward.default, OPS.backward.default}
    for op, of in given.items():
        torch.library.opcheck(op, of)


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
    reduction, shape = ("mean", ()) if loss.has_regions else ("none", (2, 8, 9))
    meta = loss.ours(("auto", torch.device("meta")), reduction=reduction)
    z = torch.zeros(2, 7, 4, 5, device="meta", requires_grad=True)
    value, statistics = meta(z, torch.empty(2, 8, 9, dtype=torch.uint8, device="meta"), return_stats=True)
    value.sum().backward()
    assert value.shape == shape and z.grad.shape == z.shape and statistics.loss.shape == (2, 7)


def test_an_unregistered_curve_cannot_be_compiled():
    class Flat(pat_triton.Curve):
        name = "flat"

        def __call__(self, u, p, q):
            return -u, torch.full_like(u, -1.0)

    with pytest.raises(
        ValueError, match=r"^curve: got 'flat', known: 'cross_entropy', 'focal', 'exponential', 'none'$"
    ):
        pat_triton.SegmentationLoss(Flat())(
            torch.empty(1, 3, 4, device="meta"), torch.empty(1, 4, device="meta").long()
        )

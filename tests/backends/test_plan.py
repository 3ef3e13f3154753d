"""A kind of call is worked out once: what a hit costs, and what it must still see."""

import contextlib

import pytest
import torch
from calls import TRITON, step, tensors
from cases import COUNTS, EACH, EXACT, GPU, NOISY, PAT, PAT_AND_DICE, PATHS, WEIGHT, assert_close, enlarged, example
from schedules import SCHEDULES
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

import pat_triton
from pat_triton.adjustment import LogPrior
from pat_triton.backends.triton.launch import Launch
from pat_triton.call import forget, plans
from pat_triton.weights import Pixel

# What a hit may ask torch for: memory (zeros are a memset), BLV's draw, a second head's addition, and autograd's own
# gradient of the loss.
MEMORY = {"empty_like", "new_empty", "new_zeros", "ones_like", "detach"}


class Operators(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def launches(monkeypatch):
    """The kernels that are launched, as they come; what the interpreter does with torch to execute them is not seen."""
    started, launch = [], Launch.__call__

    def noted(self, *arguments):
        started.append(self.kernel)
        with _disable_current_modes():
            launch(self, *arguments)

    monkeypatch.setattr(Launch, "__call__", noted)
    return started


@pytest.fixture
def unlooked(monkeypatch):
    """As on a GPU, where nobody looks at labels."""
    monkeypatch.setattr("pat_triton.checks.labels.CHECKED_DEVICES", ())


@pytest.mark.usefixtures("unlooked")
@pytest.mark.untouched  # the poison fills memory by operators
@pytest.mark.parametrize("kind", ["dense", "resized"])
@pytest.mark.parametrize("given", [True, False], ids=["given", "batch"])
@pytest.mark.parametrize("loss", EACH)
def test_few_launches_and_no_other_operators(loss, given, kind, launches):
    """Histogram, tables, loss, its sum and the factor that arrives; for a second head loss, sum and factor. For region
    losses at most three more: one or two losses of their sums, and one where the gradient of resized logits takes two.
    """
    logits, target = tensors(kind)
    criterion = loss.ours(TRITON, **({"class_counts": COUNTS} if given else {}))
    for heads, most in (([logits], 5), ([logits, logits], 8)):
        leaves = [z.clone().requires_grad_() for z in heads]
        for _ in range(2):  # a miss, then a hit
            launches.clear()
            for z in leaves:
                z.grad = None
            with Operators() as seen:
                criterion(leaves[0] if len(heads) == 1 else leaves, target).backward()
        others = [name for name in seen.names if name not in MEMORY]
        allowed = ["randint"] * loss.draws + (["split"] * loss.draws + ["add"]) * (len(heads) - 1)
        if loss.has_regions:  # backward, too, takes the keys of each head's noise
            allowed += ["split"] * loss.draws * (len(heads) - 1)
        assert sorted(others) == sorted(allowed)
        assert seen.names.count("new_zeros") <= 1
        assert len(launches) <= most + 3 * len(heads) * loss.has_regions


@pytest.mark.usefixtures("unlooked")
@pytest.mark.untouched
def test_one_launch_more_where_columns_come_in_blocks(launches):
    logits, target = enlarged((1, 40, 2, 3), (4, 5), torch.float32)
    logits, target = logits.to(GPU).requires_grad_(), target.to(GPU)
    for gradient in ("one_pass", "recompute"):
        launches.clear()
        pat_triton.PATLoss(backend="triton", gradient=gradient)(logits, target).backward()
        assert len(launches) <= 6


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_misses_nothing(name, path):
    """A number that changes from step to step is seen, in the loss and the gradient, and makes no new plan."""
    made, change = SCHEDULES[name]
    options = {"weight": WEIGHT} if name == "weight" else {"class_counts": COUNTS} if name == "counts" else {}
    criterion = made(backend=path[0], **options).to(path[1])
    logits, target = (t.to(path[1]) for t in example((2, 7, 4, 5)))
    step(criterion, logits, target)
    kept = len(plans.held)
    seen = []
    for i in range(3):
        change(criterion, i)
        fresh = made(backend=path[0], **options).to(path[1])
        for part in ("curve", "adjustment", "weights", "loss_weight"):
            setattr(fresh, part, getattr(criterion, part))
        fresh.load_state_dict(criterion.state_dict())
        now = step(criterion, logits, target)
        assert len(plans.held) == kept
        forget()
        for a, b in zip(now, step(fresh, logits, target), strict=True):
            assert_close(name, a.cpu(), b.cpu(), NOISY if name == "sigma" else EXACT)
        seen.append(now[0].item())
    assert len(set(seen)) == 3


def altered(logits, target):
    """Calls that another plan must serve than that of these tensors, by what differs."""
    misaligned = torch.empty(logits.numel() + 1, dtype=logits.dtype, device=logits.device)[1:].view_as(logits)
    return {
        "dtype": (logits.bfloat16(), target),
        "labels": (logits, target.to(torch.uint8)),
        "layout": (logits.contiguous(memory_format=torch.channels_last), target),
        "crop": (logits[..., 1:], target[..., 1:]),
        "alignment": (misaligned.copy_(logits), target),
        "channel": (logits, target[:, None]),
        "size": (logits, torch.nn.functional.pad(target, (0, 3, 2, 0), value=255)),
        "images": (logits[:1], target[:1]),
        "a list": ([logits], target),
        "two heads": ([logits, logits[..., ::2]], target),
    }


@pytest.mark.parametrize("path", PATHS)
def test_another_kind_is_seen_at_once(path):
    """After the same module has served one kind: the numbers of a module that has seen no other."""
    logits, target = (t.to(path[1]) for t in example((2, 7, 4, 6), torch.float32))
    criterion = pat_triton.PATLoss(backend=path[0])
    step(criterion, logits, target)
    calls = altered(logits, target)
    for name, (z, y) in calls.items():
        now = step(criterion, z, y)
        again = step(criterion, z, y)
        forget()
        for a, b, c in zip(now, again, step(pat_triton.PATLoss(backend=path[0]), z, y), strict=True):
            assert torch.equal(a, c) and torch.equal(b, c), name


OPTIONS = {
    "ignore_index": 3 + 2**40,
    "reduction": "sum",
    "align_corners": True,
    "gradient": "recompute",
    "weights": Pixel(),
    "curve": "cross_entropy",
    "weight": WEIGHT,
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", OPTIONS)
def test_a_changed_option_is_seen_at_once(name, path):
    logits, target = (t.to(path[1]) for t in enlarged((2, 7, 3, 4), (6, 7)))
    target[target == 255] = 3
    criterion = pat_triton.PATLoss(backend=path[0])
    before = step(criterion, logits, target)
    setattr(criterion, name, OPTIONS[name])
    criterion.to(path[1])
    now = step(criterion, logits, target)
    forget()
    fresh = pat_triton.PATLoss(backend=path[0])
    setattr(fresh, name, OPTIONS[name])
    fresh.to(path[1])
    for a, b in zip(now, step(fresh, logits, target), strict=True):
        assert torch.equal(a, b)
    assert name in ("ignore_index", "gradient") or not torch.equal(now[1], before[1])


@pytest.mark.parametrize("path", PATHS)
def test_modes_are_seen_at_once(path, monkeypatch):
    """Training, gradients, and whether labels are looked at."""
    logits, target = (t.to(path[1]) for t in example((2, 7, 4, 5)))
    criterion = pat_triton.BLVLoss(backend=path[0])
    noisy = step(criterion, logits, target)
    assert not torch.equal(noisy[0], step(criterion.eval(), logits, target)[0])
    assert torch.equal(noisy[0], step(criterion.train(), logits, target)[0])
    leaf = logits.requires_grad_()
    assert criterion(leaf, target).requires_grad
    with torch.no_grad():
        assert not criterion(leaf, target).requires_grad
    with torch.inference_mode():
        assert not criterion(leaf, target).requires_grad
    assert criterion(leaf, target).requires_grad
    if path[0] == "torch":  # looks at labels wherever that is no wait
        return
    wrong = target.clone()
    wrong[0, 0, 0] = 9
    monkeypatch.setattr("pat_triton.checks.labels.CHECKED_DEVICES", ())
    forget()
    assert criterion(leaf, wrong).isnan()
    monkeypatch.setenv("PAT_TRITON_VALIDATE", "1")
    with pytest.raises(ValueError, match="1 label is neither"):
        criterion(leaf, wrong)
    monkeypatch.delenv("PAT_TRITON_VALIDATE")
    assert criterion(leaf, wrong).isnan()
    criterion.validate = True
    with pytest.raises(ValueError, match="1 label is neither"):
        criterion(leaf, wrong)


@pytest.mark.parametrize("path", PATHS)
def test_an_option_that_another_thread_assigns_meanwhile_is_seen(path):
    """A call between the value's assignment and its being known sorts the old options, and does not keep them."""
    logits, target = (t.to(path[1]) for t in example((2, 7, 4, 5)))
    criterion = pat_triton.CrossEntropyLoss(backend=path[0])
    before = criterion(logits, target)

    bases = pat_triton.SegmentationLoss.__bases__

    class Meanwhile(*bases):
        """What nn.Module does of an assignment, interrupted by a call."""

        def __setattr__(self, name, value):
            assert torch.equal(criterion(logits, target), before)
            super().__setattr__(name, value)

    pat_triton.SegmentationLoss.__bases__ = (Meanwhile,)
    try:
        criterion.adjustment = LogPrior()
    finally:
        pat_triton.SegmentationLoss.__bases__ = bases
    truth = pat_triton.BalancedSoftmaxLoss(backend=path[0])(logits, target)
    assert torch.equal(criterion(logits, target), truth) and not torch.equal(truth, before)


@pytest.mark.parametrize("loss", [PAT, PAT_AND_DICE], ids=["PATLoss", "PATLoss+DiceLoss"])
def test_saved_logits_come_back_with_other_strides(loss):
    """As ``torch.autograd.graph.save_on_cpu`` gives them back, contiguous. The next backward finds its own plan."""
    logits, target = tensors("dense")
    criterion, made = loss.ours(TRITON, gradient="recompute"), []
    for hooks in (
        contextlib.nullcontext(),
        torch.autograd.graph.saved_tensors_hooks(lambda t: t.contiguous(), lambda t: t),
        contextlib.nullcontext(),
    ):
        z = logits.clone(memory_format=torch.channels_last).requires_grad_()
        with hooks:
            criterion(z, target).backward()
        made.append(z.grad)
    assert_close("gradient", made[1], made[0], EXACT)
    assert torch.equal(made[2], made[0])

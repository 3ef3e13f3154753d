"""What plans of calls may keep: a bounded number, no memory, no part of the user's, nothing of a call that failed."""

import contextlib
import copy
import dataclasses
import functools
import gc
import pickle
import threading
import types

import pytest
import torch
from calls import TRITON, step, tensors
from cases import EACH, EXACT, GPU, LOSSES, PATHS, assert_close, example
from torch._subclasses.fake_tensor import FakeTensorMode

import pat_triton
from pat_triton.call import forget, plans
from pat_triton.kinds import Cache


@pytest.mark.parametrize("path", PATHS)
def test_a_wrong_call_raises_the_same_every_time(path):
    """Also between right ones of the same module."""
    logits, target = (t.to(path[1]) for t in example((2, 7, 4, 5)))
    criterion = pat_triton.PATLoss(backend=path[0], validate=True)
    wrong = target.clone()
    wrong[0, 0, 0] = 9
    calls = (
        lambda: criterion(logits, wrong),
        lambda: criterion(logits, target.float()),
        lambda: criterion(logits, target.mT),
        lambda: criterion(logits, target, 1),
        lambda: criterion(logits, target, mask_sizes=torch.zeros(2, 7, dtype=torch.int64, device=path[1])),
        lambda: criterion(logits.to_sparse(), target),
    )
    for call in calls:
        said = set()
        for _ in range(4):
            criterion(logits, target)
            with pytest.raises((TypeError, ValueError)) as error:
                call()
            said.add(str(error.value))
        assert len(said) == 1


def test_plans_are_bounded(monkeypatch):
    monkeypatch.setattr(plans, "size", 3)
    criterion = pat_triton.CrossEntropyLoss()
    for width in range(2, 12):
        criterion(torch.zeros(1, 3, width), torch.zeros(1, width, dtype=torch.int64))
    assert len(plans.held) == 3


@pytest.mark.parametrize("loss", LOSSES)
def test_copies_hold_no_plan(loss):
    """Nor does a plan hold a module, a tensor of a call or a number of the user's."""
    criterion = loss.ours(("torch", torch.device("cpu")))
    logits, target = example((2, 7, 3, 4))
    size = len(pickle.dumps(criterion))
    criterion(logits, target)
    for other in (copy.deepcopy(criterion), pickle.loads(pickle.dumps(criterion))):
        assert torch.equal(step(other, logits, target)[1], step(criterion, logits, target)[1])
    assert len(pickle.dumps(criterion)) < size + 2000


@pytest.mark.parametrize("loss", EACH)
def test_plans_keep_no_memory(loss):
    """They may be made while a graph of the GPU is captured, whose memory nobody else may keep."""
    logits, target = tensors("dense")
    forget()
    criterion = loss.ours(TRITON)
    criterion([logits.requires_grad_(), logits], target, return_stats=True)[0].backward()
    kept, seen, waiting = [], set(), list(plans.held.values())
    while waiting:
        it = waiting.pop()
        if id(it) in seen:
            continue
        seen.add(id(it))
        if isinstance(it, torch.Tensor):
            kept.append(it)
        elif isinstance(it, dict | list | tuple | functools.partial) or type(it).__module__.startswith("pat_triton."):
            waiting += [part for part in gc.get_referents(it) if not isinstance(part, type | types.ModuleType)]
    assert kept
    assert not [t.shape for t in kept if t.untyped_storage().nbytes()]


@pytest.mark.parametrize("path", PATHS if GPU.type != "cpu" else PATHS[:1])  # the interpreter is one for all threads
def test_threads_share_a_module(path):
    criterion = pat_triton.PATLoss(backend=path[0])
    cases = [[t.to(path[1]) for t in example((2, 7, 3, 4 + n % 2), seed=n)] for n in range(6)]
    truth = [step(criterion, *case) for case in cases]
    forget()
    found = [None] * len(cases)

    def work(n):
        for _ in range(3):
            found[n] = step(criterion, *cases[n])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(cases))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ours, theirs in zip(found, truth, strict=True):
        assert all(map(torch.equal, ours, theirs))


@dataclasses.dataclass(frozen=True)
class Halved:
    """A rule of the user's own, which may read anything."""

    def __call__(self, labels):
        return 0.5, labels.labelled()


@pytest.mark.parametrize("path", PATHS)
def test_parts_of_the_users_own(path):
    """Are asked at every call, and nothing of them is kept."""
    logits, target = (t.to(path[1]) for t in example((2, 7, 4, 5)))
    criterion = pat_triton.SegmentationLoss(weights=Halved(), backend=path[0])
    kept = len(plans.held)
    plain = step(pat_triton.CrossEntropyLoss(backend=path[0]), logits, target)
    for a, b in zip(step(criterion, logits, target), plain, strict=True):
        assert_close("half", a.cpu(), b.cpu() / 2, EXACT)
    assert len(plans.held) == kept + 1


def test_a_full_cache_serves_several_threads():
    cache, raised = Cache(4), []

    def work(n):
        try:
            for i in range(3000):
                cache.of((n, i % 7), object)
        except RuntimeError as error:
            raised.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not raised
    assert len(cache.held) <= 4


@pytest.mark.parametrize("path", PATHS)
def test_a_plan_of_tensors_without_numbers_is_not_kept(path):
    logits, target = (t.to(path[1]) for t in example((2, 7, 4, 5)))
    criterion = pat_triton.PATLoss(backend=path[0])
    truth = pat_triton.PATLoss(backend=path[0])(logits, target)
    forget()
    with FakeTensorMode(allow_non_fake_inputs=True), contextlib.suppress(Exception):
        criterion(logits, target)
    assert torch.equal(criterion(logits, target), truth)


def test_memory_that_the_kernels_cannot_take():
    logits, target = (t.to(GPU) for t in example((2, 7, 4, 5)))
    negative = torch.complex(torch.zeros_like(logits), -logits).conj().imag
    assert torch.equal(negative, logits)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^logits: got a view whose numbers are negated .*; pass logits.resolve"):
            pat_triton.PATLoss(backend="triton")(negative, target)


@pytest.mark.parametrize("path", PATHS)
def test_backward_again_says_what_is_wrong(path):
    """After a backward that handed the gradient on, with and without retain_graph, and where the loss was changed."""
    logits, target = (t.to(path[1]) for t in example((2, 7, 4, 5)))
    criterion, z = pat_triton.PATLoss(backend=path[0]), logits.requires_grad_()
    value = criterion(z, target)
    torch.autograd.grad(value, z)
    for again in (False, True):
        with pytest.raises(RuntimeError, match="second time"):
            torch.autograd.grad(value, z, retain_graph=again)
    value = criterion(z, target)
    value /= 2
    with pytest.raises(RuntimeError, match=r"may not be changed in place before its gradient is taken"):
        torch.autograd.grad(value, z, create_graph=True)

"""The torch backend's threads: they change no bit, serve everybody, keep to torch's number and outlive failures."""

import contextlib
import dataclasses
import os
import subprocess
import sys
import threading

import pytest
import torch
from cases import BLV, LDAM, PAT, example

import pat_triton
from pat_triton.backends.torch import slices, source, workers, workspace
from pat_triton.backends.torch.threads import alone, can_be_alone
from pat_triton.curves import Exponential
from pat_triton.weights import MaskSize

TORCH = "torch", "cpu"

pytestmark = pytest.mark.skipif(not can_be_alone(), reason="torch's OpenMP is not to be found: no threads but torch's")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Many, of a few rows."""
    monkeypatch.setattr(source, "CPU_CHUNK", 2000)
    monkeypatch.setattr(workers, "SHARE", 1)


@contextlib.contextmanager
def threads(number):
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def tensors(resized=False):
    logits, _ = example((3, 7, 12, 16), torch.float32)
    _, target = example((3, 7, 48, 64) if resized else (3, 7, 12, 16))
    return logits.requires_grad_(), target


def step(criterion, logits, target):
    torch.manual_seed(0)
    value, statistics = criterion(logits, target, return_stats=True)
    return value.detach(), *torch.autograd.grad(value, logits), *statistics


def same(a, b):
    return all(map(torch.equal, a, b))


@pytest.mark.parametrize("resized", [False, True], ids=["dense", "resized"])
@pytest.mark.parametrize("options", [{}, {"gradient": "recompute"}], ids=["one_pass", "recompute"])
@pytest.mark.parametrize("loss", [PAT, LDAM, BLV], ids=lambda loss: loss.name)
def test_the_number_of_threads_changes_no_bit(loss, options, resized):
    logits, target = tensors(resized)
    criterion = loss.ours(TORCH, **options)
    made = []
    for number in (1, 2, 3, 5):
        with threads(number):
            made += [step(criterion, logits, target) for _ in range(3)]
    assert all(same(made[0], other) for other in made[1:])


@pytest.mark.parametrize(("pixels", "chunks"), [(3 * 192 // 2 + 1, 1), (3 * 192 // 2, 3)])
def test_what_two_could_not_share_is_one_chunk(pixels, chunks, monkeypatch):
    logits, target = tensors()
    monkeypatch.setattr(source, "CPU_CHUNK", pixels * (7 + source.PER_PIXEL))
    seen.clear()
    pat_triton.SegmentationLoss(Watched(), weights=MaskSize())(logits, target).backward()
    assert len(seen) == chunks


def test_neighbouring_chunks_are_of_different_images():
    """Two threads that touch a page of the gradient for the first time both clear it."""
    parts = slices.slices((2, 6, 5), 10)
    assert [part[0] for part in parts] == [slice(0, 1), slice(1, 2)] * 3
    assert [part[1] for part in parts[::2]] == [slice(0, 2), slice(2, 4), slice(4, 6)]


def test_what_is_finished_is_finished_in_order():
    done = []
    with threads(5):
        workers.in_order(range(100), 100, torch.zeros(1), lambda n, _: n, lambda n, made: done.append((n, made)))
    assert done == [(n, n) for n in range(100)]


@dataclasses.dataclass(frozen=True)
class Watched(Exponential):
    """PAT's, which tells in which threads it was called, and how many threads an operator could have there."""

    name = "watched"

    def __call__(self, u, p, q):
        seen.append((threading.current_thread(), torch.get_num_threads(), torch.is_grad_enabled()))
        return super().__call__(u, p, q)


seen = []


@pytest.mark.parametrize("number", [1, 2, 3])
def test_torchs_number_of_threads_is_kept_to(number):
    logits, target = tensors()
    seen.clear()
    with threads(number):
        pat_triton.SegmentationLoss(Watched(), weights=MaskSize())(logits, target).backward()
        assert torch.get_num_threads() == number
    assert len({thread for thread, _, _ in seen}) <= number
    assert {(inside, grad) for _, inside, grad in seen} == {(1, False)}


def test_no_other_thread_sees_that_one_is_alone():
    told = []
    with threads(3), alone(True):
        thread = threading.Thread(target=lambda: told.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert torch.get_num_threads() == 1
    assert told == [3]


def test_several_callers_at_once():
    logits, target = tensors()
    criterion = pat_triton.PATLoss()
    alone_ = step(criterion, logits, target)
    failed = []

    def call():
        failed.extend(1 for _ in range(20) if not same(step(criterion, logits, target), alone_))

    with threads(3):
        callers = [threading.Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(60)
    assert not failed and not any(caller.is_alive() for caller in callers)


def test_a_call_inside_anothers_chunk():
    logits, target = tensors()

    @dataclasses.dataclass(frozen=True)
    class Nested(Exponential):
        name = "nested in a worker"

        def __call__(self, u, p, q):
            pat_triton.CrossEntropyLoss()(-logits.detach(), target)
            return super().__call__(u, p, q)

    with threads(3):
        nested = step(pat_triton.SegmentationLoss(Nested(), weights=MaskSize()), logits, target)
        assert same(nested, step(pat_triton.PATLoss(), logits, target))


def test_an_exception_reaches_the_caller_and_the_next_call_is_well():
    logits, target = tensors()
    main = threading.current_thread()

    @dataclasses.dataclass(frozen=True)
    class Broken(Exponential):
        name = "broken in a worker"

        def __call__(self, u, p, q):
            if threading.current_thread() is not main:
                raise ArithmeticError("of a helper")
            helped.wait(10)  # a helper comes, and fails
            return super().__call__(u, p, q)

    helped = threading.Event()
    failing = workers._Shift.help

    def help(shift):
        try:
            failing(shift)
        finally:
            helped.set()

    with pytest.MonkeyPatch.context() as patch, threads(2):
        patch.setattr(workers._Shift, "help", help)
        with pytest.raises(ArithmeticError, match="of a helper"):
            pat_triton.SegmentationLoss(Broken(), weights=MaskSize())(logits, target)
    with threads(1):
        expected = step(pat_triton.PATLoss(), logits, target)
    with threads(2):
        assert same(step(pat_triton.PATLoss(), logits, target), expected)


def test_inference_mode_is_the_callers():
    logits, target = tensors(resized=True)
    with threads(3):
        expected = pat_triton.PATLoss()(logits, target).detach()
        labels = pat_triton.predict(logits, target.shape[1:])
        with torch.inference_mode():
            assert torch.equal(pat_triton.PATLoss()(logits, target), expected)
            assert torch.equal(pat_triton.predict(logits, target.shape[1:]), labels)


def test_scratch_memory_is_that_of_the_threads():
    """A workspace for each that worked, however many calls there were, none of more than three chunks and vectors."""
    logits, target = tensors()
    workspace.forget()
    with threads(3):
        for _ in range(20):
            pat_triton.PATLoss()(logits, target).backward()
    assert 1 <= len(workspace.kept()) <= 3
    assert max(workspace.kept()) <= 3 * 4 * 2000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_has_helpers_of_its_own():
    code = """
import os, sys, torch, pat_triton
from pat_triton.backends.torch import source, workers
source.CPU_CHUNK, workers.SHARE = 2000, 1
torch.set_num_threads(3)
logits, target = torch.randn(2, 5, 32, 32), torch.randint(0, 5, (2, 32, 32))
loss = pat_triton.PATLoss()
expected = loss(logits, target)
assert workers._pool is not None
child = os.fork()
if child == 0:
    assert workers._pool is None
    for _ in range(3):
        assert torch.equal(loss(logits, target), expected)
    assert workers._pool is not None
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert torch.equal(loss(logits, target), expected)
"""
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", code], check=True, timeout=120)


def test_nothing_begins_at_import_and_everything_ends_at_exit():
    code = """
import atexit, threading, torch
before = threading.enumerate()
import pat_triton
from pat_triton.backends.torch import source, workers
assert threading.enumerate() == before and workers._pool is None
source.CPU_CHUNK, workers.SHARE = 2000, 1
torch.set_num_threads(3)
logits, target = torch.randn(2, 5, 32, 32), torch.randint(0, 5, (2, 32, 32))
expected = pat_triton.PATLoss()(logits, target)
assert 1 <= len(threading.enumerate()) - len(before) <= 2
# When the interpreter ends no thread begins, and a loss is still a loss.
atexit.register(lambda: print(torch.equal(pat_triton.PATLoss()(logits, target), expected)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "True\n"

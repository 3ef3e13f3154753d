"""Two real processes with parts of one batch: the mean over them is the loss and the gradient of the whole."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from cases import EXACT, LOSSES, NOISY, PAT_AND_DICE, Loss, assert_close, example
from processes import SEED, SHAPE

import pat_triton

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results(made_once):
    """What each rank saw: two dictionaries of (value, gradient)."""
    where = made_once("processes", start)
    return [torch.load(where / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def start(where):
    """Both processes, which leave their results there."""
    command = [sys.executable, ROOT / "tests/processes.py", where]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen([*command, str(rank)], env=environment, stderr=subprocess.PIPE, text=True) for rank in (0, 1)
    ]
    try:
        for process in started:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
    finally:
        for process in started:
            process.kill()


def whole(loss, reduction="mean", size=None, training=True):
    """One process with the batch."""
    logits, target = example(SHAPE)
    if size:
        _, target = example((*SHAPE[:2], *size))
    z = logits.clone().requires_grad_()
    torch.manual_seed(SEED)
    value = loss.ours(("torch", torch.device("cpu")), reduction=reduction).train(training)(z, target)
    value.backward(torch.ones_like(value))
    return value.detach(), z.grad


def assert_mean(parts, truth, sharding, tolerance=EXACT):
    """The mean over the processes; a process has no gradient for what the other has."""
    values, gradients = zip(*parts, strict=True)
    dim = {"images": 0, "rows": -2}[sharding]
    assert_close("loss", sum(values) / 2, truth[0], tolerance)
    assert_close("gradient", torch.cat(gradients, dim) / 2, truth[1], tolerance)


@pytest.mark.parametrize("sharding", ["images", "rows"])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_mean_over_processes_is_the_whole(loss, sharding, results, request):
    row = request.node.callspec.id.removesuffix(f"-{sharding}")
    for reduction in ("mean", "sum"):
        truth = whole(loss, reduction)
        assert_mean([r[row, sharding, reduction] for r in results], truth, sharding)
    if loss.has_regions:
        return
    values, gradients = zip(*(r[row, sharding, "none"] for r in results), strict=True)
    truth = whole(loss, "none")
    assert_close("map", torch.cat(values, {"images": 0, "rows": 1}[sharding]), truth[0], EXACT)
    assert_close("gradient", torch.cat(gradients, {"images": 0, "rows": -2}[sharding]), truth[1], EXACT)


@pytest.mark.parametrize("sharding", ["images", "rows"])
def test_the_kernels_draw_the_noise_of_the_whole(sharding, results):
    assert_mean([r["triton", sharding] for r in results], whole(Loss("BLVLoss")), sharding, NOISY)


def test_resized_compiled_and_a_group(results):
    assert_mean([r["resized"] for r in results], whole(Loss("BLVLoss"), size=(9, 8)), "images")
    assert_mean([r["compiled"] for r in results], whole(Loss("BLVLoss")), "images")
    assert_mean([r["compiled PAT"] for r in results], whole(Loss("PATLoss")), "images")
    for sharding in ("images", "rows"):
        assert_mean([r["compiled sum", sharding] for r in results], whole(PAT_AND_DICE), sharding)
    assert_mean([r["group"] for r in results], whole(Loss("PATLoss")), "rows")


def test_in_eval_mode_each_is_alone(results):
    logits, target = example(SHAPE)
    for (value, _), part in zip([r["alone"] for r in results], (slice(2), slice(2, 3)), strict=True):
        assert_close("loss", value, pat_triton.PATLoss().eval()(logits[part], target[part]), EXACT)


def test_a_graph_finds_its_group(results):
    """Here one of a single process."""
    logits, target = example(SHAPE)
    for (value, _), part in zip([r["compiled in a group"] for r in results], (slice(2), slice(2, 3)), strict=True):
        alone = PAT_AND_DICE.ours(("torch", torch.device("cpu")))(logits[part], target[part])
        assert_close("loss", value, alone, EXACT)


def test_mistakes_are_said_on_every_process(results):
    here, there = (r["errors"] for r in results)
    assert here[0] == "target: labels of another process are neither a class nor ignored; its error says which"
    assert there[0].startswith("target: 1 label is neither a class 0..6 nor ignore_index=255: 40 (1 pixel)")
    assert here[1] == there[1] == (
        "sharding: 'rows' expects logits of the target's size, got shape (3, 7, 6, 5) for a target of shape "
        "(3, 12, 5); resizing would need rows that other processes have"
    )  # fmt: skip
    assert (
        here[2] == there[2] == ("sharding: 'rows' expects rows of the same images on every process, got [3, 2] images")
    )
    assert here[3] == "mask_sizes: those of another process are too small; its error says which"
    assert there[3].startswith("mask_sizes: got 0 for class ")


def test_alone_without_a_group():
    message = (
        r"^process_group: torch.distributed is not initialised; call torch.distributed.init_process_group first "
        r"\(under torchrun\), or leave process_group=None on one process$"
    )
    with pytest.raises(ValueError, match=message):
        pat_triton.PATLoss(process_group="world")(*example(SHAPE))


def test_one_process_is_a_group(tmp_path):
    """Bit by bit what it is without one; and the module is copied and pickled with 'world'."""
    dist.init_process_group("gloo", store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    try:
        logits, target = example(SHAPE)
        for name in ("PATLoss", "BLVLoss", "ClassBalancedLoss"):
            for sharding in ("images", "rows"):
                shared = getattr(pat_triton, name)(process_group="world", sharding=sharding)
                torch.manual_seed(SEED)
                alone = getattr(pat_triton, name)()(logits, target)
                for criterion in (shared, copy.deepcopy(shared), pickle.loads(pickle.dumps(shared))):
                    torch.manual_seed(SEED)
                    assert torch.equal(criterion(logits, target), alone)
        group, later = pat_triton.PATLoss(process_group=dist.group.WORLD), pat_triton.PATLoss()
        later.process_group = group.process_group
        assert later.process_group is group.process_group
        assert torch.equal(group(logits, target), pat_triton.PATLoss()(logits, target))
        assert torch.equal(copy.deepcopy(group)(logits, target), group(logits, target))
        with pytest.raises(TypeError, match=r"^process_group: a ProcessGroup cannot be pickled; 'world' can$"):
            pickle.dumps(group)
    finally:
        dist.destroy_process_group()

"""Training in several processes is that of one, and a run that is killed goes on as if it had not been."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from camvid import camvid

import pat_triton
from benchmarks.__main__ import main
from benchmarks.training import checkpoint
from benchmarks.training.arguments import complete
from benchmarks.training.batches import Batches
from benchmarks.training.datasets import Held
from benchmarks.training.datasets.augmentation import Augmentation
from benchmarks.training.loop import Training
from benchmarks.training.networks.pyramid import PyramidNet

ROOT = Path(__file__).parents[2]
KILLED = str(ROOT / "tests" / "killed.py")
LOSSES = ("CrossEntropyLoss", "PATLoss")
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(autouse=True)
def poison():
    """The models are not ours to poison: pooling and batch norm of torch itself use empty memory."""


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch):
    monkeypatch.setattr("benchmarks.speed.timing.MOST", 1)


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """Three images, so that batches of two reach across epochs."""
    root = camvid(tmp_path_factory.mktemp("data") / "camvid")
    options = f"--data camvid --root {root} --size 32 48 --steps 6 --batch 2 --width 4 --device cpu --checkpoint 2"
    return ("train", *options.split(), "--out")


@pytest.fixture(scope="module")
def whole(arguments, tmp_path_factory):
    """The folder of a run by one process that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.speed.timing.MOST", 1)
        patch.setattr("sys.argv", ["benchmarks", *arguments, str(out)])
        assert main() == 0
    return folder_of(out)


@pytest.fixture(scope="module")
def shared(arguments, tmp_path_factory):
    """The folder of such a run by two processes, and what they printed."""
    out = tmp_path_factory.mktemp("shared")
    done = python("-m", *TORCHRUN, "-m", "benchmarks", *arguments, str(out))
    assert done.returncode == 0, done.stderr
    return folder_of(out), done


def python(*arguments):
    """In one thread, as the tests: another number of threads adds in another order."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)


def folder_of(out):
    (folder,) = (path for path in out.iterdir() if path.is_dir())  # class counts lie beside it
    return folder


def losses(folder):
    with open(folder / "losses.csv", newline="") as file:
        return torch.tensor([[float(row[name]) for name in LOSSES] for row in csv.DictReader(file)])


def assert_same(folder, other):
    """To the bit: the loss of every step, what was trained, and how good it is."""
    assert torch.equal(losses(folder), losses(other))
    a, b = (checkpoint.read(part)["training"]["model"] for part in (folder, other))
    assert all(torch.equal(a[name], b[name]) for name in a)
    a, b = (json.loads((part / "results.json").read_text())["losses"] for part in (folder, other))
    assert all(a[name]["scores"] == b[name]["scores"] for name in a)


def test_two_processes_train_as_one(whole, shared):
    folder, done = shared
    # The loss of a step in fp32 is rounded by 1e-7; Adam makes a step of full size out of the smallest gradient,
    # rounded or not, by which 5e-6 were seen after twelve. Statistics of half a batch make 1e-2.
    torch.testing.assert_close(losses(folder), losses(whole), rtol=1e-4, atol=0)
    assert done.stdout.count("Same network") == 1
    assert "arning" not in done.stderr


@pytest.mark.parametrize(
    ("when", "count", "kept"),
    # Six steps with cross-entropy, then with PAT, and a checkpoint every other.
    [("step", 9, ("PATLoss", 2)), ("half", 4, ("CrossEntropyLoss", 6))],
)
def test_a_killed_run_goes_on(when, count, kept, arguments, whole, job, tmp_path):
    done = python(KILLED, when, str(count), *arguments, str(tmp_path))
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder = folder_of(tmp_path)
    assert (folder / checkpoint.PARTIAL).exists() == (when != "step")
    state = torch.load(folder / checkpoint.NAME)
    assert (LOSSES[len(state["outcomes"])], len(state["training"]["losses"])) == kept

    code, out = job("train", "--resume", folder)
    assert code == 0, out.err
    assert_same(folder, whole)


def test_a_killed_run_of_two_processes_goes_on(arguments, shared, tmp_path):
    done = python("-m", *TORCHRUN, KILLED, "step", "9", *arguments, str(tmp_path))
    assert done.returncode == 1
    assert f"Signal {signal.SIGKILL}" in done.stderr
    folder = folder_of(tmp_path)
    assert not (folder / "results.json").exists()
    done = python("-m", *TORCHRUN, "-m", "benchmarks", "train", "--resume", str(folder))
    assert done.returncode == 0, done.stderr
    assert_same(folder, shared[0])


@pytest.mark.parametrize("options", [{}, {"scale": (0.5, 2.0), "amp": "fp16", "optimizer": "sgd", "schedule": "poly"}])
def test_every_state_goes_on(options, tmp_path):
    """BLV's noise, and with the options random scales, a gradient scaler and momentum; batches are made ahead."""
    rng = np.random.default_rng(0)
    split = Held(rng.integers(0, 256, (3, 32, 32, 3), np.uint8), rng.integers(0, 4, (3, 32, 32), np.uint8))
    args = complete({"steps": 4, "batch": 2, "size": (32, 32), "lr": 1e-3} | options)

    def training():
        torch.manual_seed(0)
        batches = Batches(split, 2, 0, Augmentation(args.scale, (32, 32)))
        return Training(PyramidNet(4, 2), pat_triton.BLVLoss(), batches, args, torch.device("cpu"))

    def steps(training, count):
        for _ in range(count):
            training.step()
        return training.losses()

    expected = steps(training(), 4)
    begun = training()
    steps(begun, 2)
    checkpoint.write(tmp_path, {"arguments": {}, "data": {}, "outcomes": [], "training": begun.state_dict()})
    torch.rand(1)
    resumed = training()
    resumed.load_state_dict(checkpoint.read(tmp_path)["training"])
    assert steps(resumed, 2) == expected


def test_a_finished_run_is_judged_again(whole, job, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "copy")
    (folder / "results.json").unlink()
    (folder / checkpoint.PARTIAL).write_bytes(b"half a")
    code, out = job("train", "--resume", folder)
    assert code == 0, out.err
    assert not (folder / checkpoint.PARTIAL).exists()
    assert_same(folder, whole)


def saved(thing):
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


def changed(data, **changes):
    return saved(torch.load(io.BytesIO(data)) | changes)


EXPECTED = "expected a checkpoint of format 2, written by python -m benchmarks train"
UNREADABLE = {  # what becomes of the bytes of a good one, and the error
    "truncated": (lambda data: data[:-1], f"found {{size}} bytes that torch.load cannot read, {EXPECTED}"),
    "empty": (lambda _: b"", f"found 0 bytes that torch.load cannot read, {EXPECTED}"),
    "text": (lambda _: b"step,loss\n", f"found 10 bytes that torch.load cannot read, {EXPECTED}"),
    "code": (lambda data: changed(data, path=ROOT), f"found {{size}} bytes that torch.load cannot read, {EXPECTED}"),
    "tensor": (lambda _: saved(torch.zeros(3)), f"found a Tensor without a format number, {EXPECTED}"),
    "weights": (lambda _: saved({"bias": torch.zeros(3)}), f"found a dict without a format number, {EXPECTED}"),
    "format": (lambda data: changed(data, format=1), f"found format 1, {EXPECTED}"),
    "incomplete": (
        lambda _: saved({"format": 2, "data": {}}),
        f"found none of arguments, outcomes, training, {EXPECTED}",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_checkpoint_that_cannot_be_used(name, whole, job, tmp_path):
    change, message = UNREADABLE[name]
    path = tmp_path / checkpoint.NAME
    path.write_bytes(change((whole / checkpoint.NAME).read_bytes()))
    code, out = job("train", "--resume", tmp_path)
    assert code == 2
    assert out.err == f"python -m benchmarks: error: {path}: {message.format(size=path.stat().st_size)}\n"


def test_other_data_is_no_resumption(whole, job, tmp_path):
    """Images that went since, or labels that changed."""
    path = tmp_path / checkpoint.NAME
    state = torch.load(whole / checkpoint.NAME)
    for change in ({"images": [4, 3, 0]}, {"pixels": [1] * 11}):
        path.write_bytes(saved(state | {"data": state["data"] | change}))
        code, out = job("train", "--resume", tmp_path)
        assert code == 2
        assert f"{path}: found a training on other data: images and pixels of each class were {{'images': " in out.err
        assert "those of camvid are now" in out.err


def test_no_checkpoint(job, tmp_path):
    code, out = job("train", "--resume", tmp_path)
    assert code == 2
    assert out.err == f"python -m benchmarks: error: {tmp_path / checkpoint.NAME}: found no such file, {EXPECTED}\n"


def test_a_checkpoint_has_its_name_when_it_is_on_the_disk(monkeypatch, tmp_path):
    done = []

    def watched(function, what):
        def call(*arguments):
            done.append(what(*arguments))
            return function(*arguments)

        return call

    monkeypatch.setattr(os, "fsync", watched(os.fsync, lambda file: os.fstat(file).st_ino))
    monkeypatch.setattr(os, "replace", watched(os.replace, lambda before, after: (before, after)))
    checkpoint.write(tmp_path, {})
    path = tmp_path / checkpoint.NAME
    assert done == [path.stat().st_ino, (tmp_path / checkpoint.PARTIAL, path), tmp_path.stat().st_ino]


def test_resume_stands_alone(job, tmp_path):
    code, out = job("train", "--resume", tmp_path, "--seed", 0, "--steps", 10)
    assert code == 2
    assert "--resume: got --seed, --steps too, expected no other option" in out.err

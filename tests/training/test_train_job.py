"""``python -m benchmarks train``, small: on drawn scenes, on a data folder, and with what cannot be used."""

import json

import numpy as np
import pytest
import torch
from camvid import camvid
from PIL import Image

from benchmarks.training.datasets import load


@pytest.fixture(autouse=True)
def poison():
    """The models are not ours to poison: pooling and batch norm of torch itself use empty memory."""


def test_train_on_drawn_scenes(job, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.training.datasets.NUMBER_OF_SCENES", {"train": 6, "val": 5})
    for _ in range(2):  # the second run overwrites nothing
        losses = ("CrossEntropyLoss", "PATLoss + 0.5 * DiceLoss")
        code, out = job("train", "--size", 32, 64, "--steps", 2, "--width", 4, "--loss", *losses, "--out", tmp_path)
        assert code == 0, out.err
        for row in ("mean, tail", "pixel accuracy", "loss, ms a step: ours", "peak MiB", "pedestrian"):
            assert row in out.out
    runs = sorted(tmp_path.iterdir())
    assert len(runs) == 2
    for run in runs:
        with Image.open(run / "predictions.png") as picture:
            assert picture.width > 500
        results = json.loads((run / "results.json").read_text())
        assert results["versions"]["torch"] == torch.__version__


def test_the_same_seed_draws_the_same_scenes(monkeypatch):
    monkeypatch.setattr("benchmarks.training.datasets.NUMBER_OF_SCENES", {"train": 3, "val": 2})
    a, b, c = (load("scenes", None, (32, 64), seed) for seed in (1, 1, 2))
    assert np.array_equal(a.train.images, b.train.images)
    assert np.array_equal(a.val.labels, b.val.labels)
    assert not np.array_equal(a.train.images, c.train.images)


def test_scenes_have_a_long_tail(monkeypatch):
    monkeypatch.setattr("benchmarks.training.datasets.NUMBER_OF_SCENES", {"train": 60, "val": 1})
    data = load("scenes", None, (64, 128), 0)
    assert data.counts.min() > 0
    assert data.counts.max() / data.counts.min() > 100
    assert (data.train.labels == 255).any()


def test_train_on_camvid(job, tmp_path):
    root = camvid(tmp_path / "camvid")
    arguments = ("--data", "camvid", "--root", root, "--size", 32, 48, "--steps", 2, "--width", 4)
    code, out = job("train", *arguments, "--out", tmp_path / "runs")
    assert code == 0, out.err
    data = load("camvid", root, (32, 48), 0)
    with Image.open(root / "trainannot" / "0.png") as image:
        raw = np.asarray(image)
    assert np.array_equal(data.train.labels[0], np.where(raw == 11, 255, raw))


def test_a_broken_file_is_named_before_anything_is_written(job, tmp_path):
    """What else can be wrong with files, and how it is said: test_errors."""
    root = camvid(tmp_path / "camvid")
    (root / "train" / "1.jpg").write_bytes(b"not an image")
    code, out = job("train", "--data", "camvid", "--root", root, "--size", 32, 48, "--out", tmp_path / "runs")
    assert code == 2
    assert "error: " in out.err and "1.jpg: found 12 bytes that cannot be decoded" in out.err
    assert "Traceback" not in out.err
    assert not (tmp_path / "runs").exists()


def test_train_options_that_cannot_be_used(job):
    assert "--data camvid needs --root" in job("train", "--data", "camvid")[1].err
    assert "--device: got 'gpu'" in job("train", "--device", "gpu")[1].err

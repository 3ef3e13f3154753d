"""What the options of a training do."""

import json
from argparse import Namespace

import numpy as np
import pytest
import torch
from camvid import camvid
from PIL import Image
from torch import nn

import pat_triton
from benchmarks.training import comparison, parallel
from benchmarks.training.arguments import complete
from benchmarks.training.batches import Batches
from benchmarks.training.datasets import Data, Held
from benchmarks.training.datasets.augmentation import Augmentation
from benchmarks.training.datasets.catalogue import SCENES
from benchmarks.training.evaluate import Judge
from benchmarks.training.expression import parse
from benchmarks.training.loop import Training
from benchmarks.training.networks.pyramid import PyramidNet
from benchmarks.training.schedule import share_of_rate

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def poison():
    """The models are not ours to poison: pooling and batch norm of torch itself use empty memory."""


def split(seed=0, count=3):
    rng = np.random.default_rng(seed)
    return Held(rng.integers(0, 256, (count, 32, 32, 3), np.uint8), rng.integers(0, 12, (count, 32, 32), np.uint8))


def training(**options) -> Training:
    args = complete({"steps": 6, "batch": 2, "size": (32, 32), "lr": 0.01} | options)
    torch.manual_seed(0)
    return Training(PyramidNet(12, 2), pat_triton.PATLoss(), Batches(split(), 2, 0), args, CPU)


@pytest.mark.parametrize("schedule", ["cosine", "poly", "constant"])
def test_the_learning_rate_follows_its_schedule(schedule):
    made = training(schedule=schedule, warmup=0.5)
    rates = []
    for _ in range(6):
        made.step()
        rates.append(made.optimizer.param_groups[0]["lr"])
    assert rates == [0.01 * share_of_rate(schedule, step / 6, 0.5) for step in range(6)]


@pytest.mark.parametrize(("amp", "dtype"), [("none", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_the_loss_gets_the_logits_of_autocast(amp, dtype):
    made = training(amp=amp)
    seen = []
    made.loss.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    made.step()
    assert seen == [dtype]


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_the_optimizer_is_the_one_asked_for(name, kind):
    made = training(optimizer=name, weight_decay=0.03).optimizer
    assert type(made) is kind
    assert made.param_groups[0]["weight_decay"] == 0.03
    assert made.param_groups[0].get("momentum", 0.9) == 0.9


def test_images_are_scaled_and_cropped_as_asked_for():
    data = Data(SCENES, split(), split(), None, torch.ones(12))
    args = complete({"batch": 2, "size": (32, 32), "scale": (0.5, 2.0), "crop": (32, 48)})
    assert comparison._batches(data, args).augmentation == Augmentation((0.5, 2.0), (32, 48))
    images, labels = next(comparison._batches(data, args))
    assert (images.shape, labels.shape) == ((2, 32, 48, 3), (2, 32, 48))


@pytest.mark.parametrize(("model", "align_corners"), [("pyramid", False), ("deeplabv3+", True)])
def test_the_loss_is_told_how_the_head_would_enlarge(model, align_corners):
    data = Data(SCENES, split(), split(), None, torch.arange(12))
    criterion = comparison._criterion(parse("BLVLoss"), data, Namespace(model=model), CPU)
    assert criterion.align_corners == align_corners
    assert criterion.class_counts.tolist() == list(range(12))


def test_a_batch_of_one_that_cannot_be_normalised():
    made = training(batch=1)
    made.batches.batch = 1
    with pytest.raises(ValueError, match="--batch: got 1 image in a process, with features of 1 x 1"):
        made.step()


def judged(model, images, criterion=None):
    return Judge(model, criterion or pat_triton.PATLoss(), CPU, 2).scores(images, torch.arange(12) > 5)


def test_scores_are_those_of_all_batches():
    """Of three images in batches of two and one, against counting by hand."""
    torch.manual_seed(0)
    model, images = PyramidNet(12, 2), split()
    scores = judged(model, images)
    labels = Judge(model, pat_triton.PATLoss(), CPU, 3).labels(images, [0, 1, 2]).numpy()
    assert scores.pixel_accuracy == pytest.approx((labels == images.labels).mean())
    hits = [((labels == c) & (images.labels == c)).sum() for c in range(12)]
    unions = [((labels == c) | (images.labels == c)).sum() for c in range(12)]
    iou = [hit / union for hit, union in zip(hits, unions, strict=True)]
    assert scores.iou == pytest.approx(iou)
    assert scores.miou == pytest.approx(np.mean(iou))
    assert scores.tail_miou == pytest.approx(np.mean(iou[6:]))
    assert scores.head_miou == pytest.approx(np.mean(iou[:6]))
    losses = [judged(model, Held(images.images[i : i + 1], images.labels[i : i + 1])).loss_by_class for i in range(3)]
    assert scores.loss_by_class == pytest.approx(np.mean(losses, 0), rel=1e-5)


@pytest.mark.parametrize("criterion", [pat_triton.PATLoss(), pat_triton.DiceLoss()])
def test_a_network_that_diverged_has_no_scores(criterion):
    """Its logits are nan, and the first class the largest of them."""
    model = PyramidNet(12, 2)
    nn.init.constant_(model.head[-1].bias, torch.nan)
    scores = judged(model, split(), criterion)
    assert all(np.isnan(value) for value in (scores.miou, scores.tail_miou, scores.pixel_accuracy, scores.dice_error))
    assert np.isnan(scores.iou).all()


def folder(root, values):
    """A folder of images and labels of these, two to train on and one to judge."""
    for name in ("train/a", "train/b", "val/c"):
        for tree in ("images", "labels"):
            (root / tree / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (48, 32)).save(root / "images" / f"{name}.JPEG")
        Image.fromarray(np.resize(np.array(values, np.uint8), (32, 48))).save(root / "labels" / f"{name}.png")
    return root


def trained(job, tmp_path, *options):
    return job(
        "train", "--root", tmp_path / "data", "--size", 32, 48, "--steps", 1, "--batch", 2, "--width", 2,
        "--loss", "PATLoss", "--no-measure", "--out", tmp_path / "runs", *options,
    )  # fmt: skip


def test_a_folder_of_ones_own(job, tmp_path):
    """Its options are told by the help, kept by the run, and known to it when it goes on; what is used is said."""
    root = folder(tmp_path / "data", [1, 2, 3, 9])
    (root / "images" / "train" / "[red]").write_text("")
    options = ("--data", "folder", "--classes", 3, "--labels-from", 1, "--ignore", 9, 255)
    code, out = trained(job, tmp_path, *options)
    assert code == 0, out.err
    assert (
        f"train: 2 images of 3 files in {root}/images/train are used; left out: 1 of unknown endings ([red])" in out.out
    )
    assert f"val: 1 images of 1 files in {root}/images/val are used\n" in out.out
    assert out.err == ""
    (file,) = (tmp_path / "runs").glob("*/results.json")
    results = json.loads(file.read_text())
    assert results["training_pixels"] == {f"class {i}": 768 for i in (1, 2, 3)}
    assert (results["arguments"]["labels_from"], results["arguments"]["ignore"]) == (1, [9, 255])
    code, out = job("train", "--resume", file.parent)
    assert code == 0, out.err


def test_warnings_about_labels(job, tmp_path):
    """On stderr, even where nothing else is printed."""
    folder(tmp_path / "data", [0, 1])
    code, out = trained(job, tmp_path, "--data", "folder", "--classes", 2, "--labels-from", 1)
    assert code == 0
    assert out.err.splitlines()[0] == (
        "warning: folder: 1 of the 2 classes have no pixel in the training labels: class 2"
    )
    assert "warning: folder: all labelled pixels are of one class, class 1, and all else is ignored" in out.err
    assert "do they count from 0, and 0 is a class? --labels-from 0" in out.err


def test_a_run_from_before_an_option_goes_on(job, tmp_path):
    camvid(tmp_path / "data")
    code, out = trained(job, tmp_path, "--data", "camvid")
    assert code == 0, out.err
    (file,) = (tmp_path / "runs").glob("*/checkpoint.pt")
    state = torch.load(file)
    for option in ("labels_from", "ignore"):
        del state["arguments"][option]
    torch.save(state, file)
    code, out = job("train", "--resume", file.parent)
    assert code == 0, out.err


def test_the_test_images_are_judged(job, tmp_path):
    root = camvid(tmp_path / "camvid", ("train", "val", "test"))
    code, out = job(
        "train", "--data", "camvid", "--root", root, "--size", 32, 48, "--steps", 1, "--batch", 2, "--width", 2,
        "--loss", "PATLoss", "--no-measure", "--out", tmp_path / "runs",
    )  # fmt: skip
    assert code == 0, out.err
    assert "IoU of the test images, %" in out.out
    (file,) = (tmp_path / "runs").glob("*/results.json")
    results = json.loads(file.read_text())
    (figures,) = results["losses"].values()
    assert results["judged_on"] == "test"
    assert figures["scores"]["loss_by_class"] != figures["validated"]["loss_by_class"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--loss", "PATLoss(ignore_index=2.5)"), "--loss PATLoss(ignore_index=2.5): ignore_index: expected an int"),
        (("--loss", "BLVLoss(class_counts=[1, 2])"), "--loss BLVLoss(class_counts=[1, 2]): class_counts: "),
        (("--out", "FOLDER/taken"), "--out: got FOLDER/taken, expected a folder, but FOLDER/taken is a file"),
        (("--out", "FOLDER/taken/runs"), "--out: got FOLDER/taken/runs, expected a folder, but FOLDER/taken is a file"),
        (("--device", "meta"), "--device: got 'meta', expected a device that computes"),
        (("--model", "attention-unet", "--width", 1), "--width: got 1, expected at least 2 for --model attention-unet"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is_drawn(arguments, message, job, tmp_path):
    (tmp_path / "taken").write_text("")
    arguments = [str(argument).replace("FOLDER", str(tmp_path)) for argument in arguments]
    code, out = job("train", "--out", tmp_path, *arguments)
    assert code == 2
    assert message.replace("FOLDER", str(tmp_path)) in out.err
    assert "drawing" not in out.out
    assert [file.name for file in tmp_path.iterdir()] == ["taken"]


@pytest.fixture
def second_of_two(monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "test", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)


def test_a_batch_is_shared_evenly(job, second_of_two):
    code, out = job("train", "--batch", 3)
    assert code == 2
    assert out.err == "python -m benchmarks: error: --batch: got 3, expected a multiple of 2, the number of processes\n"


def test_each_process_has_a_gpu_of_its_own(second_of_two):
    assert parallel.own_device("cuda") == "cuda:1"
    assert parallel.own_device("cuda:0") == "cuda:0"
    assert parallel.own_device("cpu") == "cpu"

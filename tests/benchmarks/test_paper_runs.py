"""``paper runs``: runs that are made once, go on, and belong to one experiment."""

import csv
import json
import math
import re
import shutil
from pathlib import Path

import pytest
from camvid import camvid

from benchmarks import numbers
from benchmarks.paper import run_files, runs
from benchmarks.training import checkpoint
from benchmarks.training.evaluate import Scores

LOSSES = ("CrossEntropyLoss", "BLVLoss(sigma=0.5)", "PATLoss(temperature=20)")


@pytest.fixture(autouse=True)
def poison():
    """The models are not ours to poison: pooling and batch norm of torch itself use empty memory."""


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch):
    monkeypatch.setattr("benchmarks.speed.timing.LEAST", 1)
    monkeypatch.setattr("benchmarks.speed.timing.MOST", 1)


@pytest.fixture
def started(monkeypatch):
    """The names of the runs that were trained, or gone on with."""
    names = []
    one = runs.train_one
    monkeypatch.setattr(runs, "train_one", lambda plan, **options: names.append(plan.name) or one(plan, **options))
    return names


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    root = camvid(tmp_path_factory.mktemp("data") / "camvid", ("train", "val", "test"))
    options = f"--data camvid --root {root} --size 32 48 --steps 2 --batch 2 --model segnet --width 2 --device cpu"
    return ("paper", "runs", *options.split())


def test_runs_are_made_once(arguments, job, tmp_path, started):
    out, save = tmp_path / "out", tmp_path / "save"
    common = (*arguments, "--loss", *LOSSES, "--out", out, "--save", save)
    code, printed = job(*common, "--seeds", 0, 1)
    assert code == 0, printed.err
    assert len(started) == 6
    files = sorted(save.glob("*.json"))
    assert [file.stem for file in files] == sorted(started)
    before = [file.read_bytes() for file in files]
    assert (save / "classes.svg").exists()
    table = (save / "table.md").read_text()
    (row,) = (line for line in table.splitlines() if line.startswith("| `PATLoss(temperature=20)` | 2 | 0.004 |"))
    found = [run_files.read(save / f"PATLoss_temperature=20-lr=0.004-seed={seed}.json") for seed in (0, 1)]
    mean, deviation = run_files.spread([run.scores.miou for run in found])
    assert f" {100 * mean:.1f} ± {100 * deviation:.1f} |" in row
    assert found[0].judged_on == "test"

    # Again, with one more seed: only its runs are made.
    code, printed = job(*common, "--seeds", 0, 1, 2)
    assert code == 0, printed.err
    assert started[6:] == [name.replace("seed=1", "seed=2") for name in started[3:6]]
    assert [file.read_bytes() for file in files] == before

    code, printed = job(*common, "--steps", 3)
    assert code == 2
    assert "found a run with --steps 2, expected 3; other folders (--save and --out) keep them apart" in printed.err


def test_an_interrupted_run_goes_on(arguments, job, tmp_path, started, monkeypatch):
    out, save = tmp_path / "out", tmp_path / "save"
    common = (*arguments, "--loss", *LOSSES, "--out", out, "--save", save, "--checkpoint", 1)
    assert job(*common)[0] == 0
    name = started[0]
    whole = json.loads((save / f"{name}.json").read_text())
    (save / f"{name}.json").unlink()
    out /= "save"
    # As if it had been stopped after its first step.
    again = tmp_path / "again"
    write = checkpoint.write

    def stop(folder, state):
        write(folder, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        job(*arguments, "--loss", *LOSSES, "--out", again, "--save", tmp_path / "other" / "save", "--checkpoint", 1)
    monkeypatch.setattr(checkpoint, "write", write)
    shutil.rmtree(out / name)
    shutil.copytree(again / "save" / name, out / name)
    assert len(checkpoint.read(out / name)["training"]["losses"]) == 1
    assert job(*common)[0] == 0
    resumed = json.loads((save / f"{name}.json").read_text())
    (loss,) = whole["losses"]
    assert resumed["losses"][loss]["scores"] == whole["losses"][loss]["scores"]
    with open(out / name / "losses.csv", newline="") as file:
        assert len(list(csv.reader(file))) == 3


def test_a_run_is_one_processes(arguments, job, tmp_path):
    """Of a job that was killed, a run in a process of its own may go on."""
    save = tmp_path / "save"
    assert job(*arguments, "--loss", *LOSSES, "--out", tmp_path / "out", "--save", save)[0] == 0
    name = "PATLoss_temperature=20-lr=0.004-seed=0"
    (save / f"{name}.json").unlink()
    with runs._held(tmp_path / "out" / "save" / name):
        code, out = job(*arguments, "--loss", *LOSSES, "--out", tmp_path / "out", "--save", save)
    assert code == 2
    assert f"{name}: another process is training there" in out.err
    assert job(*arguments, "--loss", *LOSSES, "--out", tmp_path / "out", "--save", save)[0] == 0


def test_the_learning_rate_is_chosen_on_the_validation_images(arguments, job, tmp_path, monkeypatch):
    """By planted scores: each loss has its own best; another of the class, and any other loss, follow."""
    made = []

    def planted(plan, save, **_):
        a = plan.arguments
        best = {"CrossEntropyLoss": 0.1, "PATLoss": 0.01}.get(a["loss"][0].partition("(")[0], 0.001)
        made.append((a["loss"][0], a["lr"], a["steps"], plan.name.startswith("sweep-")))
        scores = dict.fromkeys(Scores.__dataclass_fields__, 0.5) | {"iou": {"a": 0.1}, "loss_by_class": {"a": 1.0}}
        validated = scores | {"miou": 0.9 if a["lr"] == best else 0.2}
        document = {
            "arguments": a | {"size": list(a["size"])}, "judged_on": "test", "images": {"train": 4, "test": 2},
            "training_pixels": {"a": 3}, "tail": [], "device": "cpu", "threads": 1,
            "versions": {"torch": "2"}, "date": "2026-01-01T00", 
            "losses": {a["loss"][0]: {"scores": scores | {"miou": 0.2}, "validated": validated, "training_seconds": 1}},
        }  # fmt: skip
        (save / f"{plan.name}.json").write_text(json.dumps(document))
        return plan.name

    monkeypatch.setattr(runs, "train_one", planted)
    losses = [*LOSSES, "PATLoss(temperature=5)", "FocalLoss(gamma=2)"]
    code, out = job(
        *arguments, "--loss", *losses, "--rates", 0.001, 0.01, 0.1, "--sweep-steps", 1, "--out", tmp_path / "out",
        "--save", tmp_path / "save",
    )  # fmt: skip
    assert code == 0, out.err
    assert [m for m in made if m[3]] == [(loss, lr, 1, True) for loss in LOSSES for lr in (0.001, 0.01, 0.1)]
    assert {loss: lr for loss, lr, steps, swept in made if not swept and steps == 2} == dict(
        zip(losses, (0.1, 0.001, 0.01, 0.01, 0.1), strict=True)
    )
    assert "| `PATLoss(temperature=20)` | 20.0 | 90.0 | 20.0 |" in (tmp_path / "save" / "table.md").read_text()


def test_runs_side_by_side_are_the_same(arguments, job, tmp_path):
    for jobs in (1, 2):
        code, out = job(
            *arguments, "--loss", "CrossEntropyLoss", "PATLoss", "--seeds", 3, "--jobs", jobs,
            "--out", tmp_path / f"o{jobs}", "--save", tmp_path / f"s{jobs}",
        )  # fmt: skip
        assert code == 0, out.err
    for file in sorted((tmp_path / "s1").glob("*.json")):
        a, b = (_losses(tmp_path / f"o{jobs}" / f"s{jobs}" / file.stem) for jobs in (1, 2))
        # Another number of threads adds in another order.
        assert a == pytest.approx(b, rel=1e-4)
        assert len(a) == 2


def _losses(folder):
    with open(folder / "losses.csv", newline="") as file:
        return [float(value) for _, value in list(csv.reader(file))[1:]]


def test_what_cannot_be_asked_for(arguments, job, tmp_path, monkeypatch):
    common = (*arguments, "--save", tmp_path)
    for wrong, message in {
        ("--lr", 0.1, "--rates", 0.1): "got --lr and --rates, expected one of them",
        ("--sweep", "PATLoss"): "got --sweep without --rates",
        ("--seeds", 0, 0): "--seeds: got 0 0, expected each once",
        ("--loss", "PATLoss", "PATLoss"): "--loss: got PATLoss, PATLoss, expected each once",
        ("--out", tmp_path): f"--save: got {tmp_path}, expected another folder than --out",
    }.items():
        code, out = job(*common, *wrong)
        assert code == 2
        assert message in out.err
    assert "got --seed or --set, expected --seeds" in job(*common, "--seed", 1)[1].err
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    assert "got several processes by torchrun, expected one" in job(*common)[1].err


def test_a_file_that_is_no_run(tmp_path):
    file = tmp_path / "PATLoss.json"
    file.write_text('{"losses": {}}')
    with pytest.raises(ValueError, match=r"PATLoss\.json: found no results of one loss"):
        run_files.read_all(tmp_path)


def test_the_spread_of_one_is_none():
    assert run_files.spread([0.5]) == (0.5, None)
    assert math.isnan(run_files.spread([0.25, math.nan, 0.75])[0])  # one diverged
    assert math.isnan(run_files.spread([math.nan])[0])


def test_junk_beside_the_runs(tmp_path):
    """What macOS leaves beside a file on another system's disk is no run."""
    for file in (numbers.RESULTS / "camvid").glob("*seed=0.json"):
        shutil.copy(file, tmp_path)
        (tmp_path / f"._{file.name}").write_bytes(b"Mac OS X")
    assert len(run_files.read_all(tmp_path)) == len(list((numbers.RESULTS / "camvid").glob("*seed=0.json")))


def test_runs_of_two_experiments_are_not_one_table(arguments, job, tmp_path):
    """Another learning rate, which a wider sweep would choose, of a loss that is there already."""
    common = (*arguments, "--loss", "PATLoss", "--out", tmp_path / "out", "--save", tmp_path / "save")
    assert job(*common)[0] == 0
    code, out = job(*common, "--lr", 0.01)
    assert code == 2
    assert "PATLoss-lr=0.004-seed=0.json: found a run with --lr 0.004, expected 0.01" in out.err
    file = tmp_path / "save" / "PATLoss-lr=0.004-seed=0.json"
    other = json.loads(file.read_text())
    other["arguments"]["steps"] = 9
    file.with_name("PATLoss-lr=0.004-seed=7.json").write_text(json.dumps(other))
    with pytest.raises(ValueError, match="found a run with --steps 9, expected 2"):
        run_files.read_all(tmp_path / "save")


def test_any_option_has_a_place_in_the_table(arguments, job, tmp_path):
    losses = ("PATLoss(variant=table1)", "PATLoss(temperature=10)", "PATLoss(temperature=5)", "FocalLoss")
    code, out = job(*arguments, "--loss", *losses, "--out", tmp_path / "out", "--save", tmp_path / "save")
    assert code == 0, out.err
    table = (tmp_path / "save" / "table.md").read_text()
    assert re.findall(r"^\| `(.*?)` \| 1 \|", table, re.M) == [losses[i] for i in (3, 2, 1, 0)]


def test_a_diverged_rate_is_none():
    class Found:
        def __init__(self, miou):
            self.validated = Scores(*[(), *[miou] * 5, ()])

    plans = [(lr, runs.Planned(str(lr), {})) for lr in (0.1, 0.2, 0.3)]
    with pytest.MonkeyPatch.context() as patch:
        for mious, best in (((math.nan, 0.4, 0.4), 0.2), ((0.3, math.nan, 0.1), 0.1)):
            scores = dict(zip(("0.1.json", "0.2.json", "0.3.json"), mious, strict=True))
            patch.setattr(runs, "read", lambda file, scores=scores: Found(scores[file.name]))
            assert runs._best("PATLoss", plans, Path()) == best
        patch.setattr(runs, "read", lambda _: Found(math.nan))
        with pytest.raises(ValueError, match="--rates: PATLoss came to NaN at all of them"):
            runs._best("PATLoss", plans, Path())

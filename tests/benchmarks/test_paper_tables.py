"""The paper's tables and figures, drawn, measured, and beside ours."""

import json
import re

import pytest

from benchmarks import numbers, storage
from benchmarks.paper import choice, figure5, published, run_files, runs, table1
from benchmarks.paper.scores import markdown
from benchmarks.speed.record import Growth
from pat_triton.losses import CATALOGUE

LOSSES = ("CrossEntropyLoss", "BLVLoss(sigma=0.5)", "PATLoss(temperature=20)")
TEMPERATURES = [f"PATLoss(temperature={t})" for t in (5, 10, 50)]  # besides the one that the paper compares


@pytest.fixture(autouse=True)
def poison():
    """The models are not ours to poison: pooling and batch norm of torch itself use empty memory."""


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch):
    monkeypatch.setattr("benchmarks.speed.timing.LEAST", 1)
    monkeypatch.setattr("benchmarks.speed.timing.MOST", 1)


def test_table_1_is_the_papers(job):
    code, out = job("paper", "table1")
    assert code == 0
    assert "32 of 32 values as printed" in out.out
    assert "≠" not in out.out.partition("\n┏")[2]


def test_table_1_sees_a_difference(job, monkeypatch):
    _, printed = table1.ROWS["PAT, T = 2"]
    monkeypatch.setitem(table1.ROWS, "PAT, T = 2", (table1.EQUATION_5, printed))
    _, out = job("paper", "table1")
    assert "24 of 32 values as printed" in out.out
    assert "2.40 ≠ 1.08" in out.out


def test_figure_3_is_drawn_once(job, tmp_path):
    file = tmp_path / "new" / "weights.svg"
    assert job("paper", "figure3", "--save", file)[0] == 0
    assert "focal, gamma = 2" in file.read_text()
    assert "weights.svg exists, expected a new file" in job("paper", "figure3", "--save", file)[1].err


def test_table_2_doubles_pixels_and_classes(job, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.speed.timing.bandwidth", lambda _: 1e10)
    file = tmp_path / "table2.json"
    code, out = job("paper", "table2", "--shape", 1, 5, 16, 24, "--device", "cpu", "--save", file)
    assert code == 0, out.err
    shapes = [r.shape for r in storage.read(file, Growth).records]
    assert shapes == [(1, 5, 16, 24), (1, 5, 32, 24), (1, 10, 16, 24)]
    eager = re.search(r"CrossEntropyLoss.*\n.*eager(.*)\n", out.out).group(1).replace("│", " ").split()
    assert eager[:4] == ["12.0", "3.00", "2.00", "2.00"]
    assert "table2.json exists" in job("paper", "table2", "--save", file)[1].err
    assert "got 128 classes, expected at most 127" in job("paper", "table2", "--shape", 1, 128, 8, 8)[1].err


def test_figure_5_adds_up(job, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.speed.timing.bandwidth", lambda _: 1e10)
    monkeypatch.setattr(figure5, "LOSSES", ("CrossEntropyLoss", "PATLoss"))
    file = tmp_path / "figure5.json"
    code, out = job("paper", "figure5", "--size", 2, 32, 64, "--width", 2, "--device", "cpu", "--save", file)
    assert code == 0, out.err
    segnet, pyramid = storage.read(file, figure5.Figure5).networks
    assert segnet.source == (32, 64)
    assert pyramid.source == (8, 16)
    names = [(share.loss, share.contestant) for share in segnet.shares]
    assert names == [("CrossEntropyLoss", "torch"), ("CrossEntropyLoss", "eager"), ("PATLoss", "torch"),
                     ("PATLoss", "eager"), ("PATLoss", "released")]  # fmt: skip
    eager = segnet.shares[1]
    # Log-softmax, its gradient and the logits' gradient, beyond what the network itself keeps.
    assert eager.step_bytes > segnet.alone.bytes
    time = float(figure5.cells(segnet, eager)[3])
    assert time == pytest.approx(100 * eager.alone.seconds / (eager.alone.seconds + segnet.alone.seconds), abs=0.05)
    text = figure5.markdown(file)
    assert text.count("| CrossEntropyLoss | ours |") == 2


def test_the_committed_runs_are_all_losses_and_temperatures():
    text = markdown(run_files.read_all(numbers.RESULTS / "camvid"))
    for loss in runs.LOSSES:
        assert f"| `{loss}` |" in text


def test_the_papers_tables_are_whole():
    """Each cell is there, and each loss of ours stands beside one that is printed."""
    printed = json.loads((numbers.RESULTS / "published.json").read_text())
    assert set(printed["table3"]["rows"]) == {loss for loss in runs.LOSSES if loss not in TEMPERATURES}
    assert {tuple(map(len, cells)) for cells in printed["table3"]["rows"].values()} == {(3, 3, 3)}
    assert {len(cells) for cells in printed["table4"]["rows"].values()} == {5}
    assert [set(cells) for cells in printed["table5"]["rows"].values()] == [{"5", "10", "20", "50"}] * 2
    assert {len(cells) for cells in printed["table6"]["rows"].values()} == {len(printed["table6"]["classes"])} == {20}
    assert set(published.ALIKE) < set(printed["table6"]["classes"])
    text = published.markdown(numbers.RESULTS / "published.json")
    assert "| `PATLoss(temperature=20)` | 76.69 / 91.28 / 0.23 | 76.22 / 85.80 / 0.51 | 21.41 / 55.57 / 1.36 | " in text
    assert "| `PATLoss(temperature=20)` | +0.5 / +0.1 | +2.4 / +0.5 | +3.4 / +2.1 | " in text
    assert "| PAT, T = 2 | printed | 1.08 | 0.85 |" in text


def test_every_loss_has_a_situation():
    """The table of the first README leaves out no loss, and each has been run; of sums it says that they were not."""
    sums = [loss for loss in choice.SITUATIONS.values() if "+" in loss]
    kinds = [loss.partition("(")[0] for loss in choice.SITUATIONS.values() if loss not in sums]
    assert sorted(kinds) == sorted(CATALOGUE)
    text = choice.markdown(numbers.RESULTS / "camvid")
    assert text.count("| 0 |") == text.count("| not run |") == len(sums)
    assert text.count("\n") == len(CATALOGUE) + len(sums) + 2

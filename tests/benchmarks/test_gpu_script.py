"""``benchmarks/gpu.sh`` and its parts, without a GPU: what they would do, and that failures and gaps end nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from camvid import camvid as drawn_camvid

from benchmarks import numbers, storage
from benchmarks.paper import camvid
from benchmarks.speed import formulas
from benchmarks.speed.gpu import candidates, speed, tiles
from benchmarks.speed.gpu.clock import Clock
from benchmarks.speed.gpu.tests import summary
from benchmarks.speed.record import Suite
from benchmarks.speed.shapes import SHAPES, Sizes

ROOT = Path(__file__).parents[2]

TESTS = """
import time

import pytest

GPU = "cuda"

def test_good():
    pass

@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_bad(backend):
    assert backend == "", "what came\\nlast line"

@pytest.mark.skipif(False, reason="needs a GPU")
def test_on_a_gpu():
    pass

@pytest.fixture
def broken():
    raise ValueError("in a fixture")

def test_broken(broken):
    pass

@pytest.mark.parametrize("number", range(SLEEPERS))
def test_slow(number):
    time.sleep(0.5)
"""


def script(*arguments, **environment):
    return subprocess.run(
        [ROOT / "benchmarks/gpu.sh", *map(str, arguments)],
        env={**os.environ, "PYTHON": sys.executable, **environment}, capture_output=True, text=True,
    )  # fmt: skip


def stand_in(folder, body):
    """For Python: a shell script."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{body}\n")
    python.chmod(0o755)
    return str(python)


def test_an_unknown_part_is_an_error_that_lists_the_known(tmp_path):
    done = script("tests", "sped", tmp_path)
    assert done.returncode == 2
    assert "parts out of: tests speed tiles camvid; got 'sped'" in done.stderr
    assert script(tmp_path).returncode == 2
    assert not list(tmp_path.iterdir())


def test_every_part_there_is_can_be_asked_for():
    modules = {file.stem for file in (ROOT / "benchmarks/speed/gpu").glob("*.py") if "def main()" in file.read_text()}
    (known,) = [line for line in (ROOT / "benchmarks/gpu.sh").read_text().splitlines() if line.startswith("known=")]
    assert set(known.partition('"')[2].rstrip('"').split()) == modules | {"camvid"}


def test_the_script_goes_on_after_a_failed_part(tmp_path):
    python = stand_in(tmp_path, 'echo "$@"; case "$*" in *gpu.tests*) exit 3;; esac')
    done = script("tests", "speed", tmp_path / "out", PYTHON=python)
    assert done.returncode == 1
    assert done.stdout.endswith("failed: tests (exit 3)\n")
    assert f"-m benchmarks.speed.gpu.speed --save {tmp_path / 'out'} --seconds 216\n" in done.stdout
    assert "-m benchmarks.speed.gpu.tests" in (tmp_path / "out/tests.log").read_text()
    assert script("speed", tmp_path / "out", PYTHON=python).returncode == 0


def test_a_parts_time_ends_it(tmp_path):
    done = script("speed", "tests", tmp_path / "out", PYTHON=stand_in(tmp_path, "echo begun; exec sleep 30"), LIMIT="1")
    assert done.returncode == 1
    assert "failed: speed (exit 124)\nfailed: tests (exit 124)\n" in done.stdout
    assert (tmp_path / "out/speed.log").read_text() == "begun\n"


def test_a_dry_run(tmp_path):
    done = script("--dry-run", "tests", "speed", "tiles", "camvid", tmp_path)
    assert done.returncode == 0, done.stdout
    assert "--continue-on-collection-errors" in done.stdout
    assert "    upsample ade20k bf16 4x150x512x512 from (128, 128)\n" in done.stdout
    assert sorted(file.name for file in tmp_path.iterdir()) == ["camvid.log", "speed.log", "tests.log", "tiles.log"]
    assert "up19bf16: PATLoss, 8x19x256x512 to 1024x2048, bf16, tile of the upsample kernel\n" in done.stdout
    assert "model=segnet, width=64, size=(360, 480), batch=8" in done.stdout


@pytest.mark.parametrize("workers", [(), ("-n", "2", "--dist", "worksteal")], ids=["alone", "workers"])
def test_outcomes_are_written_as_they_come(workers, tmp_path):
    """The torch backend is left out, what needs a GPU comes first, the clock ends it, a missing package does not."""
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "test_gaps.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "test_it.py").write_text(TESTS.replace("SLEEPERS", "40"))
    (tmp_path / "test_others.py").write_text("def test_other():\n    pass\n")
    subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "benchmarks.speed.gpu.outcomes", "--outcomes", "lines", "--seconds", "4",
         "--continue-on-collection-errors", "-p", "no:cacheprovider", *workers],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    tests = {line["test"]: line for line in lines if "test" in line}
    first = next(name for name in tests if "::" in name)
    assert first == "test_it.py::test_on_a_gpu"
    assert "test_it.py::test_bad[torch]" not in tests
    assert "test_others.py::test_other" not in tests
    text, good = summary(lines)
    assert not good
    assert "missing test_gaps.py\n    " in text and "No module named 'nothing_of_that_name'" in text
    assert "failed test_it.py::test_bad[triton]\n    AssertionError: what came ... " in text
    assert "error test_it.py::test_broken\n    ValueError: in a fixture" in text
    passed = sum(line["outcome"] == "passed" for line in tests.values())
    assert 3 <= passed < 40
    assert text.endswith(f"\n{passed} passed, 1 failed, 1 error, 0 skipped, {42 - passed} not run")


def test_a_summary_is_good_where_all_ran_and_passed():
    lines = [
        {"collected": 2},
        {"test": "a::b", "outcome": "passed", "why": ""},
        {"test": "a::c", "outcome": "skipped", "why": ""},
    ]
    assert summary(lines) == ("1 passed, 0 failed, 0 error, 1 skipped, 0 not run", True)
    assert not summary(lines[:2])[1]
    assert not summary([])[1]


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr("benchmarks.speed.shapes.SHAPES", {name: Sizes(5, (1, 64, 64), (1, 64, 64)) for name in SHAPES})
    monkeypatch.setattr("benchmarks.speed.timing.bandwidth", lambda _: 1e10)
    monkeypatch.setattr("benchmarks.speed.timing.MOST", 5)
    monkeypatch.setattr(speed, "SIZES", ("small",))


def part(module, monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["part", *map(str, arguments)])
    return module.main(), capsys.readouterr().out


def test_speed(tiny, tmp_path, monkeypatch, capsys):
    """A record of every size, of all stages, which the README's tables can be made of."""
    arguments = ("--save", tmp_path, "--device", "cpu", "--rivals", "released")
    code, out = part(speed, monkeypatch, capsys, *arguments)
    assert code == 0, out
    suite = storage.read(tmp_path / "cpu-speed.json", Suite)
    assert [(r.job, r.dtype) for r in suite.records] == [
        ("losses", "fp32"), ("losses", "bf16"), ("upsample", "fp32"), ("upsample", "bf16"),
    ]  # fmt: skip
    ran = [(row.loss, row.contestant) for row in suite.records[0].rows if row.cost]
    assert ran[-3:] == [("PATLoss", who) for who in ("torch", "eager", "released")]
    assert [row.cost.repeats for row in suite.records[0].rows if row.contestant == "released"] == [2, 2]
    assert not [row for row in suite.records[1].rows if row.contestant == "released"]
    assert numbers.markdown(tmp_path / "cpu-speed.json") in out
    with pytest.raises(SystemExit, match="exists, expected a folder without it"):
        part(speed, monkeypatch, capsys, *arguments)


def test_no_speed_on_a_red_check(tiny, tmp_path, monkeypatch, capsys):
    """The others are measured all the same."""
    monkeypatch.setitem(formulas.FORMULAS, "FocalLoss", formulas.Formula(formulas.cross_entropy))
    code, out = part(speed, monkeypatch, capsys, "--save", tmp_path, "--device", "cpu", "--rivals")
    assert code == 1
    assert "wrong: losses small fp32 1x5x64x64 from (64, 64): FocalLoss, eager: the loss is off by" in out
    suite = storage.read(tmp_path / "cpu-speed.json", Suite)
    assert {row.loss for r in suite.records for row in r.rows} == set(formulas.FORMULAS) - {"FocalLoss"}


def test_speed_that_is_cut_off_leaves_a_file(tiny, tmp_path, monkeypatch, capsys):
    """The clock is up within the second size."""
    ups = iter([False] * 12)
    monkeypatch.setattr(Clock, "up", property(lambda _: next(ups, True)))
    code, out = part(speed, monkeypatch, capsys, "--save", tmp_path, "--device", "cpu", "--rivals")
    assert code == 0
    assert "the time was up before the end" in out
    first, second = storage.read(tmp_path / "cpu-speed.json", Suite).records
    assert len(first.rows) == 2 * len(formulas.FORMULAS)
    assert 0 < len(second.rows) < len(first.rows)
    assert numbers.markdown(tmp_path / "cpu-speed.json") in out


def test_nothing_of_a_part_needs_rich():
    """A borrowed GPU may lack it."""
    code = "import sys; sys.modules.update(rich=None, matplotlib=None, PIL=None); import benchmarks.speed.gpu.{}"
    for name in ("tests", "speed", "tiles"):
        subprocess.run([sys.executable, "-c", code.format(name)], cwd=ROOT, check=True)


CASES = (
    candidates.Swept("dense", "LDAMLoss", (1, 5, 8, 16), (8, 16), "fp32", "loss"),
    candidates.Swept("resized", "PATLoss", (1, 5, 8, 16), (2, 4), "bf16", "upsample"),
)


@pytest.fixture
def two_cases(monkeypatch):
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        pytest.skip("the interpreter runs kernels on a CPU's tensors")
    monkeypatch.setattr("benchmarks.speed.timing.bandwidth", lambda _: 1e10)
    monkeypatch.setattr(tiles, "CASES", CASES)
    monkeypatch.setattr(candidates, "MOST_CHANGES", 1)


def test_tiles(two_cases, tmp_path, monkeypatch, capsys):
    """Of every case the table's tile and its neighbours, as they come, and the best of them."""
    from pat_triton.backends.triton import tiles as the_table

    before = the_table.loss_tile, the_table.upsample_tile
    code, out = part(tiles, monkeypatch, capsys, "--save", tmp_path, "--device", "cpu")
    assert code == 0
    assert (the_table.loss_tile, the_table.upsample_tile) == before
    first, *rows = [json.loads(line) for line in (tmp_path / "cpu-tiles.jsonl").read_text().splitlines()]
    assert first["machine"]["bandwidth"] == 1e10
    assert [row["name"] for row in rows if row["default"]] == ["dense", "resized"]
    assert all(row["microseconds"] > 0 for row in rows)
    assert rows[0]["floor"] == pytest.approx((2 * 4 * 5 * 8 * 16 + 8 * 16) / 1e10 * 1e6)
    best = min((row for row in rows if row["name"] == "dense"), key=lambda row: row["microseconds"])
    after = out[out.index("dense: LDAMLoss, 1x5x8x16, fp32, tile of the loss kernel; ") :].splitlines()
    assert after[4].startswith(f"| {best['microseconds']:.0f} | {best['tile']['maxnreg']} | ")
    assert out.count("| the table's |") == 2
    assert numbers.markdown(tmp_path / "cpu-tiles.jsonl") in out


def test_a_tile_that_is_wrong_has_no_time(two_cases, tmp_path, monkeypatch, capsys):
    """The loss with another tile than the table's is made another one."""
    true = tiles._gradient
    monkeypatch.setattr(
        tiles, "_gradient", lambda step, case, tile: true(step, case, tile) * (1 + 0.1 * tile["maxnreg"])
    )
    code, out = part(tiles, monkeypatch, capsys, "--save", tmp_path, "--device", "cpu", "--cases", "dense")
    assert code == 0
    rows = [json.loads(line) for line in (tmp_path / "cpu-tiles.jsonl").read_text().splitlines()][1:]
    others = [row for row in rows if row["tile"]["maxnreg"]]
    assert len(others) == 2
    assert all("microseconds" not in row and "ValueError: the gradient is off by 1" in row["why"] for row in others)
    assert f"{len(rows) - 2} of {len(rows)} tiles ran" in out


def test_the_tile_that_is_asked_for_is_the_tables(two_cases):
    """With its registers, which are no number of the table's."""
    from pat_triton.backends.triton import tiles as the_table

    step, _ = tiles.prepared(CASES[0], torch.device("cpu"), 1)
    default = tiles.default_tile(CASES[0], step)
    with tiles.tiled("loss", {**default, "maxnreg": 128}):
        assert the_table.loss_tile(5, False, True, False, 32)._asdict() == {**default, "maxnreg": 128}
    with tiles.tiled("loss", default):
        assert "maxnreg" not in the_table.loss_tile(5, False, True, False, 32)._asdict()


def test_candidates():
    default = {"maxnreg": 0, "CLASSES": 256, "PIXELS": 64, "num_warps": 4, "VECTOR": 2}
    made = list(candidates.candidates(default, 150))
    assert made[0] == default
    changes = [sum(tile[name] != default[name] for name in default) for tile in made]
    assert changes == sorted(changes) and max(changes) == candidates.MOST_CHANGES
    assert {tile["CLASSES"] for tile in made} == {256, 128, 64, 32}
    # What an H200 had best of 150 classes in bf16.
    assert {**default, "maxnreg": 128} in made


def test_the_tiles_of_a_gpu():
    """Those of the H200: the best first, the table's tile behind it."""
    made = numbers.markdown(numbers.RESULTS / "cuda-tiles.jsonl").splitlines()
    start = next(i for i, line in enumerate(made) if line.startswith("up19bf16: PATLoss, 8x19x256x512 to 1024x2048"))
    assert made[start + 4] == "| 550 | 128 | 32 | 16 | 4 | 16 | 2 |  |"
    assert made[start + 9] == "| 776 | 0 | 32 | 32 | 4 | 8 | 4 | the table's |"


def test_unknown_cases(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        part(tiles, monkeypatch, capsys, "--save", tmp_path, "--cases", "up20")
    assert "--cases: got up20, expected some of up19bf16, " in capsys.readouterr().err


def test_camvid(tmp_path, monkeypatch, capsys):
    """Every loss with one seed, then with the next, a file each, while the time lasts; the table says the steps."""
    root = drawn_camvid(tmp_path / "data", ("train", "val", "test"))
    lefts = iter([10.0, 10.0, 10.0, 10.0])
    monkeypatch.setattr(Clock, "left", property(lambda _: next(lefts, 0.0)))
    monkeypatch.setattr(camvid, "workers", lambda: 1)  # threads of a run
    small = ("--steps", 2, "--width", 4, "--size", 32, 48, "--device", "cpu")
    monkeypatch.setenv("CAMVID", str(root))
    code, out = part(camvid, monkeypatch, capsys, "--save", tmp_path / "new", *small)
    assert code == 0
    names = sorted(file.name for file in (tmp_path / "new/camvid").iterdir())
    assert names == [
        "BLVLoss_sigma=0.5-lr=0.0003-seed=0.json", "CrossEntropyLoss-lr=0.0003-seed=0.json",
        "CrossEntropyLoss-lr=0.0003-seed=1.json", "PATLoss_temperature=20-lr=0.001-seed=0.json",
    ]  # fmt: skip
    assert "camvid, segnet of width 4, 32x48, 2 steps of 8 images" in out
    assert "| `CrossEntropyLoss` | 2 | 0.0003 |" in out
    assert numbers.markdown(tmp_path / "new/camvid") in out
    monkeypatch.delenv("CAMVID")
    with pytest.raises(SystemExit):
        part(camvid, monkeypatch, capsys, "--save", tmp_path / "other", *small)
    assert "no CAMVID in the environment" in capsys.readouterr().err


def test_a_parts_folder_comes_as_one_file_too(tmp_path):
    body = 'mkdir -p "$4/camvid"; echo a > "$4/camvid/run.json"'
    assert script("camvid", tmp_path / "out", PYTHON=stand_in(tmp_path, body)).returncode == 0
    listed = subprocess.run(["tar", "-tzf", tmp_path / "out/camvid.tar.gz"], capture_output=True, text=True)
    assert "camvid/run.json" in listed.stdout.splitlines()

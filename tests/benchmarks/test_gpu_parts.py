"""The parts of ``benchmarks/gpu.sh`` on a CPU: speed, tiles and CamVid, as far as the time lasts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from camvid import camvid as drawn_camvid

from benchmarks import numbers, profiled, storage
from benchmarks.paper import camvid
from benchmarks.profiled import Kernels, Launch
from benchmarks.speed import formulas
from benchmarks.speed.gpu import candidates, kernels, speed, tiles
from benchmarks.speed.gpu.clock import Clock
from benchmarks.speed.record import Suite
from benchmarks.speed.shapes import SHAPES, Sizes

ROOT = Path(__file__).parents[2]


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
    ran = [row.contestant for row in suite.records[0].rows if row.cost and row.loss == "PATLoss"]
    assert ran == ["torch", "eager", "released"]
    assert [row.cost.repeats for row in suite.records[0].rows if row.contestant == "released"] == [2, 2]
    assert not [row for row in suite.records[1].rows if row.contestant == "released"]
    assert numbers.markdown(tmp_path / "cpu-speed.json") in out
    with pytest.raises(SystemExit, match="exists, expected a folder without it"):
        part(speed, monkeypatch, capsys, *arguments)


def test_kernels(tiny, tmp_path, monkeypatch, capsys):
    """What every call takes, as it comes, and a table of it; a CPU has no launches."""
    shape = 1, 5, 8, 16
    planned = [kernels.Planned(name, shape, source, "bf16") for source in (shape[2:], (4, 8)) for name in kernels.NAMES]
    monkeypatch.setattr(kernels, "PLANNED", planned)
    monkeypatch.setattr(kernels, "launches", lambda *_: (Launch("one", 2, 6.0), Launch("another", 1, 4.0)))
    monkeypatch.setenv("COMMIT", "abc")
    code, _ = part(kernels, monkeypatch, capsys, "--save", tmp_path, "--device", "cpu")
    assert code == 0
    record = storage.read(tmp_path / "cpu-kernels.json", Kernels)
    assert (record.commit, len(record.calls)) == ("abc", len(planned))
    first = record.calls[0]
    assert (first.queued > 0, first.longest) == (True, 4.0)
    assert first.floor == pytest.approx((2 * 2 * 5 * 8 * 16 + 8 * 16) / 1e10 * 1e6, abs=0.01)
    table = profiled.markdown(tmp_path / "cpu-kernels.json")
    assert f"| 1x5x8x16, bf16 | 4 of {first.queued:.0f} ({first.floor / 4:.2f}) |" in table
    assert "| 1x5x4x8 to 8x16, bf16 |" in table


def test_a_part_has_no_speed_on_a_red_check(tiny, tmp_path, monkeypatch, capsys):
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
    for name in ("tests", "kernels", "speed", "tiles"):
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


def test_camvid_while_the_time_lasts(tmp_path, monkeypatch, capsys):
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

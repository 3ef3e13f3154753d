"""The measuring jobs: who competes, that nothing wrong gets a speed, and what is written down."""

from functools import partial

import pytest
import torch

import benchmarks.speed.busy
import benchmarks.speed.trial
import pat_triton
from benchmarks import storage
from benchmarks.speed import ahead, contest, formulas, released, suite
from benchmarks.speed.record import Growth, Record
from benchmarks.speed.shapes import SHAPES, Sizes
from benchmarks.speed.timing import machine
from benchmarks.speed.trial import run

CPU = torch.device("cpu")
TINY = ("--shape", 1, 5, 16, 24, "--device", "cpu", "--rivals", "released")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("benchmarks.speed.timing.bandwidth", lambda _: 1e10)
    monkeypatch.setattr("benchmarks.speed.timing.MOST", 5)


def one(loss, rivals, device=CPU, **options):
    """The rows of a tiny run of one loss, by contestant."""
    options = {"losses": (loss,), "rivals": rivals, **options}
    made = run("losses", "tiny", (2, 5, 16, 24), (16, 24), "fp32", machine(device), device, **options)
    return {row.contestant: row for row in made.rows}


@pytest.mark.parametrize(
    "arguments",
    [["losses"], ["losses", "--dtype", "fp16"], ["upsample", "--source", 4, 7, "--dtype", "bf16"]],
    ids=["fp32", "fp16", "bf16"],
)
def test_a_run(arguments, job, tmp_path):
    """Every contestant agrees with the truth, and is in the record and in the table."""
    file = tmp_path / "new" / "run.json"
    code, out = job(*arguments, *TINY, "--save", file)
    assert code == 0, out.err
    saved = storage.read(file, Record)
    assert saved.source == ((16, 24) if arguments[0] == "losses" else (4, 7))
    ran = [(row.loss, row.contestant) for row in saved.rows if row.cost.launches > 0]
    released = [("BLVLoss", "released"), ("PATLoss", "released")]
    assert sorted(ran) == sorted([(loss, who) for loss in contest.LOSSES for who in ("torch", "eager")] + released)
    assert [row.contestant for row in saved.rows if row.gradient_error is None] == ["eager", "released"]
    assert "other draw" in out.out
    assert all(loss in out.out for loss in contest.LOSSES)


def test_beside_busy_processes(job, tmp_path, monkeypatch):
    """As many as were asked for, while it is timed and no longer; the record and its caption say so."""
    alive = []

    def timed(*arguments):
        alive.append([process.poll() is None for process in started])
        return priced(*arguments)

    started, priced, begin = [], benchmarks.speed.trial.priced, benchmarks.speed.busy.subprocess.Popen
    monkeypatch.setattr(benchmarks.speed.trial, "priced", timed)
    monkeypatch.setattr(
        benchmarks.speed.busy.subprocess, "Popen", lambda *arguments: started.append(begin(*arguments)) or started[-1]
    )
    file = tmp_path / "run.json"
    code, out = job("losses", *TINY[:-1], "--load", 2, "--save", file)
    assert code == 0, out.err
    assert alive == [[True, True]]
    assert all(process.poll() is not None for process in started)
    assert storage.read(file, Record).load == 2
    assert "beside 2 busy processes" in out.out


# What torch.compile imports warns of torch itself.
COMPILES = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")


@COMPILES
def test_a_compiled_rival(tmp_path, monkeypatch):
    """By another process, ahead; here it is taken from the cache."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(ahead, "FORMULAS", ["CrossEntropyLoss"])
    torch.compiler.reset()  # what another test compiled would not be asked for again
    ahead.compile_all([((2, 5, 16, 24), (16, 24), "fp32")], CPU, 1, 60)
    row = one("CrossEntropyLoss", ["compiled"])["compiled"]
    if row.not_run:
        assert "ompiler" in row.not_run
    else:
        assert torch._dynamo.utils.counters["inductor"]["fxgraph_cache_hit"] >= 2


def test_what_cannot_run_says_why(monkeypatch, job, tmp_path):
    def broken(loss, **_):
        def call(*_):
            raise RuntimeError("no compiler found\nand a long story")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    file = tmp_path / "run.json"
    code, out = job("losses", *TINY[:-1], "compiled", "--save", file)
    assert code == 0, out.err
    reasons = {row.not_run for row in storage.read(file, Record).rows if row.contestant == "compiled"}
    assert reasons == {"RuntimeError: no compiler found"}
    assert "PATLoss, compiled: not run: RuntimeError: no compiler found" in out.out


@COMPILES
def test_compiling_stops_in_time():
    row = one("PATLoss", ["compiled"], compile_until=0.0)["compiled"]
    assert row.cost is None
    assert row.not_run == "the time for compiling was up"


def no_noise(logits, target, _):
    return formulas.cross_entropy(logits, target)


# A wrong formula, a gradient that is wrong alone, a loss without its noise, and ours.
RED = {
    "PATLoss, eager: the loss": (formulas.FORMULAS, "PATLoss", formulas.Formula(formulas.cross_entropy)),
    "FocalLoss, eager: the gradient": (
        formulas.FORMULAS, "FocalLoss", formulas.Formula(lambda z, y: formulas.focal(z.detach(), y) + 0 * z.sum()),
    ),
    "BLVLoss, eager: the loss": (formulas.FORMULAS, "BLVLoss", formulas.Formula(no_noise, formulas.variations)),
    "PATLoss, released: the loss": (released.RELEASED, "PATLoss", formulas.Formula(formulas.pat)),
    "PATLoss, torch: the loss": (vars(pat_triton), "PATLoss", partial(pat_triton.PATLoss, 19)),
}  # fmt: skip


@pytest.mark.parametrize("message", RED)
def test_no_speed_on_a_red_check(message, job, monkeypatch):
    monkeypatch.setitem(*RED[message])
    code, out = job("losses", "--shape", 2, 5, 64, 64, *TINY[5:])
    assert code == 2
    assert f"error: {message} is off by " in out.err
    assert "no speed is reported" in out.err
    assert "quartiles" not in out.out


def test_ours_must_not_be_worse_than_eager(job, monkeypatch):
    monkeypatch.setattr("benchmarks.speed.gate.SLACK", {torch.float32: -1.0})
    code, out = job("losses", *TINY)
    assert code == 2
    assert "error: CrossEntropyLoss, torch: the loss is off by" in out.err


def test_the_interpreter_is_not_timed(monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setattr("pat_triton.backends.triton.backend.INTERPRETED", True)
    with pytest.raises(ValueError, match="TRITON_INTERPRET: got 1, expected it unset: the interpreter is for tests"):
        contest.paths(torch.device("cuda"))
    assert contest.paths(CPU) == ("torch",)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_run_on_a_gpu():
    rows = one("PATLoss", [], torch.device("cuda"))
    assert set(rows) == {"triton", "torch", "eager"}
    assert all(row.cost.launches > 0 and row.host_seconds > 0 for row in rows.values())


def test_all(job, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.speed.shapes.SHAPES", {name: Sizes(5, (1, 16, 24), (1, 16, 24)) for name in SHAPES})
    monkeypatch.setattr(suite, "SIDES", (8, 16))
    monkeypatch.setattr(suite, "CLASSES", (3, 5))
    arguments = ("all", "--device", "cpu", "--rivals", "--save", tmp_path)
    code, out = job(*arguments)
    assert code == 0, out.err
    records = [storage.read(file, Record) for file in sorted(tmp_path.glob("cpu-[lu]*.json"))]
    assert [(r.job, r.name) for r in records] == [
        ("losses", "ade20k"), ("losses", "cityscapes"), ("losses", "small"),
        ("upsample", "ade20k"), ("upsample", "cityscapes"),
    ]  # fmt: skip
    classes = storage.read(tmp_path / "cpu-growth-classes.json", Growth)
    assert [r.shape[1] for r in classes.records] == [3, 5]
    pictures = sorted(tmp_path.glob("*.svg"))
    assert len(pictures) == len(records) + 1
    assert all(1000 < picture.stat().st_size < 150_000 for picture in pictures)
    code, out = job(*arguments)
    assert code == 2
    assert "expected a folder without them" in out.err


def test_all_names_a_red_run_and_makes_the_others(job, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.speed.shapes.SHAPES", {name: Sizes(5, (1, 64, 64), (1, 64, 64)) for name in SHAPES})
    monkeypatch.setattr(suite, "PLAN", {"cpu": suite.CITYSCAPES[:1]})
    monkeypatch.setattr(suite, "SIDES", (8,))
    monkeypatch.setattr(suite, "CLASSES", (3,))
    monkeypatch.setitem(formulas.FORMULAS, "FocalLoss", formulas.Formula(formulas.cross_entropy))
    code, out = job("all", "--device", "cpu", "--rivals", "--save", tmp_path)
    assert code == 2
    assert "error: cpu-losses-cityscapes-fp32: FocalLoss, eager: the loss is off by" in out.err
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "cpu-growth-classes.json", "cpu-growth-pixels.json", "cpu-growth.svg",
    ]  # fmt: skip


def test_speed_options_that_cannot_be_used(job):
    assert "--shape: got 'cityscape', expected four whole numbers B L H W or one of cityscapes, " in (
        job("losses", "--shape", "cityscape")[1].err
    )
    assert "--shape: got '1 5 0 8'" in job("losses", "--shape", 1, 5, 0, 8)[1].err
    assert "--source: got 0 4, expected two whole numbers from 1" in job("upsample", *TINY, "--source", 0, 4)[1].err
    assert "--device: got 'gpu'" in job("all", "--device", "gpu")[1].err
    assert "--device: got 'meta', expected cpu or cuda" in job("losses", "--device", "meta")[1].err

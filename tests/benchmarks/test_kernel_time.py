"""The model of an H200's time for a launch: what it was fitted to, how far off it is, and what it counts."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.codegen import assembly, fit_kernel_time, kernel_time, work
from benchmarks.codegen.fit_kernel_time import Fit, cases, error, near
from benchmarks.codegen.kernel_time import FITTED, Demand, seconds
from benchmarks.storage import read

RESULTS = Path(__file__).parents[2] / "benchmarks/results"
RECORD = read(RESULTS / "kernel-time.json", Fit)

# Two barriers' worth of waiting: a special function and what takes its result, and one more that finds the unit busy.
SASS = """
        /*0000*/                   MUFU.EX2 R0, R1 ;        /* 0x0000000100007308 */
                                                            /* 0x000e240000000800 */
        /*0010*/                   MUFU.EX2 R2, R3 ;        /* 0x0000000300027308 */
                                                            /* 0x000e620000000800 */
        /*0020*/                   FADD R4, R0, R0 ;        /* 0x0000000000047221 */
                                                            /* 0x001fc80000000000 */
.L_x_0:
        /*0030*/                   FADD R4, R4, R2 ;        /* 0x0000000204047221 */
                                                            /* 0x002fca0000000000 */
        /*0040*/                   STL [R1], R4 ;           /* 0x0000000401007387 */
                                                            /* 0x000fe20000100800 */
        /*0050*/                   BAR.SYNC.DEFER_BLOCKING 0x0 ;  /* 0x0000000000007b1d */
                                                            /* 0x000fec0000010000 */
"""


def test_each_case_is_predicted_by_the_others():
    """In the median within 15 % and never off by more than 40 %, of the tiles within twice the best of their case."""
    assert len(cases(RECORD.rows)) == 10
    for name in cases(RECORD.rows):
        errors = [abs(error(row)) for row in near(RECORD.rows) if row.name == name]
        assert np.median(errors) <= 0.15, name
        assert max(errors) <= 0.4, name
    assert np.median([abs(error(row)) for row in near(RECORD.rows)]) <= 0.06


def test_calls_that_were_not_fitted_are_predicted():
    """Forty of that commit, with the table's tiles: five losses, dense and resized, in both dtypes."""
    measured = json.loads((RESULTS / "cuda-kernels-e3979f9.json").read_text())["calls"]
    large = [(c["loss"], c["shape"], c["source"], c["dtype"], c["longest"]) for c in measured if c["shape"][2] > 128]
    calls = [(c.loss, list(c.shape), list(c.source), c.dtype, c.measured) for c in RECORD.calls]
    assert calls == large
    errors = [abs(error(call)) for call in RECORD.calls]
    assert np.median(errors) <= 0.1
    assert max(errors) <= 0.25


def test_the_record_is_the_fit_to_the_measured_tiles():
    head, *lines = map(json.loads, (RESULTS / "cuda-tiles.jsonl").read_text().splitlines())
    assert (RECORD.device, RECORD.commit, RECORD.triton) == (
        head["machine"]["device"],
        head["commit"],
        head["machine"]["triton"],
    )
    rows = [(row.name, row.tile, row.measured) for row in RECORD.rows]
    assert rows == [(line["name"], line["tile"], line["microseconds"]) for line in lines]
    made = fit_kernel_time.refitted(RECORD)
    assert dataclasses.astuple(made.coefficients) == pytest.approx(dataclasses.astuple(RECORD.coefficients), rel=1e-3)
    for kind in ("rows", "calls"):
        kept, again = ([row.predicted for row in getattr(record, kind)] for record in (RECORD, made))
        assert again == pytest.approx(kept, rel=1e-3)
    assert RECORD.coefficients == FITTED


def test_what_is_predicted_best_is_near_the_best():
    for name in cases(RECORD.rows):
        rows = [row for row in near(RECORD.rows) if row.name == name]
        chosen, best = min(rows, key=lambda row: row.predicted), min(row.measured for row in rows)
        assert chosen.measured <= 1.15 * best, name


def test_order_within_a_case():
    """Of two tiles of a case, one a quarter slower than the other: nine times in ten it is predicted so."""
    rows = near(RECORD.rows)
    pairs = [(a, b) for a in rows for b in rows if a.name == b.name and a.measured > 1.25 * b.measured]
    assert len(pairs) > 300
    assert np.mean([a.predicted > b.predicted for a, b in pairs]) > 0.9


LAUNCH = Demand(
    programs=65536, warps=4, resident=16, executed=2000.0, alone=4000.0, barriers=8.0, local=0.0, bytes=2520000000
)


@pytest.mark.parametrize(
    "worse",
    [
        {"executed": 3000.0},
        {"alone": 6000.0},
        {"barriers": 16.0},
        {"local": 400.0},
        {"resident": 8},
        {"bytes": 4000000000},
    ],
)
def test_more_of_anything_takes_longer(worse):
    assert seconds(dataclasses.replace(LAUNCH, **worse)) > 1.02 * seconds(LAUNCH)


def test_a_copy_takes_the_time_of_its_bytes():
    copy = dataclasses.replace(LAUNCH, executed=1.0, alone=1.0, barriers=0.0, bytes=4130000000)
    assert seconds(copy) == pytest.approx(1e-3 + kernel_time.START)


def test_what_a_warp_does_alone():
    """Exponentials at 0 and, the unit being busy, at 8; their results at 24 and 32, each read when it is there and the
    second one 4 after the first; then 5, 1 and 6 stalls."""
    instructions, _ = assembly.nvidia(SASS)
    assert [x.issue.stall for x in instructions] == [2, 1, 4, 5, 1, 6]
    assert [x.issue.result for x in instructions] == [0, 1, None, None, None, None]
    assert [x.issue.waits for x in instructions] == [(), (), (0,), (1,), (), ()]
    once = work.of(instructions, [1.0] * 6)
    assert once == work.Work(executed=6.0, barriers=1.0, local=1.0, alone=32.0 + 5 + 1 + 6)
    looped = work.of(instructions, [1.0, 1.0, 1.0, 10.0, 10.0, 10.0])
    assert looped == work.Work(executed=33.0, barriers=10.0, local=10.0, alone=28.0 + 10 * (4 + 5 + 1 + 6))
    unknown = [dataclasses.replace(x, issue=None) for x in instructions]
    assert work.alone(unknown, [1.0] * 6) is None

"""``python -m benchmarks roofline``, and the counting behind it, on small texts whose answer is known."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.codegen import assembly
from benchmarks.codegen.bounds import floor, model
from benchmarks.codegen.flow import frequencies
from benchmarks.codegen.ir_text import column_threads
from benchmarks.codegen.moved import moved
from benchmarks.codegen.targets import TARGETS
from benchmarks.codegen.ttgir import Evaluation, Loop, Pointer

RESULTS = Path(__file__).parents[2] / "benchmarks/results/roofline.json"

# Two rows of four i32, read in each of three turns and written in the last; the third row of a tile of four is masked.
IR = """
#blocked = #ttg.blocked<{sizePerThread = [1, 2], threadsPerWarp = [16, 2], warpsPerCTA = [4, 1], order = [1, 0]}>
#loc = loc("/x/kernel.py":7:1)
#loc1 = loc(callsite(#loc2 at #loc))
module {
  tt.func public @kernel(%z.pointer: !tt.ptr<i32> loc("z"(#loc)), %n: i32 loc("n"(#loc))) {
    %c0 = arith.constant 0 : i32 loc(#loc)
    %c1 = arith.constant 1 : i32 loc(#loc)
    %cst = arith.constant dense<2> : tensor<4xi32> loc(#loc)
    %b = tt.get_program_id x : i32 loc(#loc)
    %row = tt.make_range {end = 4 : i32, start = 0 : i32} : tensor<4xi32> loc(#loc)
    %known = arith.cmpi slt, %row, %cst : tensor<4xi32> loc(#loc)
    %rows = tt.expand_dims %row {axis = 1 : i32} : tensor<4xi32> -> tensor<4x1xi32> loc(#loc)
    %knowns = tt.expand_dims %known {axis = 1 : i32} : tensor<4xi1> -> tensor<4x1xi1> loc(#loc)
    %mask = tt.broadcast %knowns : tensor<4x1xi1> -> tensor<4x4xi1> loc(#loc)
    %four = arith.addi %cst, %cst : tensor<4x1xi32> loc(#loc)
    %at = arith.muli %rows, %four : tensor<4x1xi32> loc(#loc)
    %all = tt.broadcast %at : tensor<4x1xi32> -> tensor<4x4xi32> loc(#loc)
    %columns = tt.expand_dims %row {axis = 0 : i32} : tensor<4xi32> -> tensor<1x4xi32> loc(#loc)
    %wide = tt.broadcast %columns : tensor<1x4xi32> -> tensor<4x4xi32> loc(#loc)
    %offset = arith.addi %all, %wide : tensor<4x4xi32> loc(#loc)
    %p = tt.splat %z.pointer : !tt.ptr<i32> -> tensor<4x4x!tt.ptr<i32>> loc(#loc)
    %q = tt.addptr %p, %offset : tensor<4x4x!tt.ptr<i32>>, tensor<4x4xi32> loc(#loc)
    %sum:2 = scf.for %i = %c0 to %n step %c1 iter_args(%s = %c0, %t = %c1) -> (i32, i32)  : i32 {
      %v = tt.load %q, %mask : tensor<4x4x!tt.ptr<i32>> loc(#loc1)
      %top = "tt.reduce"(%v) <{axis = 0 : i32}> ({
      ^bb0(%x: i32 loc("x"(#loc)), %y: i32 loc("y"(#loc))):
        %m = arith.maxsi %x, %y : i32 loc(#loc)
        tt.reduce.return %m : i32 loc(#loc)
      }) : (tensor<4x4xi32, #blocked>) -> tensor<4xi32, #ttg.slice<{dim = 0, parent = #blocked}>> loc(#loc)
      %next = arith.addi %s, %c1 : i32 loc(#loc)
      scf.yield %next, %s : i32, i32 loc(#loc)
    } loc(#loc)
    %last = arith.cmpi eq, %sum#0, %n : i32 loc(#loc)
    scf.if %last {
      tt.store %q, %cst, %mask : tensor<4x4x!tt.ptr<i32>> loc(#loc)
    } else {
      tt.store %q, %cst : tensor<4x4x!tt.ptr<i32>> loc(#loc)
    } loc(#loc)
    tt.return loc(#loc)
  } loc(#loc)
} loc(#loc)
#loc2 = loc("/x/callee.py":5:9)
"""

# A loop around a loop, a division's subroutine for unusual numbers, and a store after all.
SASS = """
\t//## File "/x/callee.py", line 6
        /*0000*/                   S2R R0, SR_TID.X ;
.L_x_0:
        /*0010*/                   LDG.E.64 R2, desc[UR4][R2.64] ;
.L_x_1:
        /*0020*/                   FADD R4, R4, R2 ;
        /*0030*/               @P0 BRA `(.L_x_1) ;
        /*0040*/               @P1 BRA P2, `(.L_x_2) ;
        /*0050*/                   CALL.REL.NOINC `($div) ;
.L_x_2:
        /*0060*/               @P3 CALL.REL.NOINC `(.L_x_3) ;
        /*0070*/                   BRA `(.L_x_0) ;
.L_x_3:
\t//## File "/x/kernel.py", line 7
        /*0080*/                   STG.E.128 desc[UR4][R2.64], R4 ;
        /*0090*/                   EXIT ;
$div:
        /*00a0*/                   MUFU.RCP64H R3, R3 ;
        /*00b0*/                   RET.REL.NODEC R4 `(kernel) ;
.L_x_4:
        /*00c0*/                   BRA `(.L_x_4);
        /*00d0*/                   NOP;
"""


@pytest.fixture(scope="module")
def evaluation():
    return Evaluation(IR, {"z.pointer": Pointer("z", 4), "n": 3}, program=0, programs=1)


def test_addresses_are_those_of_lanes_that_are_not_masked_off(evaluation):
    *reads, write = evaluation.accesses
    assert [loop.turns for loop in evaluation.loops] == [3] == [len(reads)]
    for access in evaluation.accesses:
        assert access.elements == 8
        assert np.array_equal(np.sort(access.at), np.arange(4, 36, 4))
    assert {a.line for a in reads} == {("callee.py", 5)}
    assert write.line == ("kernel.py", 7)
    assert write.writes


def test_an_unknown_mask_lets_all_through():
    unknown = IR.replace("%known = arith.cmpi slt, %row, %cst", "%known = arith.cmpf olt, %row, %cst")
    made = Evaluation(unknown, {"z.pointer": Pointer("z", 0), "n": 1}, program=0, programs=1)
    assert [a.elements for a in made.accesses] == [16, 16]


def test_loops_multiply_and_unusual_divisions_do_not_count():
    listing = assembly.nvidia(SASS)
    runs = frequencies(listing, [Loop(0, entries=1, turns=5), Loop(1, entries=5, turns=20)])
    executed = {x.op: n for x, n in zip(listing[0], runs, strict=True)}
    assert [executed[op] for op in ("S2R", "LDG.E.64", "FADD", "STG.E.128", "EXIT")] == [1, 5, 20, 1, 1]
    assert executed["MUFU.RCP64H"] == executed["NOP"] == 0
    assert sum(runs) == 1 + 5 + 2 * 20 + 5 + 2 * 5 + 2
    assert frequencies(listing, [Loop(0, 1, 5)]) is None


def test_an_unrolled_loop_turns_less_often(evaluation):
    """Its body reads twice what a turn of the IR's does: 3 of 7 turns, and one that stands behind it."""
    again = "        /*0000*/                   LDG.E.64 R2, desc[UR4][R2.64] ;\n"
    listing = assembly.nvidia(SASS.replace(".L_x_1:", again + ".L_x_1:").replace("/*0080*/", again + "/*0080*/"))
    loops = [Loop(0, 1, 7, reads=(("callee.py", 6), 8)), Loop(1, 7, 7)]
    runs = frequencies(listing, loops)
    assert [n for x, n in zip(listing[0], runs, strict=True) if x.op == "LDG.E.64"] == [3, 3, 1]
    assert [loop.reads for loop in evaluation.loops] == [(("callee.py", 5), 4 * 4 * 4)]


def test_widths_and_sectors_by_argument(evaluation):
    listing = assembly.nvidia(SASS)
    runs = frequencies(listing, [Loop(0, 1, 3), Loop(1, 3, 3)])
    read, written = moved(evaluation.accesses, listing[0], runs)
    # 32 bytes that begin in the middle of a sector.
    assert (read.asked, read.distinct, read.sectors, read.widths) == (96, 32, 64, {64: 3})
    assert (written.asked, written.widths) == (32, {128: 1})


def test_widths_of_amds_names():
    text = "\tbuffer_load_ushort v0\n\tglobal_load_dwordx4 v[0:3]\n\tbuffer_store_byte v0\n\ts_endpgm\n.Lfunc_end0:"
    assert [x.access for x in assembly.amd(text)[0]] == [(False, 16), (False, 128), (True, 8), None]


@pytest.mark.parametrize(
    ("layout", "threads"),
    [
        ("blocked<{sizePerThread = [1, 2], threadsPerWarp = [16, 2], warpsPerCTA = [4, 1], order = [1, 0]}", 64),
        ("blocked<{sizePerThread = [1, 2], threadsPerWarp = [1, 32], warpsPerCTA = [1, 1], order = [1, 0]}", 16),
        ("linear<{register = [], lane = [[0, 1], [0, 2], [1, 0]], warp = [[0, 0], [2, 0]], block = []}", 8),
    ],
)
def test_threads_of_a_column(layout, threads):
    lines = IR.splitlines()
    lines[1] = f"#blocked = #ttg.{layout}>"
    assert column_threads("\n".join(lines)) == threads


@pytest.mark.parametrize(
    ("target", "num_warps", "registers", "shared", "resident"),
    [
        ("sm_90", 4, 32, 0, 64),  # the most
        ("sm_90", 8, 255, 0, 8),  # 2 warps in each of four partitions
        ("sm_90", 1, 32, 0, 32),  # 32 blocks
        ("sm_86", 4, 40, 0, 48),
        ("sm_80", 4, 32, 81 << 10, 8),  # two blocks of 82 KiB with the system's share
        ("sm_80", 4, 32, 82 << 10, 4),
        ("gfx942", 4, 64, 0, 8),
        ("gfx942", 4, 65, 0, 7),
        ("gfx942", 4, 32, 16 << 10, 4),
    ],
)
def test_occupancy(target, num_warps, registers, shared, resident):
    assert TARGETS[target].resident(num_warps, registers, shared) == resident


def test_the_model_of_resized_logits_reads_around_its_nodes():
    tile = {"SOURCE_ROWS": 8, "INTERVALS": 32, "OUTPUTS": 4, "CLASSES": 32}
    made = model(floor("one_pass", 19 * 2 / 16, 1), tile)
    nodes, pixels = 8 * 31, 8 * 31 * 16
    assert made.logits == pytest.approx(10 * 33 * 19 * 2 / pixels)
    assert made.gradient == pytest.approx(nodes * 19 * 2 / pixels)
    assert made.labels == pytest.approx(36 * 128 / pixels)
    assert made.logits + made.again == pytest.approx(10 * 128 * 2 * 19 * 2 / pixels)


def test_the_committed_bytes_are_the_models():
    """Of the whole matrix, of which the machine code tests compile a part."""
    for row in json.loads(RESULTS.read_text())["rows"]:
        for what in ("", "again_"):
            assert row[f"{what}bytes_per_pixel"] == pytest.approx(row[f"model_{what}bytes_per_pixel"], abs=2e-4), row


def test_roofline(job, tmp_path):
    arguments = ("roofline", "--classes", 2, "--dtype", "fp64", "--jobs", 1, "--save", tmp_path / "new" / "roof.json")
    code, out = job(*arguments)
    assert code == 0, out.err
    rows = json.loads((tmp_path / "new" / "roof.json").read_text())["rows"]
    assert [row["plan"] for row in rows if row["layout"] == "nchw"] == ["one_pass", "forward", "backward"]
    assert "2 fp64 backward" in out.out
    assert "roof.json exists" in job(*arguments)[1].err
    assert "--classes: expected 1 or more, got 0" in job("roofline", "--classes", 0)[1].err

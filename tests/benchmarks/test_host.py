"""``python -m benchmarks host``: what is counted and timed, and the stand-in for a GPU's host."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.speed import standin
from benchmarks.speed.host import HostRecord
from benchmarks.storage import read

ROOT = Path(__file__).parents[2]


def test_a_row_of_each_kind(tmp_path):
    """In a process of its own: the stand-in needs kernels that are not interpreted. Without a compiler no row is
    compiled here."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"PYTHONPATH": str(ROOT)}
    file = tmp_path / "host.json"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import benchmarks.speed.host as h; h.TURNS, h.CALLS = 3, 5\n"
         "import sys; from benchmarks.__main__ import main; sys.exit(main())",
         "host", "--device", "cpu", "--modes", "eager", "--losses", "PATLoss", "BLVLoss", "--save", file],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "CPU tensors stand for a GPU's" in done.stdout
    record = read(file, HostRecord)
    assert record.stands_in
    kinds = {(row.loss, row.counts, row.kind, row.mode) for row in record.rows}
    assert kinds == {
        (loss, counts, kind, "eager")
        for loss in ("PATLoss", "BLVLoss")
        for counts in ("given", "batch")
        for kind in ("dense", "resized")
    }
    for row in record.rows:
        assert row.launches == 5
        # Histogram, tables, gradient, loss, autograd's ones, a detachment; and BLV's draw.
        assert row.aten == 6 + (row.loss == "BLVLoss")
        assert 0 < row.bare_us < row.both_us < 100 * row.bare_us
        assert row.both_us == pytest.approx(row.forward_us + row.backward_us)
        assert row.cross_entropy_us > 0
    assert {"loss", "counts", "kind", "mode", "aten", "launches", "forward_us", "backward_us", "both_us", "bare_us",
            "cross_entropy_us"} == set(json.loads(file.read_text())["rows"][0])  # fmt: skip


@pytest.mark.skipif(torch.cuda.is_available(), reason="where kernels are interpreted")
def test_an_interpreted_launch_has_no_host():
    with pytest.raises(ValueError, match=r"^TRITON_INTERPRET: got 1, expected it unset"), standin.gpu():
        pass


def test_the_committed_figures():
    """Within what a call may cost, on the machine where they were taken: two bare functions; compiled, about what a
    compiled cross-entropy costs."""
    record = read(ROOT / "benchmarks/results/cpu-host.json", HostRecord)
    eager, compiled = ([row for row in record.rows if row.mode == mode] for mode in ("eager", "compiled"))
    assert len(eager) == len(compiled) == 8 * 2 * 2
    assert max(row.both_us / row.bare_us for row in eager) <= 2.0
    assert max(row.launches for row in record.rows) <= 6
    assert max(row.both_us / row.cross_entropy_us for row in compiled) <= 1.4

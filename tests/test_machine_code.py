"""Machine code for GPUs that are not here: everything compiles, nothing spills, accesses are 128 bits wide."""

import json
import os
import subprocess
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TARGETS = ["sm_80", "sm_90", "gfx942"]


@pytest.fixture(scope="module", params=TARGETS)
def codes(request):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "tests/aot.py", request.param], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def losses(codes):
    return [
        c for c in codes if c["kernel"] == "loss_kernel" and c["plan"] in ("one_pass", "forward", "map", "backward")
    ]


def test_everything_compiles(codes):
    made = Counter(c["kernel"] for c in codes)
    assert made == {
        # L, dtype and plan of each adjustment; each curve in fp32 and fp64; ragged layouts; resized
        # columns that do not fit the upsample kernel; statistics.
        "loss_kernel": 3 * 2 * (4 + 2 + 2) + 2 * 3 + 2 * 3 + 4 + 3,
        "upsample_kernel": 3 * 2 + 2 + 2 + 3 + (1 + 2) + 2,
        "predict_kernel": 4,
        "tally_kernel": 4,
        "confusion_kernel": 2,
        "histogram_kernel": 3,
        "rescale_kernel": 2,
    }


@pytest.mark.skipif(
    f"triton=={version('triton')}\n" not in (ROOT / "constraints.txt").read_text(),
    reason="registers are the compiler's to allocate: gated on the pinned Triton",
)
def test_nothing_spills(codes):
    """But for two values of the upsample kernel with tables, whose 255 registers are full: stored once a
    program and loaded once a row of cells, outside the loop over the output's rows."""
    allowed = {c["kernel"]: 0 for c in codes} | {"upsample_kernel": 4}
    assert [c for c in codes if c["spills"] > allowed[c["kernel"]]] == []
    assert [c for c in codes if c["spills"] and c["adjustment"] == "none"] == []


def test_128_bit_accesses(codes):
    """H * W divisible by 16 and NCHW: logits and gradient move 16 bytes an instruction, none less."""
    for c in losses(codes):
        assert c["wide_loads"] > 0, c
        writes_gradient = c["plan"] in ("one_pass", "backward")
        if writes_gradient:
            assert c["wide_stores"] > 0, c
            narrow = c["stores"] - c["wide_stores"]
            assert narrow == (c["plan"] == "one_pass"), c  # the partial sum


def test_one_read_and_one_write(codes):
    """A column that lies in one thread: exactly L loads and L stores of 16 bytes for four fp32 pixels.

    That the two class loops of the kernel were merged shows here: unmerged, it would load 2 L.
    """
    for c in losses(codes):
        if (c["target"][:2], c["L"], c["dtype"], c["adjustment"], c["plan"]) == (
            "sm", 19, "torch.float32", "none", "one_pass",
        ):  # fmt: skip
            assert (c["wide_loads"], c["wide_stores"]) == (19, 19), c


def test_a_resized_column_stays_in_registers(codes):
    """Loss and gradient in one launch: the program's first row of nodes and, in the loop, the next one, two
    columns each; label and weight. Longer columns get their pulls first, from a launch of the loss kernel."""
    for L, dtype, kernels in (
        (19, "torch.float32", ["upsample_kernel"]),
        (19, "torch.float64", ["loss_kernel", "upsample_kernel"]),
        (150, "torch.bfloat16", ["loss_kernel", "upsample_kernel"]),
    ):
        case = {"L": L, "dtype": dtype, "adjustment": "none", "plan": "resized one_pass"}
        made = [c for c in codes if case.items() <= c.items()]
        assert [c["kernel"] for c in made] == kernels, case
        if len(made) == 1 and made[0]["target"].startswith("sm"):
            assert made[0]["loads"] == 2 * 2 * L + 2


def test_rescale_is_wide(codes):
    for c in codes:
        if c["kernel"] == "rescale_kernel":
            assert c["wide_loads"] == c["wide_stores"] > 0, c

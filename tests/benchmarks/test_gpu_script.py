"""``benchmarks/gpu.sh`` and its tests part, without a GPU: failures, gaps and a clock that is up end nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.speed.gpu.tests import summary

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
    assert "parts out of: tests kernels speed tiles camvid; got 'sped'" in done.stderr
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


def test_a_parts_folder_comes_as_one_file_too(tmp_path):
    body = 'mkdir -p "$4/camvid"; echo a > "$4/camvid/run.json"'
    assert script("camvid", tmp_path / "out", PYTHON=stand_in(tmp_path, body)).returncode == 0
    listed = subprocess.run(["tar", "-tzf", tmp_path / "out/camvid.tar.gz"], capture_output=True, text=True)
    assert "camvid/run.json" in listed.stdout.splitlines()

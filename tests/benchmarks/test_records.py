"""Records of a measurement: exactly their fields, never overwritten, and as the README shows them."""

import dataclasses
import json
import re

import pytest
import torch

from benchmarks import numbers, storage
from benchmarks.speed.record import Record, Suite
from benchmarks.speed.timing import machine
from benchmarks.speed.trial import run

CPU = torch.device("cpu")

BROKEN = {
    "record: got fields": lambda saved: saved.pop("floor_bytes"),
    "machine: got fields": lambda saved: saved["machine"].update(gpu="?"),
    "rows[0].cost.seconds: got '1', expected float": lambda saved: saved["rows"][0]["cost"].update(seconds="1"),
    "shape[1]: got 5.0, expected int": lambda saved: saved["shape"].__setitem__(1, 5.0),
    "shape: got {}, expected tuple": lambda saved: saved.update(shape={}),
    "rows: got None, expected tuple": lambda saved: saved.update(rows=None),
    "rows[1].not_run: got True, expected str": lambda saved: saved["rows"][1].update(not_run=True),
}


@pytest.fixture(scope="module")
def made():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.speed.timing.bandwidth", lambda _: 1e10)
        return run("losses", "tiny", (1, 5, 16, 24), (16, 24), "fp32", machine(CPU), CPU, rivals=("released",))


@pytest.mark.parametrize("message", BROKEN)
def test_records_have_exactly_their_fields(message, made, tmp_path):
    file = tmp_path / "record.json"
    storage.write(file, made)
    assert storage.read(file, Record) == made
    saved = json.loads(file.read_text())
    BROKEN[message](saved)
    file.write_text(json.dumps(saved))
    with pytest.raises(ValueError, match=re.escape(f"{file}: {message}")):
        storage.read(file, Record)


def test_nothing_is_overwritten(made, tmp_path, job):
    file = tmp_path / "taken.json"
    storage.write(file, made)
    with pytest.raises(FileExistsError):
        storage.write(file, made)
    assert "taken.json exists" in job("losses", "--shape", 1, 5, 16, 24, "--save", file)[1].err


def test_the_readme_shows_a_record(made, tmp_path, monkeypatch):
    monkeypatch.setattr(numbers, "RESULTS", tmp_path)
    storage.write(tmp_path / "there.json", made)
    text = "a\n<!-- figures there.json -->\nold\n<!-- end -->\nb\n<!-- figures missing.json -->\n<!-- end -->\n"
    filled = numbers.filled(text)
    pat = next(line for line in filled.splitlines() if line.startswith("| PATLoss |"))
    assert f"{made.ours('PATLoss').seconds * 1e3:.3g} (" in pat
    assert filled.startswith("a\n<!-- figures there.json -->\n1x5x16x24, fp32, loss + gradient, ")
    assert "old" not in filled
    assert filled.endswith("b\n<!-- figures missing.json -->\nNot measured yet.\n<!-- end -->\n")
    assert numbers.filled(filled) == filled


def test_the_summary_of_records(made, tmp_path, monkeypatch):
    """One line a size, whether the records are in a file each or in one, and none for a file that is not there."""
    monkeypatch.setattr(numbers, "RESULTS", tmp_path)
    storage.write(tmp_path / "one.json", made)
    storage.write(tmp_path / "two.json", Suite((made, dataclasses.replace(made, dtype="bf16"))))
    text = numbers.filled("<!-- summary missing.json one.json two.json -->\n<!-- end -->\n")
    lines = [line for line in text.splitlines() if line.startswith("| 1x5x16x24, fp32 | ")]
    assert len(lines) == 2
    assert lines[0] == lines[1]
    eager = made.cost("PATLoss", ("eager",)).seconds / made.ours("PATLoss").seconds
    assert f" ({eager:.1f}x) | " in lines[0]
    assert "bf16" not in text
    missing = numbers.filled("<!-- summary missing.json -->\n<!-- end -->\n")
    assert missing == "<!-- summary missing.json -->\nNot measured yet.\n<!-- end -->\n"

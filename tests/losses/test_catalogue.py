"""A loss is entered in ``losses.py`` and ``reference/``; every other list of losses follows, and registered curves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import pat_triton
import reference
from benchmarks import loss_table
from benchmarks.speed import contest, formulas, ours
from benchmarks.training.expression import parse
from pat_triton import curves, losses, region_losses

ROOT = Path(__file__).parents[2]
CURVE = """
import dataclasses
import torch
import pat_triton

@dataclasses.dataclass(frozen=True)
class Twice(pat_triton.Curve):
    factor: float = 2.0
    name = "twice"

    def __call__(self, u, p, q):
        return -self.factor * u, torch.full_like(u, -self.factor)

pat_triton.register(Twice)
"""
ENTERED = """
import sys, torch, pat_triton, reference
from pat_triton import losses
from pat_triton.curves import Focal
from pat_triton.adjustment import LogPrior

class Loss(pat_triton.SegmentationLoss):
    entry = losses.Entry("new", "offset |log n_l|", "(1 - p)^gamma", "1 / labelled", "nobody")
    def __init__(self, class_counts=None, gamma=1.0, **options):
        super().__init__(Focal(gamma), LogPrior(), class_counts=class_counts, **options)

class Reference(reference.FocalLoss):
    def terms(self, z, y, counts):
        return super().terms(z + self.n(counts).clamp(min=1).log()[:, None, None].to(z.dtype), y, counts)
    def __init__(self, class_counts=None, gamma=1.0, **options):
        super().__init__(gamma, class_counts=class_counts, **options)

losses.CATALOGUE["NewLoss"] = pat_triton.NewLoss = type("NewLoss", (Loss,), {})
reference.NewLoss = Reference

from benchmarks import loss_table
from benchmarks.speed import contest, formulas
from benchmarks.training import arguments, expression
assert "| `NewLoss(class_counts=None, gamma=1)` | offset \\\\|log n_l\\\\| |" in loss_table.markdown()
assert "NewLoss" in contest.LOSSES
assert "NewLoss" in arguments.add_arguments.__globals__["CATALOGUE"]
made = expression.parse("NewLoss(gamma=2)")
counts = torch.tensor([5, 9, 1])
z, y = torch.randn(2, 3, 4, 6), torch.randint(0, 3, (2, 8, 12))
theirs = expression.rival(made, counts, False)(z, y)
torch.testing.assert_close(theirs, made.build(class_counts=counts)(z, y), rtol=1e-5, atol=0)
if sys.argv[1:]:
    from libraries import needed
    needed("mmseg", "mmseg.models")
    from pat_triton.integrations import mmseg
    assert mmseg.FusedNewLoss(gamma=2).loss_name == "loss_new"
print("followed")
"""


@pytest.mark.parametrize("framework", ["", "mmseg"])
def test_every_list_follows(framework):
    if framework:
        pytest.importorskip(framework)
    done = subprocess.run(
        [sys.executable, "-c", ENTERED, *framework.split()], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )  # fmt: skip
    assert done.stdout == "followed\n", done.stderr


def test_the_lists_are_one():
    every = {**losses.CATALOGUE, **region_losses.REGIONS}
    assert set(every) == {*losses.__all__, *region_losses.__all__} == set(reference.__all__) - {"SumLoss"}
    assert set(every) == {n for n in pat_triton.__all__ if n.endswith("Loss")} - {"SegmentationLoss", "SumLoss"}
    assert (*losses.CATALOGUE, *ours.SUMS) == contest.LOSSES == tuple(formulas.FORMULAS)
    shorts = [kind.entry.short for kind in losses.CATALOGUE.values()]
    assert len({*shorts, *(kind.short for kind in region_losses.REGIONS.values())}) == len(every)
    assert loss_table.markdown().count("\n") == len(losses.CATALOGUE) + 3


@pytest.fixture
def registry():
    """As it was, after a test that registers."""
    kept = dict(curves.CURVES)
    yield
    curves.CURVES.clear()
    curves.CURVES.update(kept)


@pytest.mark.parametrize("text", ["SegmentationLoss(Twice(3), LogPrior())", "SegmentationLoss(curve=Twice(factor=3))"])
def test_registered_curves_on_the_command_line(text, registry):
    exec(CURVE, {"__name__": "mine"})
    assert parse(text).build().curve.parameters == (3,)
    assert parse("SegmentationLoss(twice)").build().curve.parameters == (2,)
    with pytest.raises(ValueError, match=r"Twice: got unexpected keywords, 'facto' \(did you mean 'factor'\?\)"):
        parse("SegmentationLoss(Twice(facto=3))")


def test_modules_that_register_curves(job, registry, tmp_path, monkeypatch):
    """They are imported again where a run goes on."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_curves.py").write_text(CURVE)
    common = ("train", "--steps", 1, "--batch", 2, "--size", 32, 32, "--width", 2, "--no-measure", "--device", "cpu")
    loss = ("--loss", "SegmentationLoss(Twice(3))", "--out", tmp_path / "runs")
    code, out = job(*common, *loss, "--import", "my_curve")
    assert code == 2
    assert "--import: got 'my_curve', expected a module that Python finds, such as mine for the file mine.py" in out.err
    code, out = job(*common, *loss)
    assert "got 'Twice(3)', expected a number, a word, or a part of a loss such as Focal(2), known: Cross" in out.err
    code, out = job(*common, *loss, "--import", "my_curves")
    assert code == 0, out.err
    del curves.CURVES["twice"], sys.modules["my_curves"]
    (folder,) = (tmp_path / "runs").iterdir()
    code, out = job("train", "--resume", folder)
    assert code == 0, out.err
    del sys.modules["my_curves"]


def test_a_formula_that_is_written_is_not_the_references():
    assert set(formulas.WRITTEN) - set(ours.SUMS) <= set(losses.CATALOGUE)
    logits, target = torch.randn(1, 3, 2, 2), torch.randint(0, 3, (1, 2, 2))
    for loss in losses.CATALOGUE:
        if loss == "BLVLoss":  # of another draw
            continue
        counts = torch.tensor([5, 9, 1])
        values = [
            f.loss(logits, target, *f.tables(counts)) for f in (formulas.FORMULAS[loss], formulas.of_reference(loss))
        ]
        torch.testing.assert_close(*values, rtol=1e-5, atol=0)

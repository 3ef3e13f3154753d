"""A loss in an exported program, loaded again, and compiled ahead of time."""

import shutil

import pytest
import torch
from cases import COUNTS, CPU, GPU
from graphs import fresh  # noqa: F401  (a fixture of every test here)
from steps import CLASSES, RESIZED, batch

import pat_triton

needs_inductor = pytest.mark.skipif(
    GPU.type == "cpu" and not shutil.which("g++"), reason="inductor needs a C++ compiler on a CPU"
)


class Deployed(torch.nn.Module):
    """What may be exported of a network: labels at full size, and its loss."""

    def __init__(self, criterion):
        super().__init__()
        self.criterion = criterion

    def forward(self, logits, target):
        return pat_triton.predict(logits, target.shape[1:]), self.criterion(logits, target)


EXPORTED = [pat_triton.PATLoss(temperature=7.0), pat_triton.LDAMLoss(COUNTS, loss_weight=0.5)]


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # torch 2.11's loader
@pytest.mark.parametrize("criterion", EXPORTED)
def test_export(criterion, tmp_path):
    """Saved and loaded, for batches of any number and size."""
    module = Deployed(criterion).eval()
    logits, target = (t.detach() for t in batch(RESIZED[0], CPU))
    any_size = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    sizes = {"logits": any_size, "target": {d - (d > 0): of for d, of in any_size.items()}}
    program = torch.export.export(module, (logits, target), dynamic_shapes=sizes)
    torch.export.save(program, tmp_path / "it.pt2")
    loaded = torch.export.load(tmp_path / "it.pt2").module()
    for other in RESIZED:
        logits, target = (t.detach() for t in batch(other, CPU))
        for a, b in zip(loaded(logits, target), module(logits, target), strict=True):
            assert torch.equal(a, b)


@needs_inductor
@pytest.mark.skipif(
    GPU.type == "cuda" and torch.__version__.startswith("2.11."), reason="its loader ended the process on an H200"
)
@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")  # torch's own
@pytest.mark.untouched  # the poison fills memory that a file is loaded to
@pytest.mark.parametrize(
    "criterion",
    [
        pat_triton.PATLoss(temperature=7.0),
        pat_triton.PATLoss() + pat_triton.DiceLoss() + pat_triton.JaccardLoss(weight=[1.0] * CLASSES),
    ],
    ids=["one loss", "a sum"],
)
def test_ahead_of_time(criterion, tmp_path):
    """Compiled by AOTInductor, in a file."""
    module = Deployed(criterion).eval().to(GPU)
    logits, target = (t.detach() for t in batch(RESIZED[0], GPU))
    program = torch.export.export(module, (logits, target))
    file = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "it.pt2"))
    loaded = torch._inductor.aoti_load_package(file)
    for a, b in zip(loaded(logits, target), module(logits, target), strict=True):
        assert torch.equal(a, b)

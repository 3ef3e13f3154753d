"""What imports what: the package without triton, the reference alone, layers one way."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


HIDE = """
import sys
class Hidden:
    def find_spec(self, name, *_):
        if name.split(".")[0] == "triton":
            raise ModuleNotFoundError("No module named 'triton'", name=name)
sys.meta_path.insert(0, Hidden())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "triton" else found(name, *a)
"""


def test_works_without_triton():
    code = (
        HIDE
        + """
import torch, pat_triton
z, y = torch.randn(2, 5, 3, 4, requires_grad=True), torch.zeros(2, 3, 4).long()
pat_triton.PATLoss()(z, y).backward()
try:
    pat_triton.PATLoss(backend="triton")(z, y)
except ValueError as error:
    print(error)
assert not any(m.split(".")[0] == "triton" for m in sys.modules)
"""
    )
    assert python(code) == (
        "backend: 'triton' needs the package triton, which is not installed; 'auto' works without it"
    )


def test_the_benchmarks_start_without_triton():
    """``train``, the main job, is for every machine; a job that needs Triton says so."""
    code = (
        HIDE
        + """
from benchmarks.__main__ import main
sys.stderr = sys.stdout
for job in ("host", "roofline"):
    sys.argv[1:] = [job]
    assert main() == 2
assert not any(m.split(".")[0] == "triton" for m in sys.modules)
"""
    )
    needs = "python -m benchmarks: error: {} needs the package triton, which is not installed"
    assert python(code).splitlines() == [needs.format("host"), needs.format("roofline")]


def test_auto_on_a_cpu_is_torch_and_triton_says_what_it_needs():
    code = """
import torch, pat_triton
z, y = torch.randn(2, 5, 3, 4), torch.zeros(2, 3, 4).long()
pat_triton.PATLoss()(z, y)
try:
    pat_triton.PATLoss(backend="triton")(z, y)
except ValueError as error:
    print(error)
"""
    assert python(code, TRITON_INTERPRET="0") == (
        "backend: 'triton' needs logits on cuda or xpu, got cpu; on a CPU it runs only in Triton's interpreter, "
        "with TRITON_INTERPRET=1 set before Python starts"
    )


def test_import_is_light():
    loaded = python(
        "import sys, torch; before = set(sys.modules); import pat_triton; print(*set(sys.modules) - before)"
    )
    roots = {name.split(".")[0] for name in loaded.split()}
    assert not roots & {"triton", "reference", "benchmarks", "matplotlib", "rich", "PIL"}


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


@pytest.mark.parametrize("file", sorted((ROOT / "reference").glob("*.py")), ids=lambda f: f.name)
def test_the_reference_shares_only_the_formula(file):
    assert not [name for name in imports(file) if name.split(".")[0] in {"triton", "pat_triton", "benchmarks"}]


def test_only_kernels_import_triton():
    """And what knows Triton's launcher, when a kernel was launched."""
    for file in (ROOT / "pat_triton").rglob("*.py"):
        if file.name == "private.py" or file.parent.name == "triton":
            continue
        assert not [name for name in imports(file) if name.split(".")[0] == "triton"], file


def test_no_kernel_and_no_path_knows_a_loss():
    """A loss is data and a curve: nothing below the catalogue switches on its name."""
    names = ("pat", "blv", "ldam", "bms", "balanced", "crossentropyloss", "focalloss")
    for file in [
        *(ROOT / "pat_triton").glob("*/**/*.py"),
        ROOT / "pat_triton/autograd.py",
        ROOT / "pat_triton/plan.py",
    ]:
        used = {n.id.lower() for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Name)}
        assert not used & set(names), file

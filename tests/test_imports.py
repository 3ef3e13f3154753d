"""What imports what: the package without triton, the reference alone, layers one way."""

import ast
import os
import re
import subprocess
import sys
from collections import Counter
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


# Of the benchmarks, and the other rooms that each may use; ``__main__`` and ``numbers``, beside them, know all.
ROOMS: dict[str, set[str]] = {"training": {"speed"}, "speed": set(), "codegen": set(), "paper": {"training", "speed"}}
FRONT = ("__main__.py", "numbers.py")
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))


def imported(file):
    """Every module, and every name of one, that the file imports, in full: ``benchmarks.speed.cost.Cost``."""
    package = file.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            yield from (".".join((*base, *filter(None, [node.module]), alias.name)) for alias in node.names)


@pytest.mark.parametrize("file", BENCHMARKS, ids=lambda file: str(file.relative_to(ROOT / "benchmarks")))
def test_a_room_of_the_benchmarks_uses_no_other(file):
    """But for those that the first lines of its package name."""
    room = file.relative_to(ROOT / "benchmarks").parts[0]
    allowed = ROOMS.get(room, set(ROOMS) if room in FRONT else set()) | {room}
    used = {name.split(".")[1] for name in imported(file) if name.startswith("benchmarks.")}
    assert used & set(ROOMS) <= allowed


def test_every_room_of_the_benchmarks_says_what_it_uses():
    for room, others in ROOMS.items():
        said = ast.get_docstring(ast.parse((ROOT / "benchmarks" / room / "__init__.py").read_text()))
        assert said.startswith(f"Room ``{room}``: ")
        uses = said[said.index("Uses ") :]
        assert {other for other in ROOMS if f"``{other}``" in uses} == others


def own_private_names(file):
    nodes = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef | ast.ClassDef))
    return {node.name for node in nodes if re.match("_[a-zA-Z]", node.name)}


def used_names(file):
    """Attributes of others, parts of imports, and strings, by which a test double is put in the place of something."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) != "self":
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from node.value.split(".")
    for name in imported(file):
        yield from name.split(".")


def test_the_benchmarks_use_no_private_name():
    """Neither of the package nor of another module of theirs: what is needed has a public place."""
    owners = {file: own_private_names(file) for file in [*BENCHMARKS, *(ROOT / "pat_triton").rglob("*.py")]}
    for file in BENCHMARKS:
        others = set().union(*(names for owner, names in owners.items() if owner != file)) - owners[file]
        used = set(used_names(file)) & others
        assert not used, f"{file}: {used}"


def test_a_file_of_tests_is_imported_by_its_name_alone():
    """So a name is one file's, and no folder is a package: ``tests/benchmarks`` would hide the benchmarks. A test, too,
    has a name of its own, by which it is found."""
    files = list((ROOT / "tests").rglob("*.py"))
    assert not [file for file in files if file.name == "__init__.py"]
    names = [file.stem for file in files if file.name != "conftest.py"]
    assert not [file for file in files for name in imports(file) if name.startswith("test_")]  # it may lie elsewhere
    tests = re.findall(r"^def (test_\w+)", "\n".join(file.read_text() for file in files), re.M)
    for count in (Counter(names), Counter(tests)):
        assert not [name for name, number in count.items() if number > 1]


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

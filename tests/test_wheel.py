"""What is built holds the package and nothing else, and computes beside torch alone."""

import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import pat_triton

ROOT = Path(__file__).parent.parent
SOURCES = {
    str(path.relative_to(ROOT)) for path in (ROOT / "pat_triton").rglob("*") if path.suffix in (".py", ".typed", ".md")
}
NAME = f"pat_triton-{pat_triton.__version__}"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of a wheel and a source distribution, as the backend of pyproject.toml makes them."""
    folder = tmp_path_factory.mktemp("dist")
    code = f"from flit_core import buildapi as b; b.build_wheel({str(folder)!r}); b.build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    return folder


def test_the_wheel_is_the_package(built):
    names = set(zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl").namelist())
    about = {name for name in names if name.startswith(f"{NAME}.dist-info/")}
    assert names - about == SOURCES
    assert f"{NAME}.dist-info/licenses/LICENSE" in about
    assert {"pat_triton/py.typed", "pat_triton/README.md"} <= names


def test_the_source_distribution_builds_the_package(built):
    with tarfile.open(built / f"{NAME}.tar.gz") as archive:
        names = {member.name.removeprefix(f"{NAME}/") for member in archive.getmembers() if member.isfile()}
    assert names == SOURCES | {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO"}


def test_the_version_is_in_one_place():
    found = subprocess.run(
        ["git", "grep", "-l", "--fixed-strings", f'"{pat_triton.__version__}"', "--", "*.py", "*.toml"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert found.stdout.split() == ["pat_triton/__init__.py"]


def beside(folder, *names):
    """Links to installed packages and what they need, but no triton and no numpy."""
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        if name in seen or name in ("triton", "numpy"):
            continue
        seen.add(name)
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(found.locate_file(top))
        needs = map(Requirement, found.requires or ())
        waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]


USED = """
import importlib.util, torch, pat_triton
assert all(importlib.util.find_spec(name) is None for name in ("triton", "numpy"))
z = torch.randn(2, 5, 8, 8, dtype=torch.float64, requires_grad=True)
y = torch.randint(0, 5, (2, 16, 16))
loss = pat_triton.PATLoss()(z, y)
loss.backward()
p = torch.nn.functional.interpolate(z.detach(), (16, 16), mode="bilinear").log_softmax(1).gather(1, y[:, None])[:, 0]
sizes = torch.stack([(y == c).flatten(1).sum(1) for c in range(5)], 1)
beta = torch.exp((1 - p.exp()) / 20)
expected = -(beta * p / sizes.gather(1, y.flatten(1)).view_as(y)).sum() / 2
torch.testing.assert_close(loss.detach(), expected)
assert z.grad.abs().sum() > 0
print(pat_triton.__version__, pat_triton.__file__)
"""


def test_an_empty_environment(built, tmp_path):
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    wheel = built / f"{NAME}-py3-none-any.whl"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    (site,) = environment.glob("lib/python*/site-packages")
    beside(site, "torch")
    done = subprocess.run([python, "-c", USED], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [pat_triton.__version__, str(site / "pat_triton" / "__init__.py")]

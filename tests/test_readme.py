"""The README is executed: every Python block runs, and its commands are the ones that CI runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def test_code_runs(tmp_path):
    """Each block alone, from a file, because Triton reads the source of a kernel; in the interpreter where there is
    no GPU. One process runs them one after the other: importing torch takes longer than they do."""
    files = [tmp_path / f"block_{number}.py" for number in range(len(BLOCKS))]
    for file, block in zip(files, BLOCKS, strict=True):
        file.write_text(block.replace('"auto"', '"triton"'))
    run = "import runpy, sys\nfor file in sys.argv[1:]: runpy.run_path(file, run_name='__main__'); print(file)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", run, *files], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [str(file) for file in files] == [
        line for line in done.stdout.splitlines() if line.startswith(str(tmp_path))
    ]


def test_ci_runs_the_readmes_test_command():
    (command,) = re.findall(r"<!-- test command -->\n```sh\n(.*?)```", README, re.S)
    extraction = re.search(r"sed -n .*README\.md", (ROOT / ".ci/run").read_text()).group()
    printed = subprocess.run(["bash", "-c", extraction], cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout == command
    assert "-c constraints.txt" in command


def test_every_loss_is_in_the_table():
    import pat_triton

    for name in pat_triton.__all__:
        if name.endswith("Loss"):
            assert f"`{name}" in README


def test_the_figures_are_those_measured():
    """Each numbers table is generated from the committed JSON: ``python -m benchmarks numbers``."""
    from benchmarks import numbers

    assert len(numbers.SECTION.findall(README)) >= 2
    assert numbers.filled(README) == README


def test_every_promise_names_its_test():
    linked = re.findall(r"\]\((tests/[^)]+)\)", README)
    assert len(linked) > 15
    for file in linked:
        assert (ROOT / file).is_file(), file

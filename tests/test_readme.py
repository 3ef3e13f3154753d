"""Every README is executed: its Python blocks run, its links lead somewhere, its commands are CI's."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import numbers

ROOT = numbers.ROOT
README = (ROOT / "README.md").read_text()
FILES = {str(file.relative_to(ROOT)): file.read_text() for file in numbers.readmes()}
CODE = re.compile(r"```python\n(.*?)```", re.S)
SECTIONS = [
    pytest.param(found[0], id=f"{name}-{found[2]}-{found[3]}")
    for name, text in FILES.items()
    for found in numbers.SECTION.finditer(text)
]


def test_there_is_one_for_every_reader():
    expected = {f"{folder}README.md" for folder in ("", "benchmarks/", "benchmarks/paper/", "pat_triton/", "tests/")}
    assert expected <= set(FILES)


def test_code_runs(tmp_path):
    """Each block alone, from a file, because Triton reads the source of a kernel; in the interpreter where there is
    no GPU. One process runs them one after the other: importing torch takes longer than they do."""
    blocks = [(name, block) for name, text in FILES.items() for block in CODE.findall(text)]
    files = []
    for number, (name, block) in enumerate(blocks):
        files.append(tmp_path / f"{name.replace('/', '_').removesuffix('.md')}_{number}.py")
        files[-1].write_text(block.replace('"auto"', '"triton"'))
    run = "import runpy, sys\nfor file in sys.argv[1:]: runpy.run_path(file, run_name='__main__'); print(file)"
    # The interpreter warns of infinities that a mask takes away; so it does in the other tests.
    strict = ("-W", "error", "-W", "ignore::RuntimeWarning:triton.runtime.interpreter")
    done = subprocess.run(
        [sys.executable, *strict, "-c", run, *files], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [str(file) for file in files] == [
        line for line in done.stdout.splitlines() if line.startswith(str(tmp_path))
    ]
    assert len(files) >= 5


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
            assert any(f"`{name}" in text for text in FILES.values()), name


@pytest.mark.parametrize("section", SECTIONS)
def test_the_figures_are_those_measured(section):
    """Each generated section is as the committed records give it: ``python -m benchmarks numbers``."""
    assert numbers.filled(section) == section


def test_every_generated_section_has_its_end():
    """A misspelt kind of section would stay as it is forever."""
    for name, text in FILES.items():
        assert text.count("<!-- end -->") == len(numbers.SECTION.findall(text)), name
    assert len(SECTIONS) >= 10


@pytest.mark.parametrize("name", FILES)
def test_every_link_leads_somewhere(name):
    """To a file of the repository, and to a heading of it."""
    plain = _without_code(FILES[name])
    for target in re.findall(r"\]\(([^)\s]+)\)", plain):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), target
        assert file.resolve().is_relative_to(ROOT.resolve()), target
        if anchor:
            assert anchor in _anchors(file), target


def test_every_promise_names_its_test():
    linked = re.findall(r"\]\(((?:\w+/)*test_\w+\.py)\)", FILES["tests/README.md"])
    assert len(linked) > 15
    assert all((ROOT / "tests" / file).is_file() for file in linked)


def test_five_minutes():
    """The first README is for a newcomer; what is long is in a folder's."""
    assert len(README.splitlines()) <= 200


def _without_code(text):
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)


def _anchors(file: Path):
    """Of the headings of a Markdown file, as GitHub names them; a name that occurs again is numbered."""
    found: dict[str, int] = {}
    anchors = set()
    for heading in re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", file.read_text(), flags=re.S), re.M):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        anchors.add(f"{anchor}-{found[anchor]}" if anchor in found else anchor)
        found[anchor] = found.get(anchor, 0) + 1
    return anchors

"""Where the kernels run, and uninitialised memory poisoned.

Without a GPU the real kernels run in Triton's interpreter, on CPU tensors. Triton decides that at
import, so the variable is set before anything imports it.
"""

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

import pytest

try:
    from hypothesis import HealthCheck, settings
except ModuleNotFoundError:  # on a borrowed machine: benchmarks/gpu.sh leaves out the drawn cases there
    pass
else:
    # The same examples every time, in CI; many others by ``pytest --hypothesis-profile=thorough``.
    settings.register_profile(
        "quick",
        max_examples=4,
        derandomize=True,
        database=None,
        deadline=None,
        # The fixtures below are the same for all examples of a test.
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    settings.register_profile(
        "thorough", settings.get_profile("quick"), max_examples=200, derandomize=False, print_blob=True
    )
    settings.load_profile("quick")


def _poisoned(make):
    def poisoned(*args, **kwargs):
        made = make(*args, **kwargs)
        if made.is_floating_point():
            return made.fill_(float("nan"))
        return made.fill_(123) if made.dtype != torch.bool else made

    return poisoned


@pytest.fixture(autouse=True)
def no_scratch():
    """Scratch memory is allocated anew: poisoned, and seen by who watches memory."""
    from pat_triton.eager import room

    room.forget()


@pytest.fixture(autouse=True)
def poison(monkeypatch, request):
    """Whatever reads memory before writing it reads NaN. ``@pytest.mark.untouched`` leaves it lazy."""
    if request.node.get_closest_marker("untouched"):
        return
    for owner, name in ((torch, "empty"), (torch, "empty_like"), (torch.Tensor, "new_empty")):
        monkeypatch.setattr(owner, name, _poisoned(getattr(owner, name)))


@pytest.fixture(scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def job(monkeypatch, capsys):
    """``python -m benchmarks`` with these arguments: its exit status and what it printed."""
    from benchmarks.__main__ import main

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["benchmarks", *map(str, arguments)])
        code = main()
        return code, capsys.readouterr()

    return run

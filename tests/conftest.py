"""Where the kernels run, uninitialised memory poisoned, and settings of the process that no test may leave changed.

Without a GPU the real kernels run in Triton's interpreter, on CPU tensors. Triton decides that at
import, so the variable is set before anything imports it.
"""

import contextlib
import functools
import gc
import os
import re
import shutil
import types
import warnings

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

import pytest
from quick import QUICK

try:
    from hypothesis import HealthCheck, settings
except ModuleNotFoundError:  # on a borrowed machine: benchmarks/gpu.sh leaves out the drawn cases there
    pass
else:
    # The same examples every time, in CI; many others by ``pytest --hypothesis-profile=thorough``.
    settings.register_profile(
        "quick",
        max_examples=2,
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


NO_PARAMETERS = types.SimpleNamespace(params={})


def _possible(loss=None, reduction=None, gradient=None, **_):
    return not getattr(loss, "has_regions", False) or (reduction != "none" and gradient != "one_pass")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    # A region loss has no map of its pixels, and no gradient that is made in forward.
    possible = [_possible(**getattr(item, "callspec", NO_PARAMETERS).params) for item in items]
    config.hook.pytest_deselected(items=[item for item, ok in zip(items, possible, strict=True) if not ok])
    items[:] = [item for item, ok in zip(items, possible, strict=True) if ok]
    # What compiles for minutes begins first: at the end one worker would wait for the other.
    items.sort(key=lambda item: item.path.stem != "test_machine_code")
    for item in items:
        pattern = QUICK.get(item.path.stem)
        if pattern is not None and re.search(pattern, item.name):
            item.add_marker("quick")


# A worker has one core. A test that is about threads sets their number itself.
torch.set_num_threads(1)

# The interpreter makes millions of small tuples, which refer to nothing that refers to them: looking for cycles
# at each 700 of them is a tenth of the suite's time.
gc.set_threshold(50_000, 20, 100)


def _poisoned(make):
    def poisoned(*args, **kwargs):
        made = make(*args, **kwargs)
        if made.is_floating_point():
            return made.fill_(float("nan"))
        return made.fill_(123) if made.dtype != torch.bool else made

    return poisoned


@pytest.fixture(autouse=True)
def nothing_kept():
    """Scratch memory is allocated anew: poisoned, and seen by who watches memory. So are plans, for tiles and settings
    that a test has changed."""
    from pat_triton.backends.torch import workspace
    from pat_triton.call import forget

    workspace.forget()
    forget()


@pytest.fixture(autouse=True)
def poison(settings_are_put_back, monkeypatch, request):
    """Whatever reads memory before writing it reads NaN. ``@pytest.mark.untouched`` leaves it lazy."""
    if request.node.get_closest_marker("untouched"):
        return
    for owner, name in ((torch, "empty"), (torch, "empty_like"), (torch.Tensor, "new_empty")):
        monkeypatch.setattr(owner, name, _poisoned(getattr(owner, name)))


class Kept:
    """Stands for the scope of a patch that stays."""

    def restore(self):
        """Nothing is restored."""


@pytest.fixture(scope="session", autouse=True)
def language_patched_once():
    """The interpreter replaces every function of ``triton.language`` at each launch, and looks for what it has
    not replaced yet at each call of a ``triton.jit`` function from another: two thirds of a kernel's time. Here it
    does so once for each function, and what it has replaced stays replaced. The kernels are executed as before;
    ``test_sharing`` and ``test_readme`` have them in processes of their own, where nothing is changed."""
    if torch.cuda.is_available():
        yield
        return
    import triton.language as tl
    from triton.runtime import interpreter

    patched = functools.cache(interpreter._patch_lang)

    def patch_once(fn):
        patched(fn)
        return Kept()

    of_scalars = functools.cache(interpreter._get_np_dtype)

    def dtype_once(kind):
        """It makes a table of all dtypes at each call."""
        scalar = kind.scalar
        return of_scalars(tl.uint64 if scalar.is_ptr() else scalar)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter, "_patch_lang", patch_once)
        patch.setattr(interpreter, "_get_np_dtype", dtype_once)
        yield


READ = ("PAT_TRITON_VALIDATE", "TRITON_INTERPRET", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "RANK", "WORLD_SIZE")


def _set_environment(before):
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _set_sync_debug_mode(mode):
    """PyTorch warns that this mode is a prototype; an error in its stead would leave the mode on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype", UserWarning)
        torch.cuda.set_sync_debug_mode(mode)


# What a test may change in the whole process: how it is read, and how it is put back.
SETTINGS = {
    # Libraries add variables of their own when they are imported.
    "the environment": (lambda: {name: os.environ.get(name) for name in READ}, _set_environment),
    "the working directory": (os.getcwd, os.chdir),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": (torch.get_default_device, torch.set_default_device),
    "torch's grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's anomaly mode": (torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    "deterministic algorithms": (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    "matmul's precision": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "cudnn.benchmark": (
        lambda: torch.backends.cudnn.benchmark,
        lambda before: setattr(torch.backends.cudnn, "benchmark", before),
    ),
    "cudnn.deterministic": (
        lambda: torch.backends.cudnn.deterministic,
        lambda before: setattr(torch.backends.cudnn, "deterministic", before),
    ),
}
if torch.cuda.is_available():
    SETTINGS["the current GPU"] = torch.cuda.current_device, torch.cuda.set_device
    SETTINGS["CUDA's sync debug mode"] = torch.cuda.get_sync_debug_mode, _set_sync_debug_mode


@pytest.fixture(autouse=True)
def settings_are_put_back():
    """A test that leaves one of ``SETTINGS`` changed fails, and the next one runs as if it had not."""
    before = {name: read() for name, (read, _) in SETTINGS.items()}
    yield
    changed = [name for name, (read, _) in SETTINGS.items() if read() != before[name]]
    for name in changed:
        SETTINGS[name][1](before[name])
    assert not changed, f"the test left changed: {', '.join(changed)}"


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """``made_once(name, make)``: the folder that ``make(folder)`` filled, once for all workers of a run."""
    import fcntl

    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name, make):
        folder, unfinished = base / name, base / f"{name}.unfinished"
        with open(base / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return made


@pytest.fixture(autouse=True)
def seeded():
    """What a test draws without a seed does not depend on the tests before it."""
    torch.manual_seed(0)


@pytest.fixture
def no_host_sync():
    """A context in which PyTorch raises on any host synchronisation."""

    @contextlib.contextmanager
    def forbidden():
        before = torch.cuda.get_sync_debug_mode()
        try:
            _set_sync_debug_mode("error")
            yield
        finally:
            _set_sync_debug_mode(before)

    return forbidden


@pytest.fixture
def job(monkeypatch, capsys):
    """``python -m benchmarks`` with these arguments: its exit status and what it printed."""
    from benchmarks.__main__ import main

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["benchmarks", *map(str, arguments)])
        code = main()
        return code, capsys.readouterr()

    return run

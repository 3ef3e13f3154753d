"""The device that is asked for, and what a measurement was made on."""

import argparse
import platform
import shutil
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

import torch

import pat_triton


@dataclass(frozen=True)
class Machine:
    """driver and capability of a GPU; threads of a CPU; bandwidth: bytes a second of a large copy, read and written."""

    device: str
    driver: str | None
    capability: str | None
    threads: int
    bandwidth: float
    python: str
    torch: str
    triton: str | None
    pat_triton: str
    date: str


def described(device: torch.device, bandwidth: float) -> Machine:
    """The machine of that device as it is now."""
    on_gpu = device.type == "cuda"
    return Machine(
        device=torch.cuda.get_device_name(device) if on_gpu else _cpu(),
        driver=_driver() if on_gpu else None,
        capability=".".join(map(str, torch.cuda.get_device_capability(device))) if on_gpu else None,
        threads=torch.get_num_threads(),
        bandwidth=bandwidth,
        python=platform.python_version(),
        torch=torch.__version__,
        triton=version("triton"),
        pat_triton=pat_triton.__version__,
        date=time.strftime("%Y-%m-%d"),
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """For ``pick`` or ``pick_timed``."""
    parser.add_argument("--device", default="auto", help="auto (the default), cpu, cuda, ...")


def pick(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device: got {name!r}, expected a device of this machine ({reason})") from error
    if device.type == "cuda":
        torch.cuda.set_device(device)  # events and profiles are those of the current one
    return device


def pick_timed(name: str) -> torch.device:
    """As ``pick``, of the kinds whose clock is known here: on others a call may return before it is done."""
    device = pick(name)
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"--device: got {name!r}, expected cpu or cuda")
    return device


def version(package: str) -> str | None:
    try:
        return installed(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def _driver() -> str | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True)
    return done.stdout.split("\n")[0].strip() or None

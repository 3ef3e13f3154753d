"""A pytest plugin: the kernels' tests alone, those that need a GPU first, their outcomes written as they come."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", metavar="FILE", help="a JSON line for each test, written when it ends")
    parser.addoption("--seconds", type=float, default=float("inf"), metavar="N", help="after which pytest ends")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # pytest-xdist's workers report to the process that started them
        config.pluginmanager.register(Outcomes(Path(config.option.outcomes), config.option.seconds))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    kept = [item for item in items if of_the_kernels(item)]
    left = [item for item in items if not of_the_kernels(item)]
    config.hook.pytest_deselected(items=left)
    items[:] = sorted(kept, key=lambda item: not needs_a_gpu(item))


def of_the_kernels(item: Any) -> bool:
    """The backend is a parameter of the test, or the test is in a file that knows the GPU."""
    parameters = re.split(r"[^a-z]+", item.name.partition("[")[2])
    return "triton" in parameters or ("torch" not in parameters and hasattr(item.module, "GPU")) or needs_a_gpu(item)


def needs_a_gpu(item: Any) -> bool:
    """It is skipped without one. With ``--dist worksteal`` the first tests are those of one worker, and so in turn."""
    reasons = [mark.kwargs.get("reason", "") for mark in item.iter_markers("skipif")]
    return any("need" in reason and "GPU" in reason for reason in reasons)


class Outcomes:
    """Of the process that pytest was started in."""

    def __init__(self, file: Path, seconds: float) -> None:
        self.file = file
        self.until = time.monotonic() + seconds

    def write(self, line: dict[str, Any]) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.items:  # pytest-xdist leaves the collection to its workers
            self.write({"collected": len(session.items)})

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self.write({"collected": len(ids)})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            why = reason(report)
            outcome = "missing" if "ModuleNotFoundError" in why else "error"
            self.write({"test": report.nodeid, "outcome": outcome, "why": why})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            outcome = "error" if report.failed and report.when != "call" else report.outcome
            why = "" if report.passed else reason(report)
            self.write({"test": report.nodeid, "outcome": outcome, "why": why, "seconds": round(report.duration, 3)})
        if time.monotonic() > self.until:
            pytest.exit("the clock: the time of this part is up", returncode=1)


def reason(report: Any) -> str:
    """The first and the last line of what went wrong."""
    if isinstance(report.longrepr, tuple):  # skipped: file, line, reason
        return report.longrepr[2]
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = (str(report.longrepr) if crash is None else crash.message).strip().splitlines() or [""]
    return " ... ".join(dict.fromkeys((lines[0], lines[-1])))

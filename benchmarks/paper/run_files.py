"""The figures of runs, from their files."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ..speed.contest import LOSSES
from ..training.datasets.listing import is_junk
from ..training.evaluate import Scores

FREE = ("evaluate", "checkpoint", "measure", "device", "out", "root")  # may differ between runs that are compared


@dataclass(frozen=True)
class Run:
    """One loss, trained once. shares: of each class in the labelled training pixels."""

    file: str
    loss: str
    arguments: Mapping[str, Any]
    scores: Scores
    validated: Scores
    judged_on: str
    images: Mapping[str, int]
    classes: tuple[str, ...]
    shares: tuple[float, ...]
    tail: tuple[str, ...]
    device: str
    threads: int
    versions: Mapping[str, str]
    date: str
    seconds: float

    @property
    def seed(self) -> int:
        return self.arguments["seed"]

    @property
    def swept(self) -> bool:
        """Made to find a learning rate."""
        return self.file.startswith("sweep-")


def read(file: Path) -> Run:
    """ValueError that says what is wrong with the file."""
    try:
        document = json.loads(file.read_text())
        ((loss, figures),) = document["losses"].items()
        pixels = document["training_pixels"]
        total = sum(pixels.values())
        return Run(
            file.stem, loss, document["arguments"], _scores(figures["scores"]), _scores(figures["validated"]),
            document["judged_on"], document["images"], tuple(pixels), tuple(n / total for n in pixels.values()),
            tuple(document["tail"]), document["device"], document["threads"], document["versions"], document["date"],
            figures["training_seconds"],
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file}: found no results of one loss ({error!r}), expected those of paper runs") from error


def read_all(folder: Path) -> list[Run]:
    """In the order of the paper's losses. ValueError where they are not of one experiment."""
    files = [file for file in folder.glob("*.json") if not is_junk(file.relative_to(folder))]
    runs = sorted(map(read, files), key=lambda run: (order(run.loss), run.file))
    first: dict[bool, Run] = {}
    rates: dict[str, Run] = {}
    for run in runs:
        same(
            run.arguments,
            first.setdefault(run.swept, run).arguments,
            folder / f"{run.file}.json",
            ("loss", "seed", "lr"),
        )
        if not run.swept:
            same(run.arguments, rates.setdefault(run.loss, run).arguments, folder / f"{run.file}.json", ("seed",))
    return runs


def same(found: Mapping[str, Any], expected: Mapping[str, Any], file: Path, free: Sequence[str] = ()) -> None:
    """ValueError where arguments that may not differ do."""
    for name in expected.keys() - {*FREE, *free}:
        there, wanted = (list(v) if isinstance(v, tuple) else v for v in (found.get(name), expected[name]))
        if there != wanted:
            raise ValueError(
                f"{file}: found a run with --{name.replace('_', '-')} {there}, expected {wanted}; other folders "
                "(--save and --out) keep them apart"
            )


def order(loss: str) -> tuple[int, tuple[str | float, ...]]:
    """That of the paper's losses; of one class by its numbers."""
    kind = loss.partition("(")[0]
    parts = re.split(r"(\d+\.?\d*)", loss)
    number = LOSSES.index(kind) if kind in LOSSES else len(LOSSES)
    return number, tuple(float(part) if i % 2 else part for i, part in enumerate(parts))


def by_loss(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Those that were not made to find a learning rate."""
    kept = [run for run in runs if not run.swept]
    return {loss: [run for run in kept if run.loss == loss] for loss in dict.fromkeys(run.loss for run in kept)}


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and the standard deviation of more than one; NaN if one of them is."""
    if not values or any(map(math.isnan, values)):
        return math.nan, None
    return mean(values), stdev(values) if len(values) > 1 else None


def _scores(figures: Mapping[str, Any]) -> Scores:
    values: dict[str, Any] = {
        name: tuple(map(_number, value.values())) if isinstance(value, dict) else _number(value)
        for name, value in figures.items()
    }
    return Scores(**values)


def _number(value: float | None) -> Any:
    """JSON has no NaN."""
    return math.nan if value is None else value

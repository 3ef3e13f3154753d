"""The figures of runs, from their files."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ..training.evaluate import Scores


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
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: found no results of one loss ({error!r}), expected those of paper runs") from error


def read_all(folder: Path) -> list[Run]:
    return [read(file) for file in sorted(folder.glob("*.json"))]


def by_loss(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Those that were not made to find a learning rate, in the order of the catalogue."""
    kept = [run for run in runs if not run.swept]
    return {loss: [run for run in kept if run.loss == loss] for loss in dict.fromkeys(run.loss for run in kept)}


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and the standard deviation of more than one."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return math.nan, None
    return mean(known), stdev(known) if len(known) > 1 else None


def _scores(figures: Mapping[str, Any]) -> Scores:
    values: dict[str, Any] = {
        name: tuple(map(_number, value.values())) if isinstance(value, dict) else _number(value)
        for name, value in figures.items()
    }
    return Scores(**values)


def _number(value: float | None) -> Any:
    """JSON has no NaN."""
    return math.nan if value is None else value

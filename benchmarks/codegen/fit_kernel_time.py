"""Fits ``kernel_time`` to measured tiles: ``python -m benchmarks.codegen.fit_kernel_time``.

The record has what each tile demands, by the code of its commit, and what a pass took: its launches, and the sum of
their partial sums. Whole calls, with the table's tiles, are predicted beside them and not fitted. The fit, what it
predicts and the picture are made anew; the coefficients in use are in ``kernel_time``.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple, dataclass, replace

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ..places import RESULTS
from ..storage import read
from ..svg import GREY, STYLE, decades, finish
from . import kernel_time
from .kernel_time import Coefficients, Demand

RECORD, PICTURE = RESULTS / "kernel-time.json", RESULTS / "kernel-time.svg"
NEAR = 2  # times the best of a case; tiles further off are neither fitted nor judged
OUTLIER = 0.1  # relative error from which a tile's weight in the fit falls
BEGIN = Coefficients(waiting=1.0, barrier=100.0, spill=1.0, overlap=1.0)
STEPS = 100


@dataclass(frozen=True)
class Timed:
    """A tile. measured, predicted: microseconds of a pass, the latter by a fit to the other cases."""

    name: str
    tile: dict[str, int]
    launches: tuple[Demand, ...]
    measured: float
    predicted: float


@dataclass(frozen=True)
class Called:
    """A call, loss and gradient. measured, predicted: microseconds of its longest launch, the latter by the fit to
    all tiles."""

    loss: str
    shape: tuple[int, ...]
    source: tuple[int, ...]
    dtype: str
    launches: tuple[Demand, ...]
    measured: float
    predicted: float


@dataclass(frozen=True)
class Fit:
    """device and commit: of the measurements, and triton whose code was measured and read."""

    device: str
    commit: str
    triton: str
    coefficients: Coefficients
    rows: tuple[Timed, ...]
    calls: tuple[Called, ...]


def main() -> None:
    made = refitted(read(RECORD, Fit))
    RECORD.write_text(text(made))
    draw(made)
    print(made.coefficients)
    print(summary(made))


def refitted(kept: Fit) -> Fit:
    without = {name: fit([row for row in kept.rows if row.name != name]) for name in cases(kept.rows)}
    rows = tuple(replace(row, predicted=round(predicted(row, without[row.name]), 1)) for row in kept.rows)
    made = fit(kept.rows)
    calls = tuple(replace(call, predicted=round(longest(call, made), 1)) for call in kept.calls)
    return replace(kept, coefficients=made, rows=rows, calls=calls)


def cases(rows: Sequence[Timed]) -> list[str]:
    return list(dict.fromkeys(row.name for row in rows))


def near(rows: Sequence[Timed]) -> list[Timed]:
    """Those of at most NEAR times their case's best."""
    best = {name: min(row.measured for row in rows if row.name == name) for name in cases(rows)}
    return [row for row in rows if row.measured <= NEAR * best[row.name]]


def predicted(row: Timed, by: Coefficients) -> float:
    """Microseconds of the pass."""
    return 1e6 * sum(kernel_time.seconds(launch, by) for launch in row.launches)


def longest(call: Called, by: Coefficients) -> float:
    return 1e6 * max(kernel_time.seconds(launch, by) for launch in call.launches)


def error(row: Timed | Called) -> float:
    return row.predicted / row.measured - 1


def fit(rows: Sequence[Timed]) -> Coefficients:
    """The least sum of the tiles' errors, squares of the logarithm up to OUTLIER and absolute values beyond; a case
    counts as the square root of its tiles. By Gauss and Newton, on the coefficients' logarithms."""
    rows = near(rows)
    tiles = Counter(row.name for row in rows)
    share = np.array([tiles[row.name] ** -0.5 for row in rows])
    measured = np.log([row.measured for row in rows])

    def errors(logarithms: np.ndarray) -> np.ndarray:
        by = Coefficients(*np.exp(logarithms).tolist())
        return np.log([predicted(row, by) for row in rows]) - measured

    def cost(logarithms: np.ndarray) -> float:
        return float(share @ np.sqrt(1 + (errors(logarithms) / OUTLIER) ** 2))

    at = np.log(astuple(BEGIN))
    return Coefficients(*(round(float(x), 4) for x in np.exp(_least(errors, cost, share, at))))


def _least(
    errors: Callable[[np.ndarray], np.ndarray], cost: Callable[[np.ndarray], float], share: np.ndarray, at: np.ndarray
) -> np.ndarray:
    """Steps of weighted least squares, halved until they help."""
    for _ in range(STEPS):
        here = errors(at)
        slopes = np.stack([(errors(at + h) - here) / 1e-6 for h in 1e-6 * np.eye(len(at))], axis=1)
        root = np.sqrt(share / np.sqrt(1 + (here / OUTLIER) ** 2))
        step = np.linalg.lstsq(slopes * root[:, None], -here * root, rcond=None)[0]
        while cost(at + step) > cost(at) and np.abs(step).max() > 1e-9:
            step = step / 2
        at = at + step
        if np.abs(step).max() < 1e-7:
            break
    return at


def summary(made: Fit) -> str:
    """Relative errors of the tiles near the best, a line a case, and of the calls."""
    tiles = near(made.rows)
    errors = {name: [error(row) for row in tiles if row.name == name] for name in cases(made.rows)}
    errors |= {"all tiles": [error(row) for row in tiles], "calls": [error(call) for call in made.calls]}
    return "\n".join(
        f"{name}: {len(found)}, median {np.median(np.abs(found)):.1%}, worst {max(found, key=abs):+.1%}"
        for name, found in errors.items()
    )


def text(made: Fit) -> str:
    """JSON with a line a row."""
    head = asdict(made)
    lists = {name: ",\n".join("  " + json.dumps(row) for row in head.pop(name)) for name in ("rows", "calls")}
    return json.dumps(head, indent=1)[:-2] + "".join(f',\n "{k}": [\n{v}\n ]' for k, v in lists.items()) + "\n}\n"


def draw(made: Fit) -> None:
    """Predicted over measured microseconds, a colour a case, and the line where they agree."""
    points = {name: [(r.measured, r.predicted) for r in near(made.rows) if r.name == name] for name in cases(made.rows)}
    heading = f"{made.device}: the tiles of {made.commit}, each case predicted by a fit to the other nine"
    PICTURE.unlink(missing_ok=True)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 7.5), layout="constrained")
        panel = figure.subplots()
        for number, (name, pairs) in enumerate(points.items()):
            measured, predicted = zip(*pairs, strict=True)
            panel.plot(measured, predicted, "o", markersize=4, color=f"C{number}", label=name)
        ends = [end(time for pairs in points.values() for pair in pairs for time in pair) for end in (min, max)]
        panel.plot(ends, ends, color=GREY, linewidth=1)
        panel.set(xscale="log", yscale="log", xlabel="measured, microseconds", ylabel="predicted", aspect="equal")
        for axis in (panel.xaxis, panel.yaxis):
            decades(axis)
        finish(figure, PICTURE, heading, (panel,))


if __name__ == "__main__":
    main()

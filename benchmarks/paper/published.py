"""The tables that the PAT paper prints, and beside them what was measured here, as Markdown."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..markdown import table
from . import table1
from .run_files import Run, by_loss, read_all, spread

# Classes of CamVid by the names that Cityscapes has for them, in Table 6's order.
ALIKE = {
    "road": "road", "sidewalk": "pavement", "building": "building", "fence": "fence", "pole": "pole",
    "sign": "sign symbol", "vegetation": "tree", "sky": "sky", "person": "pedestrian", "car": "car",
    "bicycle": "bicyclist",
}  # fmt: skip
SHOWN = ("CrossEntropyLoss", "BLVLoss(sigma=0.5)", "PATLoss(temperature=20)")
BASE = SHOWN[0]


def markdown(file: Path) -> str:
    """file: the printed values; the runs of ours lie in the folder ``camvid`` beside it."""
    printed = json.loads(file.read_text())
    losses = by_loss(read_all(file.parent / "camvid"))
    parts = [
        "### Table 1: the loss of a pixel by the probability of its label\n\n"
        '`PATLoss(variant="table1")` and `FocalLoss`; the last row is `PATLoss(variant="paper")`:\n',
        _table_1(),
        "### Table 3: the losses\n\nSegNet; mIoU % / pixel accuracy % / Dice error:\n",
        _table_3(printed["table3"], losses),
        "Points more than cross-entropy has, of mIoU and of pixel accuracy:\n",
        _differences(printed["table3"], losses),
        "### Table 4: other networks\n\nmIoU % / pixel accuracy %, printed; not run here:\n",
        _table_4(printed["table4"]),
        "### Table 5: PAT's temperature\n\nmIoU % / pixel accuracy %:\n",
        _table_5(printed["table5"], losses),
        "### Table 6: IoU of each class, %\n\nCityscapes' classes that CamVid has too:\n",
        _table_6(printed["table6"], losses),
        "The mean that the paper states, and the mean of the values that it prints:\n",
        _means(printed["table6"]),
    ]
    return "\n".join(parts)


def _table_1() -> str:
    rows: list[list[str]] = []
    for name, (loss, printed) in table1.ROWS.items():
        rows.append([name, "printed", *(f"{value:.2f}" for value in printed)])
        rows.append(["", "ours", *(f"{value:.3f}" for value in table1.of_a_pixel(loss))])
    rows.append(["equation 5, T = 2", "ours", *(f"{value:.3f}" for value in table1.of_a_pixel(table1.EQUATION_5))])
    return table(("", "p =", *(f"{p:g}" for p in table1.P)), rows)


def _table_3(printed: dict[str, Any], losses: dict[str, list[Run]]) -> str:
    head = ("", *(f"{data}, printed" for data in printed["data"]), "CamVid, ours", "seeds")
    rows = (
        (f"`{loss}`", *(_slashed(cell) for cell in cells), *_ours(losses.get(loss, [])))
        for loss, cells in printed["rows"].items()
    )
    return table(head, rows)


def _ours(runs: Sequence[Run]) -> tuple[str, str]:
    if not runs:
        return "-", "0"
    scores = [(100 * r.scores.miou, 100 * r.scores.pixel_accuracy, r.scores.dice_error) for r in runs]
    miou, accuracy, dice = (spread(column)[0] for column in zip(*scores, strict=True))
    return f"{miou:.1f} / {accuracy:.1f} / {dice:.2f}", str(len(runs))


def _differences(printed: dict[str, Any], losses: dict[str, list[Run]]) -> str:
    base = printed["rows"][BASE]
    ours = {loss: [100 * value for value in _averages(runs)] for loss, runs in losses.items()}
    rows = []
    for loss, cells in printed["rows"].items():
        if loss != BASE:
            row = [_signed(_minus(cell[:2], at[:2])) for cell, at in zip(cells, base, strict=True)]
            row.append(_signed(_minus(ours[loss], ours[BASE])) if loss in ours and BASE in ours else "-")
            rows.append([f"`{loss}`", *row])
    return table(("", *(f"{data}, printed" for data in printed["data"]), "CamVid, ours"), rows)


def _averages(runs: Sequence[Run]) -> list[float]:
    scores = [(run.scores.miou, run.scores.pixel_accuracy) for run in runs]
    return [spread(column)[0] for column in zip(*scores, strict=True)]


def _table_4(printed: dict[str, Any]) -> str:
    head = ("", *(f"{network}, {data}" for network in printed["networks"] for data in ("Cityscapes", "NyU")))
    rows = (
        (f"`{loss}`", *(_slashed(cell) for network in cells for cell in network))
        for loss, cells in printed["rows"].items()
    )
    return table(head, rows)


def _table_5(printed: dict[str, Any], losses: dict[str, list[Run]]) -> str:
    networks = printed["rows"]
    head = (
        "T",
        *(f"{network}, {data}, printed" for network in networks for data in ("Cityscapes", "NyU")),
        "SegNet, CamVid, ours",
        "seeds",
    )
    rows = []
    for T in next(iter(networks.values())):
        runs = losses.get(f"PATLoss(temperature={T})", [])
        ours = _ours(runs)[0].rpartition(" / ")[0] or "-"
        rows.append(
            [T, *(_slashed(cell) for network in networks.values() for cell in network[T]), ours, str(len(runs))]
        )
    return table(head, rows)


def _table_6(printed: dict[str, Any], losses: dict[str, list[Run]]) -> str:
    names = [loss.partition("Loss")[0] for loss in SHOWN]
    head = (
        "Cityscapes, DLV3+, printed",
        *names,
        "CamVid, SegNet, ours",
        "% of pixels",
        *names,
    )
    first = losses[BASE][0]
    rows = []
    for theirs, here in ALIKE.items():
        i, at = first.classes.index(here), printed["classes"].index(theirs)
        mean = [spread([100 * run.scores.iou[i] for run in losses[loss]])[0] for loss in SHOWN]
        rows.append(
            [
                theirs,
                *(f"{printed['rows'][loss][at]:.1f}" for loss in SHOWN),
                here,
                f"{100 * first.shares[i]:.2g}",
                *(f"{value:.1f}" for value in mean),
            ]
        )
    return table(head, rows)


def _means(printed: dict[str, Any]) -> str:
    void = printed["classes"].index("void")
    rows = []
    for loss, values in printed["rows"].items():
        without = [value for i, value in enumerate(values) if i != void]
        means = (printed["stated"][loss], spread(values)[0], spread(without)[0])
        rows.append([f"`{loss}`", *(f"{value:.2f}" for value in means)])
    return table(("", "stated", "of all 20, void among them", "of 19, without void"), rows)


def _slashed(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.2f}" for value in values)


def _minus(these: Sequence[float], others: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(these, others, strict=True)]


def _signed(values: Iterable[float]) -> str:
    return " / ".join(f"{value:+z.1f}" for value in values)

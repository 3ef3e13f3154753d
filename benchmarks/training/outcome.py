"""What came of one loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from ..speed.cost import Cost
from .evaluate import Scores


@dataclass(frozen=True)
class Outcome:
    """How well it trained, what it and its eager rival cost, and whether they agree.

    scores: on the test images where there are some, else on the validation images; validated: on those.
    ours, eager: None where it was not asked for, or eager torch has no such formula. gradient_difference: the
    largest, over the largest gradient; None for noise of another draw. training_losses: of every step.
    log: rows of ``write_log``. predictions: (N, H, W) uint8, of the images in the picture.
    """

    name: str
    scores: Scores
    validated: Scores
    ours: Cost | None
    eager: Cost | None
    gradient_difference: float | None
    training_seconds: float
    training_losses: tuple[float, ...]
    log: tuple[dict[str, Any], ...]
    predictions: Tensor

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """From what ``asdict`` made of one."""
        scores = {name: Scores(**fields[name]) for name in ("scores", "validated")}
        costs = {name: fields[name] and Cost(**fields[name]) for name in ("ours", "eager")}
        return cls(**{**fields, **scores, **costs})

"""A criterion's options, sorted: what decides a call's way, which one line of text says, and numbers, which do not."""

import json
from ast import literal_eval
from dataclasses import fields
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from . import adjustment, checks, weights
from .adjustment import Adjustment, AdjustmentNumbers, Noise
from .curves import CURVES, Curve
from .description import Description
from .inputs import Ignored
from .kinds import Cache
from .numbers import FIXED, NumberPairs, Numbers, pair
from .regions import Region
from .sharing import Held

if TYPE_CHECKING:
    from .criterion import SegmentationLoss


ADJUSTED = ("scale", "offset", "margin")


class Settings(NamedTuple):
    """The options that are not numbers, of a criterion in one mode, training or evaluation.

    curve: its name. numerator, divisor: of the weight rule, see ``pat_triton.weights``, and whether it has a beta.
    rows: the tables of the adjustment; distribution: of its noise. These five are None, False or () where a part is
    the user's own. ignored: labels without loss, and whether the user said so. sharding: "images" or "rows" of a batch
    that lies on several processes, else None. regions: the region losses that are added. group: torch's name of the
    processes, for a graph; None is all of them.
    """

    curve: str
    numerator: str | None
    divisor: str | None
    beta: bool
    rows: tuple[str, ...]
    distribution: str | None
    ignored: Ignored
    ignored_said: bool
    reduction: str
    align_corners: bool
    backend: str
    gradient: str
    validate: bool
    sharding: str | None
    regions: tuple[Region, ...] = ()
    group: str | None = None

    @property
    def text(self) -> str:
        return json.dumps(self._asdict())

    @classmethod
    def of(cls, said: dict[str, Any]) -> "Settings":
        """Of its fields, as JSON keeps them."""
        lists = {name: tuple(said[name]) for name in ("rows", "ignored")}
        return cls(**{**said, **lists, "regions": tuple(map(Region.of, said["regions"]))})

    def but(self, other: list[str]) -> "Settings":
        """With other options: each a name, then its value as Python writes it, or region losses more, as JSON."""
        made = self
        for name, said in zip(other[::2], other[1::2], strict=True):
            if name == "regions":
                made = made._replace(regions=made.regions + tuple(map(Region.of, json.loads(said))))
                continue
            value: Any = said if name == "reduction" else literal_eval(said)
            if name == "ignore_index":
                made = made._replace(ignored=checks.labels_of(value), ignored_said=True)
            else:
                made = made._replace(**{name: value})
        return made

    @property
    def reduce(self) -> bool:
        return self.reduction != "none"

    @property
    def tables_by_torch(self) -> bool:
        """Whether only torch's operators can make the tables, of parts or processes that no kernel knows."""
        return self.numerator is None or self.sharding is not None

    def description(self, weighted: bool) -> Description:
        """The tables. weighted: there are class weights."""
        assert self.numerator is not None
        divisor = self.divisor if weighted or self.divisor != "weighted" else "labelled"
        return Description(self.numerator, divisor if self.reduction == "mean" else None, self.rows)

    def noise(self, sigma: Any, classes: int) -> Noise | None:
        """That of the adjustment, of so many classes."""
        return None if self.distribution is None else adjustment.noise_of(Noise(self.distribution, sigma), classes)

    def amounts(self, numbers: Numbers) -> AdjustmentNumbers:
        """Of the adjustment."""
        scale, offset, margin = (getattr(numbers, name) if name in self.rows else None for name in ADJUSTED)
        drawn = Noise(self.distribution, numbers.sigma) if self.distribution else None
        return AdjustmentNumbers(scale, offset, margin, drawn)


class Parts:
    """A criterion's options in one mode.

    numbers: None where a tensor holds them, which is traced or which kernels read; then ``curve`` is a class.
    rule, adjustment, process_group, training: the criterion's own.
    way: the same object for the same settings and class of curve; None where a call's way depends on more.
    """

    def __init__(
        self, settings: Settings, numbers: Numbers | None, curve: Curve | type[Curve], rule: Any,
        adjustment: tuple[Adjustment, ...] = (), process_group: Any = None, training: bool = True,
    ) -> None:  # fmt: skip
        self.settings, self.curve, self.rule = settings, curve, rule
        self.adjustment, self.process_group, self.training = adjustment, process_group, training
        self._numbers = numbers
        kind = curve if isinstance(curve, type) else type(curve)
        self.parameters = len(fields(kind)) if numbers is None else len(numbers.parameters)
        self.way = None if settings.tables_by_torch else _ways.of((settings, kind), object)

    def plus(self, regions: tuple[Region, ...]) -> "Parts":
        """With region losses more."""
        settings = self.settings._replace(regions=self.settings.regions + regions)
        return Parts(
            settings, self._numbers, self.curve, self.rule, self.adjustment, self.process_group, self.training
        )  # fmt: skip

    @property
    def by_tensor(self) -> bool:
        """Whether a tensor holds the numbers."""
        return self._numbers is None

    @property
    def numbers(self) -> Numbers:
        assert self._numbers is not None
        return self._numbers

    def noise(self, classes: int) -> Noise | None:
        """That of the adjustment, of so many classes; its sigma is 0 where a tensor holds it."""
        return self.settings.noise(self._numbers.sigma if self._numbers else 0.0, classes)

    @cached_property
    def pairs(self) -> NumberPairs:
        """As kernels take them; of those that a tensor holds only which there are."""
        s, n = self.settings, self._numbers or Numbers.of((0.0,) * (FIXED + self.parameters))
        scale, offset, margin = (pair(getattr(n, name)) if name in s.rows else None for name in ADJUSTED)
        rest, parameters = pair(n.rest) if s.beta else None, tuple(map(pair, n.parameters))
        return NumberPairs(pair(n.loss_weight), rest, scale, offset, margin, pair(n.sigma), parameters)


_ways = Cache(128)


def sort(c: "SegmentationLoss", training: bool) -> Parts:
    """A criterion's options in training or evaluation mode."""
    amounts = adjustment.described(c.adjustment)
    n = amounts or AdjustmentNumbers()
    n = n if training else n.without_noise()
    numerator = divisor = rest = drawn = None
    rows: tuple[str, ...] = ()
    rule: Any = c.weights
    if amounts is not None and type(rule) in weights.DESCRIBED:
        numerator, divisor, rest = rule.numerator, rule.divisor, rule.rest
        rows, drawn = n.rows, n.variation and n.variation.distribution
    sharding = c.sharding if c.process_group is not None and training else None
    settings = Settings(
        c.curve.name, numerator, divisor, rest is not None, rows, drawn, checks.labels_of(c.ignore_index),
        not isinstance(c.ignore_index, checks.Default), c.reduction, c.align_corners,
        c.backend, c.gradient, c.validate, sharding, c.regions,
        c.process_group.name if sharding and isinstance(c.process_group, Held) else None,
    )  # fmt: skip
    # Of several parts together.
    scale, margin = checks.finite("scale", n.scale or 0.0), checks.finite("max_margin", n.margin or 0.0)
    numbers = Numbers(
        c.loss_weight, rest or 0.0, scale, n.offset or 0.0, margin,
        n.variation.sigma if n.variation else 0.0, c.curve.parameters,
    )  # fmt: skip
    return Parts(settings, numbers, c.curve, rule, c.adjustment, c.process_group, training)


@lru_cache(256)
def read(settings: Settings, flat: tuple[float, ...] | None) -> Parts:
    """Of these settings, and their numbers; None where a tensor holds them."""
    curve = CURVES[checks.known("curve", settings.curve, CURVES)]
    rule = weights.RULES.get((settings.numerator, settings.divisor))
    if flat is None:
        return Parts(settings, None, curve, rule)
    numbers = Numbers.of(flat)
    return Parts(settings, numbers, curve(*numbers.parameters), rule)

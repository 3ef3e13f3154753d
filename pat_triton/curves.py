"""(b) Focusing curves: how much a pixel counts, given the probability of its label.

A curve is a frozen dataclass of its parameters, and is written twice. Called in plain torch on ``u = log p``, ``p`` and
``q = 1 - p`` (of the same shape, floating point; ``q`` is exact where ``1 - p`` would cancel) it returns
``(value, slope)``: the loss ``-f(p) * u`` and its derivative with respect to ``u``. The Triton function that does the
same has its name in ``pat_triton.backends.triton.curves``, or is given to ``register`` as ``twin=``. Tests compare the
two, and the slope with the value.
"""

import dataclasses
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from .checks import away_from_0, finite, known, non_negative, part, store


@dataclasses.dataclass(frozen=True)
class Curve:
    """The base of all curves: a frozen dataclass of numbers with a ``name`` of its own, called as ``curve(u, p, q)``.

    p is the probability of the label, u = log p and q = 1 - p: floating tensors of one shape. A call returns
    (value, slope) of that shape: the loss, and its derivative with respect to u. The kernels need the same as a Triton
    function, and torch.compile needs the name: see ``register``. That function gets the parameters in field order.
    """

    name: ClassVar[str]

    def __call__(self, u: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    @property
    def parameters(self) -> tuple[float, ...]:
        """Its numbers, in the order of its fields."""
        if "_parameters" not in self.__dict__:
            values = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
            self.__dict__["_parameters"] = tuple([finite(name, _number(value)) for name, value in values])
        return self.__dict__["_parameters"]


LOG2_E = 1.4426950408889634  # 1 / ln 2

CURVES: dict[str, type[Curve]] = {}
TRITON_FNS: dict[str, Any] = {}
C = TypeVar("C", bound=type[Curve])


def register(curve: C, twin: Any = None) -> C:
    """Makes a curve known by its name, and returns it.

    Args:
        curve: a subclass of ``Curve``.
        twin: the ``@triton.jit`` function ``(u, p, q, *parameters) -> (value, slope)`` that computes the same. Without
            one the kernels refuse the curve, and only backend="torch" takes it.

    Raises:
        TypeError: for what is no curve, or one without a name.
        ValueError: if the name is that of another class, or has another Triton function.
    """
    if not isinstance(curve, type) or not issubclass(curve, Curve) or not isinstance(getattr(curve, "name", None), str):
        raise TypeError(f"curve: expected a subclass of Curve with a name, such as name = 'mine', got {curve!r}")
    if CURVES.get(curve.name, curve) is not curve:
        raise ValueError(
            f"curve: got {curve.__name__} with the name {curve.name!r}, which another class, "
            f"{CURVES[curve.name].__name__}, has; give {curve.__name__} a name of its own"
        )
    CURVES[curve.name] = curve
    if twin is not None:
        if TRITON_FNS.get(curve.name, twin) is not twin:
            raise ValueError(
                f"twin: the curve {curve.name!r} has another Triton function already; give the new curve a name of its "
                "own"
            )
        TRITON_FNS[curve.name] = twin
    return curve


def as_curve(curve: Curve | str) -> Curve:
    """A curve, or the one of that name with its default parameters."""
    if isinstance(curve, Curve):
        known_as = CURVES.get(curve.name, type(curve))
        if known_as is not type(curve):  # the kernels and torch.compile go by the name
            name, mine = known_as.__name__, type(curve).__name__
            raise ValueError(
                f"curve: got {mine} with the name {curve.name!r}, which another class, {name}, has; give {mine} a name "
                f"of its own, and register it with pat_triton.register({mine})"
            )
        return curve
    if not isinstance(curve, str):
        expected = "a curve such as pat_triton.curves.Focal(2), or the name of one"
        raise TypeError(f"curve: expected {expected}, got {part('curve', curve, expected, __name__)!r}")
    return CURVES[known("curve", curve, CURVES)]()


@register
@dataclasses.dataclass(frozen=True)
class CrossEntropy(Curve):
    """Cross-entropy: every pixel counts alike, f = 1."""

    name = "cross_entropy"

    def __call__(self, u: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        return -u, torch.full_like(u, -1.0)


@register
@dataclasses.dataclass(frozen=True)
class Focal(Curve):
    """The focal loss: f = (1 - p) ** gamma, where gamma is 0 or more (Lin et al. 2017, equation 4)."""

    gamma: float = 2.0

    name = "focal"

    def __post_init__(self) -> None:
        store(self, gamma=non_negative("gamma", self.gamma))

    def __call__(self, u: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        f = q**self.gamma
        # u / q tends to -1 as q tends to 0. Below ``tiny`` any finite ratio will do: no gradient is larger than q.
        ratio = _product(p, u).div_(q.clamp(min=torch.finfo(q.dtype).tiny))
        return (f * u).neg_(), f * ratio.mul_(self.gamma).sub_(1)


@register
@dataclasses.dataclass(frozen=True)
class Exponential(Curve):
    """PAT's beta: f = exp((1 - p - epsilon) / temperature).

    A negative temperature gives the reciprocal of the weight. ``through`` is the share of the gradient that flows
    through f: 1, or 0 where f is a constant for the gradient.
    """

    temperature: float = 20.0
    epsilon: float = 0.0
    through: float = 1.0

    name = "exponential"

    def __post_init__(self) -> None:
        temperature = finite("temperature", self.temperature)
        if temperature == 0:
            raise ValueError("temperature: expected a number other than 0, got 0")
        away_from_0("temperature", temperature)
        epsilon, through = finite("epsilon", self.epsilon), finite("through", self.through)
        store(self, temperature=temperature, epsilon=epsilon, through=through)

    def __call__(self, u: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        exponent = q - self.epsilon if self.epsilon else q
        f = (exponent * (LOG2_E / self.temperature)).exp2_()  # a CPU's exp is slower, and MKL's
        return (f * u).neg_(), f * _product(p, u).mul_(self.through / self.temperature).sub_(1)


@register
@dataclasses.dataclass(frozen=True)
class NoPixelLoss(Curve):
    """0 for every pixel: the curve of a region loss, which has no term of a pixel."""

    name = "none"

    def __call__(self, u: Tensor, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(u), torch.zeros_like(u)


def _number(value: Any) -> Any:
    """A flag among a curve's numbers is 0 or 1 to its Triton function."""
    return float(value) if isinstance(value, bool) else value


def _product(p: Tensor, u: Tensor) -> Tensor:
    """p * log p, 0 at p = 0: where p is not 0, u is above -1000. A ``where`` takes ten times as long on a CPU."""
    return p * u.clamp(min=-1000)

"""The registry the laws run over: losses, paths, shapes with their reasons, and all tolerances."""

import contextlib
import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

import pat_triton
import reference

GPU = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CPU = torch.device("cpu")
PATHS = [pytest.param(("torch", CPU), id="torch"), pytest.param(("triton", GPU), id="triton")]
PLANS = ["one_pass", "recompute"]

COUNTS = [900, 17, 0, 45000, 3, 260, 1]  # head, tail and an absent class
WEIGHT = [1.0, 2.5, 0.5, 4.0, 0.0, 1.25, 3.0]  # exact in fp32; one class weighs nothing


@dataclasses.dataclass(frozen=True)
class Loss:
    """One row of the registry: a name of pat_triton and reference, and the arguments of both."""

    name: str
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)

    def ours(self, path: tuple[str, torch.device], **options: Any) -> pat_triton.SegmentationLoss:
        backend, device = path
        return getattr(pat_triton, self.name)(**{**self.arguments, **options}, backend=backend).to(device)

    def reference(self, **options: Any) -> Any:
        return getattr(reference, self.name)(**{**self.arguments, **options})

    @property
    def draws(self) -> bool:
        return self.name == "BLVLoss"

    @property
    def has_regions(self) -> bool:
        return self.name in pat_triton.region_losses.REGIONS

    def of_pixels(self, path: tuple[str, torch.device]) -> pat_triton.SegmentationLoss | None:
        """What gives the map of the loss of each pixel; None where there is none."""
        return None if self.has_regions else self.ours(path, reduction="none")


@dataclasses.dataclass(frozen=True)
class Sum(Loss):
    """A row that is a sum: factors, and rows of which each term is one."""

    terms: tuple[tuple[float, Loss], ...] = ()

    def ours(self, path: tuple[str, torch.device], *, loss_weight: float = 1.0, **options: Any) -> pat_triton.SumLoss:
        first, *others = (factor * loss.ours(path, **options) for factor, loss in self.terms)
        return loss_weight * sum(others, start=first)

    def reference(self, *, loss_weight: float = 1.0, **options: Any) -> Any:
        return reference.SumLoss(*((loss_weight * factor, loss.reference(**options)) for factor, loss in self.terms))

    @property
    def draws(self) -> bool:
        return any(loss.draws for _, loss in self.terms)

    @property
    def has_regions(self) -> bool:
        return True

    def of_pixels(self, path: tuple[str, torch.device]) -> pat_triton.SegmentationLoss | None:
        made = [factor * loss.of_pixels(path) for factor, loss in self.terms if not loss.has_regions]
        return made[0] if made else None


PAT, LDAM, BLV = Loss("PATLoss"), Loss("LDAMLoss"), Loss("BLVLoss")
PAT_AND_DICE, LDAM_AND_DICE = (Sum("sum", {}, ((1.0, loss), (0.5, Loss("DiceLoss")))) for loss in (PAT, LDAM))


def _row(name: str, **arguments: Any) -> Any:
    shown = "-".join(f"{k}={v}" if not isinstance(v, list) else k for k, v in arguments.items())
    return pytest.param(Loss(name, arguments), id=f"{name}-{shown}".rstrip("-"))


def _sum(*terms: tuple[float, Any]) -> Any:
    name = "+".join(loss.values[0].name for _, loss in terms)
    made = Sum(name, {}, tuple((factor, loss.values[0]) for factor, loss in terms))
    return pytest.param(made, id=name)


LOSSES = [
    _row("CrossEntropyLoss"),
    _row("CrossEntropyLoss", weight=WEIGHT),
    _row("FocalLoss"),
    _row("FocalLoss", gamma=0.0),
    _row("FocalLoss", gamma=0.5, weight=WEIGHT),
    _row("ClassBalancedLoss"),
    _row("ClassBalancedLoss", class_counts=COUNTS, beta=0.999),
    _row("ClassBalancedFocalLoss", class_counts=COUNTS),
    _row("BalancedSoftmaxLoss"),
    _row("BalancedSoftmaxLoss", class_counts=COUNTS),
    _row("LDAMLoss"),
    _row("LDAMLoss", class_counts=COUNTS, max_margin=0.3, scale=4.0),
    _row("BLVLoss", class_counts=COUNTS),
    _row("BLVLoss", sigma=0.7, distribution="uniform"),
    _row("BLVLoss", sigma=1.5, distribution="xavier"),
    _row("PATLoss"),
    _row("PATLoss", temperature=0.8, epsilon=0.25),
    _row("PATLoss", detach_weight=True, temperature=2.0),
    _row("PATLoss", variant="table1", temperature=2.0),
    _row("PATLoss", variant="release", temperature=3.0),
    _row("PATLoss", weight=WEIGHT, loss_weight=0.4),
    _row("DiceLoss"),
    _row("DiceLoss", smooth=0.5, per_image=True, squared=True, weight=WEIGHT),
    _row("JaccardLoss", classes=[0, 2, 3], skip_absent=True, loss_weight=0.4),
    _row("TverskyLoss", alpha=0.3, beta=0.7, gamma=0.75, smooth=0.0),
    _row("TverskyLoss", alpha=0.3, beta=0.9, per_image=True, skip_absent=True),
    _sum((1.0, _row("PATLoss", temperature=2.0, weight=WEIGHT)), (0.5, _row("DiceLoss"))),  # one softmax
    _sum(
        (1.0, _row("LDAMLoss", scale=4.0)), (2.0, _row("TverskyLoss", gamma=1.5)), (0.3, _row("DiceLoss", squared=True))
    ),
    _sum((0.5, _row("JaccardLoss", per_image=True)), (1.0, _row("BLVLoss", class_counts=COUNTS))),
]

# One row of each, where the parameters make no difference.
EACH = list({row.values[0].name: row for row in LOSSES}.values())

# (B, L, *spatial); L = 7 is the length of COUNTS and WEIGHT.
SHAPE = (2, 7, 9, 13)  # odd H * W: ragged tiles, no 16-byte alignment
SHAPES = [
    (1, 2, 5),  # fewest classes, one spatial dimension
    (2, 7, 9, 13),  # odd H * W, L padded to 8 rows
    (2, 8, 16, 16),  # a power of two of everything: no masked row, an exact tile
    (1, 19, 33, 40),  # several tiles an image, L padded to 32
    (1, 5, 3, 4, 6),  # volumes
    (1, 40, 4, 6),  # columns shared by several threads
    (1, 150, 2, 5),  # ADE20K's L
    (1, 1024, 1, 3),  # the most classes whose column stays in registers
    (1, 1100, 1, 3),  # the column is streamed
]

# (h, w) -> (H, W)
RESIZES = [
    ((4, 5), (16, 20)),  # the usual ratio
    ((9, 7), (22, 17)),  # fractional: intervals of two and of three outputs; more rows than a program has
    ((3, 40), (6, 80)),  # more columns than a program has intervals
    ((4, 8), (16, 8)),  # one axis only, to the inverse aspect: no transposed target
    ((6, 9), (11, 4)),  # up and down
    ((9, 8), (4, 3)),  # down: nodes that no output sees
    ((1, 1), (3, 5)),  # every output beyond both ends
    ((2, 3), (1, 1)),  # a single output
    ((2, 2), (3, 300)),  # more outputs in an interval than a program has lanes: several launches
]

# Relative to the largest magnitude of the truth. fp64 leaves summation order; the noise is fp32 on
# every path, and log, cos and sin differ by an ulp or two between them.
EXACT = 1e-12
NOISY = 3e-6
# Most that |v| is off for each unit of sigma on an NVIDIA GPU, whose own sine, cosine and logarithm the kernels take:
# where the radius is less than this and where it is more. ``test_noise`` derives both from the manual.
SMALL_RADIUS, OFF_BELOW, OFF_ABOVE = 0.02, 5e-4, 1e-5
# Added to the error of torch at the same dtype. The interpreter truncates fp32 to bf16: 2 ** -7.
SAME_DTYPE = {torch.float16: 2e-3, torch.bfloat16: 2.0**-7, torch.float32: 2e-6}


def example(shape: tuple[int, ...], dtype: torch.dtype = torch.float64, *, seed: int = 0, scale: float = 3.0):
    """(logits, target) on the CPU: a few ignored pixels, and class 1 absent from the last image."""
    g = torch.Generator().manual_seed(seed)
    logits = (torch.randn(shape, generator=g, dtype=torch.float64) * scale).to(dtype)
    target = torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=g)
    target[torch.rand(target.shape, generator=g) < 0.15] = 255
    last = target[-1:]
    last[last == 1] = 0
    if shape[1] > 255:
        target[target == 255] = -1
    return logits, target


def enlarged(source: tuple[int, ...], size: tuple[int, int], dtype: torch.dtype = torch.float64, *, seed: int = 0):
    """(logits (B, L, h, w), target (B, H, W)) as ``example`` draws them."""
    logits, _ = example(source, dtype, seed=seed)
    _, target = example((*source[:2], *size), seed=seed)
    return logits, target


def ignore(shape: tuple[int, ...]) -> int:
    """The ignore_index ``example`` uses: 255, or -1 where 255 is a class."""
    return 255 if shape[1] <= 255 else -1


def run(
    loss: Loss, path, logits: Tensor, target: Tensor, *,
    upstream: Tensor | None = None, seed: int = 3, pixel_weight: Tensor | None = None, **options,
):  # fmt: skip
    """(loss, gradient) of ours on the CPU in float64, whatever the device and dtype it ran in."""
    _, device = path
    z = logits.detach().to(device).requires_grad_()
    torch.manual_seed(seed)
    given = {} if pixel_weight is None else {"pixel_weight": pixel_weight.to(device)}
    value = loss.ours(path, **options)(z, target.to(device), **given)
    value.backward(torch.ones_like(value) if upstream is None else upstream.to(device, value.dtype))
    return value.detach().cpu().double(), z.grad.cpu().double()


def expected(
    loss: Loss, logits: Tensor, target: Tensor, *,
    upstream: Tensor | None = None, seed: int = 3, on: torch.device = CPU, pixel_weight: Tensor | None = None,
    **options: Any,
):  # fmt: skip
    """(loss, gradient) of the reference in the logits' dtype, in float64, with the noise ``run`` draws on ``on``."""
    z = logits.detach().clone().requires_grad_()
    key = {}
    if loss.draws:
        torch.manual_seed(seed)
        key["seed"] = tuple(torch.randint(0, 1 << 32, (2,), device=on).tolist())
    value = loss.reference(**options)(z, target, pixel_weight, **key)
    value.backward(torch.ones_like(value) if upstream is None else upstream.to(value.dtype))
    return value.detach().double(), z.grad.double()


def distance(a: Tensor, b: Tensor) -> float:
    """Largest difference relative to the largest magnitude of ``b``; nan differs from everything."""
    assert a.shape == b.shape, f"shape {tuple(a.shape)}, expected {tuple(b.shape)}"
    if not b.numel():
        return 0.0
    difference = (a - b).abs().max().item()
    return difference / max(b.abs().max().item(), 1e-300) if difference else 0.0


def hardware_error(path, sigma: float, distribution: str) -> float:
    """Most that BLV's noise is off on this path for the special functions of an NVIDIA GPU, and with it an adjusted
    logit, its pixel's loss, and its gradient."""
    on_nvidia = path[0] == "triton" and GPU.type == "cuda" and torch.version.hip is None
    return sigma * OFF_BELOW if on_nvidia and distribution != "uniform" else 0.0


def noise_error(loss: Loss, path) -> float:
    if not loss.draws:
        return 0.0
    return hardware_error(path, loss.arguments.get("sigma", 4.0), loss.arguments.get("distribution", "gaussian"))


def tolerance(loss: Loss, path) -> float:
    """Of fp64 logits."""
    return max(NOISY, noise_error(loss, path)) if loss.draws else EXACT


def assert_close(name: str, a: Tensor, b: Tensor, tolerance: float) -> None:
    d = distance(a, b)
    assert d <= tolerance, f"{name}: relative error {d:.3g} above {tolerance:.3g}"


@contextlib.contextmanager
def tiled(monkeypatch, **tile: int):
    """Every loss kernel, or with INTERVALS every upsample kernel, with this tile."""
    from pat_triton.backends.triton import tiles
    from pat_triton.call import forget

    name, made = ("upsample_tile", tiles.UpsampleTile) if "INTERVALS" in tile else ("loss_tile", tiles.Tile)
    with monkeypatch.context() as patch:
        patch.setattr(tiles, name, lambda *_: made(**tile))
        forget()
        yield
    forget()

"""Drawn cases. Shapes and options are drawn, and shrink; numbers come from a generator with a drawn seed."""

from itertools import combinations
from typing import Any

import torch
from drawn import Case, Layout
from hypothesis import strategies as st

from pat_triton.region_losses import REGIONS

LABELS = [torch.int64, torch.uint8, torch.int16, torch.int32]
LOGITS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
# What has no offset or margin of its own, so that an adjustment of the logits comes before all of it, and the others.
OPEN = ["CrossEntropyLoss", "FocalLoss", "ClassBalancedLoss", "ClassBalancedFocalLoss", "PATLoss", "BLVLoss"]
PIXELS = [*OPEN, "BalancedSoftmaxLoss", "LDAMLoss"]
NAMES = [*PIXELS, *REGIONS, "sum"]


@st.composite
def losses(draw: st.DrawFn, name: str, classes: int) -> dict[str, Any]:
    """A loss's parameters and what is adjusted before it."""
    gamma = st.sampled_from([2.0, 0.0, 0.5, 1.0, 5.0])
    beta = st.sampled_from([None, 0.0, 0.9, 0.9999])
    parameters = {
        "FocalLoss": {"gamma": gamma},
        "ClassBalancedLoss": {"beta": beta},
        "ClassBalancedFocalLoss": {"beta": beta, "gamma": gamma},
        "LDAMLoss": {"max_margin": st.sampled_from([0.5, 3.0]), "scale": st.sampled_from([30.0, 1.0])},
        "BLVLoss": {
            "sigma": st.sampled_from([4.0, 0.0, 0.5]),
            "distribution": st.sampled_from(["gaussian", "uniform", "xavier"]),
        },
        "PATLoss": {
            "variant": st.sampled_from(["paper", "table1", "release"]),
            "temperature": st.sampled_from([20.0, 0.5, 2.0]),
            "detach_weight": st.booleans(),
        },
    }.get(name, {})
    arguments = {key: draw(values) for key, values in parameters.items()}
    if name == "PATLoss" and arguments["variant"] != "release":
        arguments["epsilon"] = draw(st.sampled_from([0.0, 0.25, -1.0]))
    if draw(st.booleans()):
        counts = draw(st.lists(st.sampled_from([1, 0, 17, 300, 45000, 2_036_416_525, 2**53 + 1]), max_size=6))
        arguments["class_counts"] = ([1, *counts] * classes)[:classes]
    if draw(st.booleans()):
        weight = draw(st.lists(st.sampled_from([1.0, 0.0, 0.5, 3.0]), max_size=6))
        arguments["weight"] = ([1.0, *weight] * classes)[:classes]
    extra = [("LogPrior", None), ("Margin", 0.4), ("Scale", 2.0), ("Scale", 0.25)]
    adjusted = st.lists(st.sampled_from(extra), max_size=3) if name in OPEN else st.just([])
    return {"loss": name, "arguments": arguments, "adjustment": tuple(draw(adjusted))}


@st.composite
def regions(draw: st.DrawFn, name: str, classes: int) -> dict[str, Any]:
    """A region loss's arguments. Not a smooth of 0 with absent classes, nor a gamma that is not whole: where next to
    nothing of a class is predicted, or missed, they make much of the last digit."""
    skip_absent = draw(st.booleans())
    arguments: dict[str, Any] = {
        "smooth": draw(st.sampled_from([1.0, 1e-3, 50.0] + [0.0] * skip_absent)),
        "per_image": draw(st.booleans()),
        "skip_absent": skip_absent,
        "squared": draw(st.booleans()),
    }
    if draw(st.booleans()):
        arguments["classes"] = draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=4, unique=True))
    if draw(st.booleans()):
        weight = draw(st.lists(st.sampled_from([1.0, 0.0, 0.5, 3.0]), max_size=6))
        arguments["weight"] = ([1.0, *weight] * classes)[:classes]
    if name == "TverskyLoss":
        arguments |= {key: draw(st.sampled_from([0.5, 0.3, 1.0])) for key in ("alpha", "beta")}
        arguments["gamma"] = draw(st.sampled_from([1.0, 2.0, 3.0]))
    return arguments


@st.composite
def terms(draw: st.DrawFn, name: str, classes: int) -> dict[str, Any]:
    """What is computed: one loss, or the sum of one and region losses."""
    if name in REGIONS:
        return {"loss": name, "arguments": draw(regions(name, classes)), "adjustment": (), "regions": ()}
    added = ()
    if name == "sum":
        name = draw(st.sampled_from([*PIXELS, "DiceLoss"]))
        kinds = draw(st.lists(st.sampled_from(list(REGIONS)), min_size=1, max_size=2))
        added = tuple((draw(st.sampled_from([1.0, 0.5, -2.0])), kind, draw(regions(kind, classes))) for kind in kinds)
    one = draw(terms(name, classes)) if name in REGIONS else draw(losses(name, classes))
    return {**one, "regions": added}


@st.composite
def problems(draw: st.DrawFn, classes: int, resized: bool, small: bool) -> dict[str, Any]:
    """Shapes, dtypes and what the tensors hold; ``small`` for the interpreter, where a program costs milliseconds."""
    rank = 2 if resized else draw(st.sampled_from([2, 1, 3]))
    longest = 3 if classes > 40 or rank == 3 or small else 12
    extents = draw(st.tuples(st.integers(1, 2 if small else 3), *[st.integers(1, longest)] * rank))
    empty = draw(st.sampled_from([None] * 20 + [0] + [*range(1, rank + 1)] * (not resized)))  # a dimension
    images, *spatial = (0 if d == empty else n for d, n in enumerate(extents))
    spatial = tuple(spatial)
    size = draw(st.tuples(*[st.integers(1, 2 * longest)] * 2)) if resized else spatial
    # The same, what would be a transposed target, or classes that come last.
    while resized and size in (spatial, spatial[::-1], (classes, spatial[0])):
        size = (size[0] + 1, size[1])
    labels = draw(st.sampled_from(LABELS))
    outside = [255, -1, -100, classes, 261, 2**31, -(2**40)]
    # What goes by pixels needs logits of their size.
    special = draw(st.sampled_from(["none", "impossible class", *["impossible", "ignored", "sure"] * (not resized)]))
    named = min(classes - (special == "impossible class"), torch.iinfo(labels).max + 1)
    return {
        "shape": (images, classes, *spatial),
        "size": size,
        "align_corners": draw(st.booleans()),
        "dtype": draw(st.sampled_from(LOGITS)),
        "labels": labels,
        "ignore_index": draw(st.sampled_from([i for i in outside if not 0 <= i < classes])),
        "channel": draw(st.booleans()),
        "magnitude": draw(st.sampled_from([1.0, 1.0, 1e-3, 30.0, 1e4])),
        "special": special,
        "present": draw(st.integers(1, named)),
        "ignored": draw(st.sampled_from([0.2, 0.0])),
        "void": draw(st.sampled_from([False, False, True])),
    }


@st.composite
def layouts(draw: st.DrawFn, rank: int, repeat: bool = True) -> Layout:
    """Of a tensor of so many dimensions; ``repeat``: some may have stride 0."""
    dims = tuple(range(rank))
    channels_last = (0, *dims[2:], 1) if rank > 2 else dims
    ones = (1,) * rank
    return Layout(
        tuple(draw(st.sampled_from([dims, channels_last]) | st.permutations(dims))),
        draw(st.just(ones) | st.tuples(*[st.integers(1, 2)] * rank)),
        draw(st.integers(0, 2)),
        draw(st.sampled_from([(), *combinations(dims, 1), *combinations(dims, 2)][: None if repeat else 1])),
    )


@st.composite
def cases(draw: st.DrawFn, loss: str, resized: bool, small: bool) -> Case:
    few, many = [3, 2, 4, 5, 8, 9], [7, 16, 17, 19, 33, 40, 150, 257, 1100]
    classes = draw(st.sampled_from(few if small else few + many))
    parameters = draw(terms(loss, classes))
    by_regions = loss in (*REGIONS, "sum")
    problem = draw(problems(classes, resized, small))
    dtype, rank = problem["dtype"], len(problem["shape"])
    reduction = draw(st.sampled_from(["mean", "sum", "none"][: 3 - by_regions]))
    # float16 ends at 65504, and a gradient of one pass is rounded to it.
    unit = 1 / 64 if dtype == torch.float16 and reduction != "mean" else 1.0
    return Case(
        **problem,
        **parameters,
        logits_layout=draw(layouts(rank, repeat=problem["special"] == "none")),
        target_layout=draw(layouts(rank - 1)),
        reduction=reduction,
        loss_weight=unit * draw(st.sampled_from([1.0, 0.4, -2.0])),
        gradient=draw(
            st.sampled_from(["auto", "recompute", "one_pass"][: 3 - (by_regions or (resized and reduction == "none"))])
        ),
        training=draw(st.booleans()),
        graph=draw(st.sampled_from(["leaf", "leaf", "leaf", "inside", "inside", "without"])),
        upstream=draw(st.sampled_from(["one", "random", "negative", "stride 0", "random", "zero"])),
        twice=draw(st.booleans()),
        stats=draw(st.booleans()),
        cut=draw(st.sampled_from([None, 4, 16])),
        seed=draw(st.integers(0, 2**16)),
    )

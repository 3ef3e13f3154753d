"""Wrong arguments: each names the argument, what came, what was expected and the likely mistake, word for word."""

import dataclasses
import functools
import os
from unittest import mock

import numpy as np
import pytest
import torch
from camvid import camvid
from cases import CPU, GPU, PATHS, Loss, example
from PIL import Image

import pat_triton as pt
from benchmarks.storage import refuse_taken
from benchmarks.training import checkpoint
from benchmarks.training.datasets import load
from pat_triton import curves, metrics
from pat_triton.adjustment import LogPrior, Scale, Variation
from pat_triton.curves import Curve, Exponential
from pat_triton.weights import MaskSize

Z = torch.zeros(2, 19, 4, 6)
Y = torch.zeros(2, 4, 6, dtype=torch.int64)
LARGE = torch.zeros(2, 8, 12, dtype=torch.int64)
JAGGED = torch.nested.nested_tensor([Z[0], Z[1]], layout=torch.jagged)
INF, NAN = float("inf"), float("nan")


class Flat(Curve):
    name = "flat"

    def __call__(self, u, p, q):
        return -u, torch.full_like(u, -1.0)


@dataclasses.dataclass(frozen=True)
class Sloped(Flat):
    slope: float = 1.0
    name = "sloped"


def bad(message, act):
    """One row: what ``act(folder)`` says; FOLDER stands for that empty folder."""
    return [pytest.param(message, act, id=message)]


def each(message, function, *arguments, **options):
    """A row for each path, where the tensors are and which is asked for as the ``backend``."""

    def act(_, backend, device):
        def moved(a):
            if isinstance(a, list):
                return [moved(item) for item in a]
            return a.to(device) if type(a) is torch.Tensor and not a.is_meta else a

        function(*map(moved, arguments), **options, backend=backend)

    named = ((path.id, *path.values[0]) for path in PATHS)
    return [
        pytest.param(message, functools.partial(act, backend=backend, device=device), id=f"{name}: {message}")
        for name, backend, device in named
    ]


def call(message, logits, target, *more, **options):
    """A loss called with these, and made with the options."""
    criterion = options.pop("criterion", pt.PATLoss)

    given = {name: options.pop(name) for name in ("weights", "mask_sizes", "pixel_weight") if name in options}

    def loss(*arguments, backend):
        module = criterion(**options, backend=backend, validate=True).to(GPU if backend == "triton" else CPU)
        device = arguments[0].device if isinstance(arguments[0], torch.Tensor) else CPU
        moved = {name: a.to(device) if isinstance(a, torch.Tensor) else a for name, a in given.items()}
        return module(*arguments, **moved)

    return each(message, loss, logits, target, *more)


def registered_twice(_):
    with mock.patch.dict(curves.CURVES), mock.patch.dict(curves.TRITON_FNS):
        for function in (min, max):
            pt.register(Flat, twin=function)


def labelled(*labels):
    """``Y`` with these in its first pixels."""
    y = Y.clone()
    y.view(-1)[: len(labels)] = torch.tensor(labels)
    return y


def data(message, harm):
    """CamVid's folder below FOLDER after ``harm``."""

    def act(folder):
        harm(camvid(folder))
        load("camvid", folder, (32, 48), 0)

    return bad(message, act)


CLASSES = "target: expected uint8, int16, int32 or int64 class indices, got "
LONG = "; a map of whole numbers becomes indices by target.long()"
CHANNELS = ", a channel for each class; a one-hot target becomes indices by target.argmax(1)"
SHAPE = "target: expected shape (2, height, width) or (2, 1, height, width) for logits of shape (2, 19, 4, 6), got "
LOGITS = (
    "logits: expected shape (batch, classes, height, width), or one or three dimensions in place of height and width, "
    "got shape "
)
RESIZED = "only logits of shape (batch, classes, height, width) are resized"
NO_GRADIENT = "got a tensor with requires_grad=True, expected one without: the loss gives it no gradient; pass "
PART = "adjustment: expected an adjustment such as pat_triton.adjustment.LogPrior(), or a tuple of them, got "
CURVE = "curve: expected a curve such as pat_triton.curves.Focal(2), or the name of one, got "
RULE = "weights: expected a rule such as pat_triton.weights.MaskSize(), got "
INT = "ignore_index: expected an int or a list of ints, got "
LARGEST = "expected a number whose absolute value is at most 3.4e+38, the largest that float32 holds, got "
SMALLEST = "expected a number whose absolute value is at least 1.2e-38, below which float32 loses digits, got "
CLASSES_OF_LIST = "logits: expected as many {} in each tensor of the list as in the first, {}, got {} in logits[{}]"
PAT = ("temperature, epsilon, variant, detach_weight, ignore_index, weight, reduction, loss_weight, class_counts, "
       "align_corners, backend, gradient, validate, process_group, sharding")  # fmt: skip
NUMBERS = "expected a list, array or tensor of numbers, got "
SIZE = "size: expected (height, width) such as target.shape[-2:], got "
PICTURE = "<PIL.Image.Image image mode=L size=2x2 at 0x0>"
EXPECTED = "--data camvid expects SPLIT/*.jpg|.png and SPLITannot/*.png below --root, SPLIT being train, val, test"
FILES = f"no such folder; {EXPECTED}"

BAD = [
    # Constructors: numbers.
    *bad("temperature: expected a number above 0, got 0", lambda _: pt.PATLoss(temperature=0)),
    *bad("temperature: expected a number above 0, got -0.0", lambda _: pt.PATLoss(temperature=-0.0)),
    *bad("temperature: expected a number above 0, got -1.0", lambda _: pt.PATLoss(temperature=-1.0)),
    *bad("temperature: expected a finite number, got inf", lambda _: pt.PATLoss(temperature=INF)),
    *bad(f"temperature: expected a finite number, got 1{'0' * 199}...", lambda _: pt.PATLoss(temperature=10**400)),
    *bad("temperature: expected a number, got str", lambda _: pt.PATLoss(temperature="20")),
    *bad("temperature: expected a number, got list", lambda _: pt.PATLoss([20])),
    *bad("temperature: expected a number, got complex", lambda _: pt.PATLoss(2 + 0j)),
    *bad("temperature: expected a number above 0, got -1.0", lambda _: pt.PATLoss(np.float32(-1))),
    *bad("temperature: expected a number, got ndarray of shape (2,)", lambda _: pt.PATLoss(np.ones(2))),
    *bad("temperature: expected a number, got Tensor of shape (1,)", lambda _: pt.PATLoss(torch.tensor([20.0]))),
    *bad("temperature: expected a number, got Tensor of bool", lambda _: pt.PATLoss(torch.tensor(True))),
    *bad("temperature: expected a number, got a tensor on the device meta, which has none",
         lambda _: pt.PATLoss(torch.ones((), device="meta"))),
    *bad(f"temperature: {NO_GRADIENT}temperature.detach()",
         lambda _: pt.PATLoss(torch.tensor(20.0, requires_grad=True))),
    *bad("temperature: expected a number other than 0, got 0", lambda _: Exponential(0.0)),
    # What float32 would make inf or 0.
    *bad(f"temperature: {LARGEST}1e+39",
         lambda _: pt.PATLoss(1e39)),
    *bad(f"temperature: {SMALLEST}1e-300",
         lambda _: pt.PATLoss(1e-300)),
    *bad(f"temperature: {SMALLEST}-1e-300",
         lambda _: Exponential(-1e-300)),
    *bad(f"gamma: {LARGEST}1e+39", lambda _: pt.FocalLoss(1e39)),
    *bad(f"max_margin: {LARGEST}1e+300",
         lambda _: pt.LDAMLoss(max_margin=1e300)),
    *bad(f"loss_weight: {LARGEST}-1e+39",
         lambda _: pt.FocalLoss(loss_weight=-1e39)),
    *bad(f"scale: {LARGEST}1e+76",
         lambda _: pt.SegmentationLoss(adjustment=(Scale(1e38), Scale(1e38)))),
    *bad("slope: expected a number, got str", lambda _: pt.SegmentationLoss(Sloped("1"))),
    *bad("epsilon: expected a finite number, got nan", lambda _: pt.PATLoss(epsilon=NAN)),
    *bad("epsilon: expected 0 with variant='release', whose formula has none, got 0.1",
         lambda _: pt.PATLoss(epsilon=0.1, variant="release")),
    *bad("gamma: expected 0 or more, got -0.5", lambda _: pt.FocalLoss(-0.5)),
    *bad("gamma: expected a number, got NoneType", lambda _: pt.FocalLoss(None)),
    *bad("sigma: expected 0 or more, got -1", lambda _: pt.BLVLoss(sigma=-1)),
    *bad("beta: expected None or a number from 0 to below 1, got 1.0", lambda _: pt.ClassBalancedLoss(beta=1.0)),
    *bad("beta: expected None or a number from 0 to below 1, got -0.1", lambda _: pt.ClassBalancedFocalLoss(beta=-0.1)),
    *bad("beta: expected a number, got bool", lambda _: pt.ClassBalancedLoss(beta=True)),
    *bad("max_margin: expected a number above 0, got 0", lambda _: pt.LDAMLoss(max_margin=0)),
    *bad("scale: expected a number above 0, got -30", lambda _: pt.LDAMLoss(scale=-30)),
    *bad("loss_weight: expected a finite number, got nan", lambda _: pt.FocalLoss(loss_weight=NAN)),
    *bad("ignore_index: expected an int, got float", lambda _: pt.FocalLoss(ignore_index=255.0)),
    *bad(f"{INT}None; pass -1 to ignore nothing", lambda _: pt.FocalLoss(ignore_index=None)),
    *bad("ignore_index: expected an int, got bool", lambda _: pt.FocalLoss(ignore_index=True)),
    *bad("ignore_index: expected an int, got Tensor of shape (2,)",
         lambda _: pt.FocalLoss(ignore_index=torch.tensor([1, 2]))),
    *bad("ignore_index: expected an int, got a tensor on the device meta, which has none",
         lambda _: pt.FocalLoss(ignore_index=torch.ones((), device="meta").int())),
    *bad("num_classes: expected 1 or more, got 0", lambda _: pt.class_counts([Y], 0)),
    *bad("ignore_index: expected an int of 64 bits, got 9223372036854775808",
         lambda _: pt.FocalLoss(ignore_index=2**63)),
    # Constructors: keywords.
    *bad(f"PATLoss: got unexpected keywords, 'temprature' (did you mean 'temperature'?). It takes {PAT}",
         lambda _: pt.PATLoss(temprature=5)),
    *bad(f"PATLoss: got unexpected keywords, 'curve', 'T' (did you mean 'temperature'?). It takes {PAT}",
         lambda _: pt.PATLoss(curve="focal", T=5)),
    *bad("CrossEntropyLoss: got unexpected keywords, 'label_smoothing'. It takes weight, ignore_index, reduction, "
         "loss_weight, class_counts, align_corners, backend, gradient, validate, process_group, sharding",
         lambda _: pt.CrossEntropyLoss(label_smoothing=0.1)),
    *bad("SegmentationLoss: got unexpected keywords, 'adjustments' (did you mean 'adjustment'?). It takes curve, "
         "adjustment, weights, ignore_index, weight, reduction, loss_weight, class_counts, align_corners, backend, "
         "gradient, validate, process_group, sharding", lambda _: pt.SegmentationLoss(adjustments=LogPrior())),
    *bad(f"Mine: got unexpected keywords, 'temprature' (did you mean 'temperature'?). It takes {PAT}",
         lambda _: type("Mine", (pt.PATLoss,), {})(temprature=5)),
    # Constructors: choices.
    *bad("variant: got 'papr', known: 'paper', 'table1', 'release'", lambda _: pt.PATLoss(variant="papr")),
    *bad("distribution: got 'normal', known: 'gaussian', 'uniform', 'xavier'",
         lambda _: pt.BLVLoss(distribution="normal")),
    *bad("reduction: got 'avg', known: 'mean', 'sum', 'none'", lambda _: pt.FocalLoss(reduction="avg")),
    *bad("reduction: got None, known: 'mean', 'sum', 'none'", lambda _: pt.FocalLoss(reduction=None)),
    *bad("reduction: got array([0., 0.]), known: 'mean', 'sum', 'none'",
         lambda _: pt.FocalLoss(reduction=np.zeros(2))),
    *bad("backend: got 'cuda', known: 'auto', 'triton', 'torch'", lambda _: pt.FocalLoss(backend="cuda")),
    *bad("gradient: got 'two_pass', known: 'auto', 'one_pass', 'recompute'",
         lambda _: pt.FocalLoss(gradient="two_pass")),
    *bad("detach_weight: expected True or False, got 1", lambda _: pt.PATLoss(detach_weight=1)),
    *bad("validate: expected True or False, got 'yes'", lambda _: pt.FocalLoss(validate="yes")),
    *bad("align_corners: expected True or False, got None", lambda _: pt.FocalLoss(align_corners=None)),
    *bad("curve: got 'pat', known: 'cross_entropy', 'focal', 'exponential', 'none'",
         lambda _: pt.SegmentationLoss("pat")),
    *bad(f"{CURVE}MaskSize(); pass that as weights=", lambda _: pt.SegmentationLoss(MaskSize())),
    *bad(f"{CURVE}<built-in function max>", lambda _: pt.SegmentationLoss(max)),
    *bad("curve: expected a subclass of Curve with a name, such as name = 'mine', got 5", lambda _: pt.register(5)),
    *bad("curve: expected a subclass of Curve with a name, such as name = 'mine', got <class 'int'>",
         lambda _: pt.register(int)),
    *bad(f"curve: expected a subclass of Curve with a name, such as name = 'mine', got {Curve}",
         lambda _: pt.register(Curve)),
    *bad("curve: got Mine with the name 'focal', which another class, Focal, has; give Mine a name of its own",
         lambda _: pt.register(type("Mine", (Curve,), {"name": "focal"}))),
    *bad("twin: the curve 'flat' has another Triton function already; give the new curve a name of its own",
         registered_twice),
    *bad(f"{PART}'ldam'",
         lambda _: pt.SegmentationLoss(adjustment="ldam")),
    *bad(f"{RULE}[1.0]; class weights go to weight=",
         lambda _: pt.SegmentationLoss(weights=[1.0])),
    # Constructors: numbers of each class.
    *bad("class_counts: expected numbers of pixels, got [0.5, 0.25, 0.25], which look like shares of the pixels; "
         "pat_triton.class_counts counts the pixels of a data set",
         lambda _: pt.LDAMLoss([0.5, 0.25, 0.25])),
    *bad("class_counts: expected whole numbers of pixels, got [1.5, 3.0]", lambda _: pt.LDAMLoss([1.5, 3.0])),
    *bad("class_counts: expected numbers of 0 or more, got -1", lambda _: pt.LDAMLoss([3, -1])),
    *bad("class_counts: expected at least one count above 0, got 0 for every class", lambda _: pt.LDAMLoss([0, -0.0])),
    *bad("class_counts: expected finite numbers, got [inf, 1.0]", lambda _: pt.LDAMLoss([INF, 1])),
    *bad("class_counts: expected counts below 2 ** 63, got 9.22337e+18", lambda _: pt.LDAMLoss([2**63, 1])),
    *bad("class_counts: expected counts below 2 ** 63, got 1e+19", lambda _: pt.LDAMLoss([1e19, 1])),
    *bad("class_counts: expected one number for each class, got shape (1, 2)", lambda _: pt.LDAMLoss([[1, 2]])),
    *bad("class_counts: expected numbers for at least 2 classes, got 0", lambda _: pt.LDAMLoss([])),
    *bad("class_counts: expected numbers for at least 2 classes, got 1", lambda _: pt.LDAMLoss([5])),
    *bad(f"class_counts: {NUMBERS}<PIL.Image.Image image mode=L size=2x2 at 0x0>",
         lambda _: pt.LDAMLoss(type("Picture", (), {"__array__": None, "__repr__": lambda _: PICTURE})())),
    *bad(f"class_counts: {NUMBERS}'cityscapes'", lambda _: pt.LDAMLoss("cityscapes")),
    *bad(f"class_counts: {NUMBERS}['5', '6']", lambda _: pt.LDAMLoss(["5", "6"])),
    *bad(f"class_counts: {NUMBERS}{{'road': 5, 'car': 6}}", lambda _: pt.LDAMLoss({"road": 5, "car": 6})),
    *bad(f"class_counts: {NUMBERS}[1{'0' * 198}...", lambda _: pt.LDAMLoss([10**400, 1])),
    *bad("class_counts: expected numbers, got a tensor on the device meta, which has none",
         lambda _: pt.LDAMLoss(torch.ones(3, device="meta"))),
    *bad("class_counts: expected a dense tensor, got sparse_coo; .to_dense() makes it dense",
         lambda _: pt.LDAMLoss(torch.ones(3).to_sparse())),
    *bad("weight: expected numbers of 0 or more, got -2", lambda _: pt.CrossEntropyLoss([1.0, -2.0])),
    *bad("weight: expected finite numbers, got [nan, 1.0]", lambda _: pt.CrossEntropyLoss([NAN, 1.0])),
    *bad("weight: expected at least one weight above 0, got 0 for every class",
         lambda _: pt.FocalLoss(weight=[0.0, -0.0])),
    *bad("weight: expected numbers that float32 holds, got 1e+300", lambda _: pt.FocalLoss(weight=[1e300, 1.0])),
    *bad("weight: expected one number for each class, got shape ()", lambda _: pt.CrossEntropyLoss(2.0)),
    *bad(f"weight: {NUMBERS}[1, None]", lambda _: pt.FocalLoss(weight=[1, None])),
    *bad(f"weight: {NUMBERS}[[1, 2], [3]]", lambda _: pt.FocalLoss(weight=[[1, 2], [3]])),
    *bad(f"weight: {NUMBERS}tensor([1.+0.j, 1.+0.j])",
         lambda _: pt.FocalLoss(weight=torch.ones(2, dtype=torch.complex64))),
    *bad(f"weight: {NO_GRADIENT}weight.detach()",
         lambda _: pt.FocalLoss(weight=torch.ones(2, requires_grad=True))),
    *bad(f"weight: {NO_GRADIENT}.detach() of each tensor in the list",
         lambda _: setattr(pt.FocalLoss(), "weight", [torch.nn.Parameter(torch.tensor(2.0)), 1.0])),
    *bad(f"class_counts: {NO_GRADIENT}class_counts.detach()",
         lambda _: pt.LDAMLoss(torch.ones(2, requires_grad=True))),
    *bad("process_group: expected a torch.distributed.ProcessGroup, 'world' or None, got 'all'",
         lambda _: pt.FocalLoss(process_group="all")),
    *bad("sharding: got 'columns', known: 'images', 'rows'", lambda _: pt.FocalLoss(sharding="columns")),
    *bad(f"{PART}the class LogPrior; pass an instance, LogPrior(...)",
         lambda _: pt.SegmentationLoss(adjustment=LogPrior)),
    *bad(f"{RULE}the class MaskSize; pass an instance, MaskSize(...)",
         lambda _: pt.SegmentationLoss(weights=MaskSize)),
    *bad(f"{PART}MaskSize(); pass that as weights=", lambda _: pt.SegmentationLoss(adjustment=MaskSize())),
    *bad(f"{RULE}LogPrior(); pass that as adjustment=", lambda _: pt.SegmentationLoss(weights=LogPrior())),
    *bad(f"{CURVE}the class Exponential; pass an instance, Exponential(...)",
         lambda _: pt.SegmentationLoss(Exponential)),
    *bad("curve: got Mine with the name 'exponential', which another class, Exponential, has; give Mine a name of its "
         "own, and register it with pat_triton.register(Mine)",
         lambda _: pt.SegmentationLoss(type("Mine", (Exponential,), {})())),
    # Options that are assigned later.
    *bad("reduction: got 'avg', known: 'mean', 'sum', 'none'", lambda _: setattr(pt.PATLoss(), "reduction", "avg")),
    *bad("sharding: got 'row', known: 'images', 'rows'", lambda _: setattr(pt.PATLoss(), "sharding", "row")),
    *bad("loss_weight: expected a number, got str", lambda _: setattr(pt.PATLoss(), "loss_weight", "1")),
    *bad("process_group: expected a torch.distributed.ProcessGroup, 'world' or None, got 'nccl'",
         lambda _: setattr(pt.PATLoss(), "process_group", "nccl")),
    *bad("temperature: cannot be changed after a PATLoss is made; make another, or assign one of its parts: "
         "criterion.curve, criterion.adjustment or criterion.weights",
         lambda _: setattr(pt.PATLoss(), "temperature", 5.0)),
    # Calls: what came instead of tensors.
    *call("logits: expected a torch.Tensor, got float", [1.0], Y),
    *call("logits: got an empty list, expected a tensor or a list of tensors", [], Y),
    *call("logits: expected a torch.Tensor, got NoneType", None, Y),
    *call("logits: expected a torch.Tensor, got ndarray; convert it with torch.as_tensor", Z.numpy(), Y),
    *call("logits: expected a torch.Tensor, got dict; pass one of the tensors in it", {"out": Z}, Y),
    *call("logits: expected a torch.Tensor, got tuple; pass one of the tensors in it", [(Z, Z)], Y),
    *call(CLASSES_OF_LIST.format("classes", 19, 18, 1), [Z, Z[:, 1:]], Y),
    *call(CLASSES_OF_LIST.format("images", 2, 1, 2), [Z, Z, Z[1:]], Y),
    *call("weights: got some for a single tensor of logits, expected none: they are the factors of several logits in a "
          "list; class weights go to the constructor's weight=", Z, Y, weights=[1.0]),
    *call("weights: expected a list of 2 numbers, one for each tensor in the list of logits, got [1.0]; "
          "class weights go to the constructor's weight=",
          [Z, Z], Y, weights=[1.0]),
    *call("weights: expected a list of 2 numbers, one for each tensor in the list of logits, got 0.4; "
          "class weights go to the constructor's weight=",
          [Z, Z], Y, weights=0.4),
    *call("weights: expected a finite number, got nan", [Z, Z], Y, weights=[1, NAN]),
    *call("weights: expected a list of 2 numbers, one for each tensor in the list of logits, got array([1., 1., 1.]); "
          "class weights go to the constructor's weight=",
          [Z, Z], Y, weights=np.ones(3)),
    *call(f"weights: {NO_GRADIENT}.detach() of each tensor in the list",
          [Z, Z], Y, weights=[1, torch.tensor(0.4, requires_grad=True)]),
    *call("pixel_weight: expected a torch.Tensor, got ndarray; convert it with torch.as_tensor",
          Z, Y, pixel_weight=np.ones((2, 4, 6))),
    *call("pixel_weight: expected float16, bfloat16, float32 or float64, got bool; convert it with .float()",
          Z, Y, pixel_weight=Y > 3),
    *call("pixel_weight: expected shape (2, 4, 6), that of the target, got (19,); class weights go to the "
          "constructor's weight=", Z, Y, pixel_weight=torch.ones(19)),
    *call(f"pixel_weight: {NO_GRADIENT}pixel_weight.detach()",
          Z, Y, pixel_weight=torch.ones(2, 4, 6, requires_grad=True)),
    *call("mask_sizes: expected a tensor of uint8, int16, int32 or int64, got float32",
          Z, Y, mask_sizes=torch.ones(2, 19)),
    *call("mask_sizes: expected a tensor of uint8, int16, int32 or int64, got list",
          Z, Y, mask_sizes=[[24] * 19] * 2),
    *call("mask_sizes: expected shape (2, 19), a number for each image and class, got (19,)",
          Z, Y, mask_sizes=torch.full((19,), 24)),
    *call("mask_sizes: got 23 for class 0 in image 0, expected at least 24, the pixels of that class in the target; "
          "pass the numbers of pixels in the whole image, of which the target is a crop",
          Z, Y, mask_sizes=torch.full((2, 19), 23)),
    *call("mask_sizes: got some, expected none: Pixel() does not use them; MaskSize(), as in PATLoss, does",
          Z, Y, criterion=pt.FocalLoss, mask_sizes=torch.full((2, 19), 24)),
    *call("process_group: torch.distributed is not initialised; call torch.distributed.init_process_group first "
          "(under torchrun), or leave process_group=None on one process", Z, Y, process_group="world"),
    *call("logits: expected a dense tensor, got sparse_coo; .to_dense() makes it dense", Z.to_sparse(), Y),
    *call("logits: expected a dense tensor, got a nested one; .to_padded_tensor(padding) makes it dense", JAGGED, Y),
    *call("logits: expected float16, bfloat16, float32 or float64, got int64; are these the labels?", Z.long(), Y),
    *call("logits: expected float16, bfloat16, float32 or float64, got complex64", Z.to(torch.complex64), Y),
    *call("target: expected a torch.Tensor, got NoneType", Z, None),
    *call("target: expected a torch.Tensor, got ndarray; convert it with torch.as_tensor", Z, Y.numpy()),
    *call("target: expected a dense tensor, got sparse_coo; .to_dense() makes it dense", Z, Y.to_sparse()),
    *call(f"{CLASSES}float32{LONG}", Z, Y.float()),
    *call(f"{CLASSES}bool{LONG}", Z, Y.bool()),
    *call(f"{CLASSES}int8{LONG}", Z, Y.to(torch.int8)),
    *call(f"{CLASSES}uint16{LONG}", Z, Y.to(torch.uint16)),
    # Calls: shapes.
    *call(f"{LOGITS}(2, 19); are the pixels flattened to (pixels, classes)? Pass logits.T[None] and target[None]",
          Z[..., 0, 0], Y),
    *call(f"{LOGITS}(1, 1, 2, 19, 4, 6); are there two batch dimensions? Pass logits.flatten(0, 1) and "
          "target.flatten(0, 1)", Z[None, None], Y),
    *call("logits: expected at least 2 classes in dimension 1, got shape (2, 1, 4, 6); a binary task "
          "takes two channels, one for the background and one for the foreground, and labels 0 and 1", Z[:, :1], Y),
    *call(f"target: expected class indices, got shape (2, 19, 4, 6){CHANNELS}", Z, Z.long()),
    *call(f"target: expected class indices, got shape (2, 19, 8, 12){CHANNELS}", Z, torch.zeros(2, 19, 8, 12)),
    *call(f"{SHAPE}(3, 4, 6); the target has 3 images, the logits have 2", Z, torch.cat((Y, Y[:1]))),
    *call(f"{SHAPE}(2, 6, 4); is the target transposed? Pass target.mT", Z, Y.mT),
    *call(f"{SHAPE}(2, 4, 6, 1); is the last dimension one channel? Pass target.squeeze(-1)", Z, Y[..., None]),
    *call(f"{SHAPE}(2, 24)", Z, Y.flatten(1)),
    *call(f"{SHAPE}(4, 6); is the batch dimension missing? Pass target[None]", Z, Y[0]),
    *call("target: expected shape (19, 6) or (19, 1, 6) for logits of shape (19, 4, 6), got (4, 6); "
          "is the batch dimension missing? Pass logits[None] and target[None]", Z[0], Y[0]),
    *call("target: expected shape (2, height, width) or (2, 1, height, width) for logits of shape (2, 4, 6, 19), "
          "got (2, 4, 6); are the classes the last dimension? Pass logits.movedim(-1, 1)", Z.movedim(1, -1), Y),
    *call("target: expected shape (2, 4) or (2, 1, 4) for logits of shape (2, 19, 4), got (2, 8); "
          f"{RESIZED} to the target's size", Z[..., 0], LARGE[..., 0]),
    *call("target: expected shape (2, 4, 6, 1) or (2, 1, 4, 6, 1) for logits of shape (2, 19, 4, 6, 1), "
          f"got (2, 8, 12, 1); {RESIZED} to the target's size",
          Z[..., None], LARGE[..., None]),
    *call("target: expected shape (2, height, width) or (2, 1, height, width) for logits of shape (2, 19, 0, 6), "
          "got (2, 8, 12); logits without a pixel cannot be resized", Z[:, :, :0], LARGE),
    *bad("target: expected a tensor on cpu, like the logits, got one on meta; pass target.to(logits.device)",
         lambda _: pt.FocalLoss()(Z, Y.to("meta"))),
    # Calls: labels.
    *call("target: 1 label is neither a class 0..18 nor ignore_index=255: -100 (1 pixel); "
          "to ignore these pixels pass ignore_index=-100",
          Z, Y.index_put((torch.tensor(0),) * 3, torch.tensor(-100))),
    *call("target: 48 labels are neither a class 0..18 nor ignore_index=255: 19 (48 pixels); "
          "labels that count from 1 need target - 1; if 19 means unlabelled pass ignore_index=19", Z, Y + 19),
    *call("target: 32 labels are neither a class 0..18 nor ignore_index=255: 20 (16 pixels), 33 (16 pixels); "
          "map the data set's ids to 0..18 first, or give the logits more channels",
          Z, torch.tensor([0, 20, 33]).repeat(16).view(2, 4, 6).int()),
    *call("target: 48 labels are neither a class 0..18 nor ignore_index=-1: 255 (48 pixels); "
          "to ignore these pixels pass ignore_index=255", Z, (Y + 255).to(torch.uint8), ignore_index=-1),
    *call("target: 1 label is neither a class 0..18 nor ignore_index=255: 19 (1 pixel); if 19 means unlabelled pass "
          "ignore_index=19; if 0 does, and classes count from 1, pass target.long() - 1 and ignore_index=-1",
          Z, labelled(0, 19)),
    # What is ignored already stays ignored, if it occurs or is a class.
    *call("target: 1 label is neither a class 0..18 nor ignore_index=255: -1 (1 pixel); "
          "to ignore these pixels pass ignore_index=(255, -1)", Z, labelled(255, -1)),
    *call("target: 2 labels are neither a class 0..18 nor ignore_index=-100: -1 (1 pixel), 255 (1 pixel); "
          "to ignore these pixels pass ignore_index=(255, -1)", Z, labelled(255, -1), ignore_index=-100),
    *call("target: 1 label is neither a class 0..18 nor ignore_index=0: 255 (1 pixel); "
          "to ignore these pixels pass ignore_index=(0, 255)", Z, labelled(255, 7), ignore_index=0),
    *call("target: 2 labels are neither a class 0..18 nor ignore_index=255: -1 (1 pixel), 33 (1 pixel); "
          "map the data set's ids to 0..18 first", Z, labelled(-1, 33)),
    *call("target: 2 labels are neither a class 0..18 nor ignore_index=255: -2 (1 pixel), -1 (1 pixel); "
          "map the data set's ids to 0..18 first", Z, labelled(-2, -1)),
    *call("target: 1 label is neither a class 0..1 nor ignore_index=-1: 255 (1 pixel); in a mask of 0 and 255 write 1 "
          "for 255; to ignore these pixels pass ignore_index=255", Z[:, :2], labelled(0, 255), ignore_index=-1),
    # Calls: options against the logits.
    *call("ignore_index: 255, its default, is one of the 300 classes; pass ignore_index=255 to ignore that class, or "
          "ignore_index=-1 to ignore nothing", torch.zeros(2, 300, 4, 6), Y),
    *call(f"{INT}(); pass -1 to ignore nothing", Z, Y, ignore_index=()),
    *call("ignore_index: expected an int, got float", Z, Y, ignore_index=(0, 2.5)),
    *call("weight: expected 19 numbers, one for each class of logits of shape (2, 19, 4, 6), got 3",
          Z, Y, weight=[1, 2, 3]),
    *call("class_counts: expected 19 numbers, one for each class of logits of shape (2, 19, 4, 6), got 3",
          Z, Y, criterion=pt.LDAMLoss, class_counts=[1, 2, 3]),
    *bad("weight: expected it on cpu, like the logits, got it on meta; move the loss with criterion.to(logits.device)",
         lambda _: pt.CrossEntropyLoss(torch.ones(19)).to("meta")(Z, Y)),
    *bad("class_counts: expected it on cpu, like the logits, got it on meta; move the loss with "
         "criterion.to(logits.device)",
         lambda _: pt.LDAMLoss(torch.ones(19)).to("meta")(Z, Y)),
    *call("gradient: 'one_pass' with reduction='none' expects logits of the target's size, got shape (2, 19, 4, 6) for "
          "a target of shape (2, 8, 12); where logits are resized, choose 'auto' or 'recompute', which compute the "
          "gradient in backward",
          Z, LARGE, reduction="none", gradient="one_pass"),
    *call("adjustment: expected at most one that adds noise, such as Variation, got two",
          Z, Y, criterion=pt.SegmentationLoss, adjustment=(Variation(), Variation())),
    *call("return_stats: expected True or False, got 1", Z, Y, 1),
    *bad("curve: 'flat' has no Triton function; give it one with pat_triton.register(Flat, twin=...), or choose "
         "backend='torch'", lambda _: pt.SegmentationLoss(Flat(), backend="triton")(Z.to(GPU), Y.to(GPU))),
    *bad("adjustment: <built-in function len> returned 19, expected pat_triton.adjustment.Tables",
         lambda _: pt.SegmentationLoss(adjustment=len)(Z, Y)),
    *bad("weights: <built-in function callable> returned False, expected (table, normaliser)",
         lambda _: pt.SegmentationLoss(weights=callable)(Z, Y)),
    # Evaluation.
    *each("logits: expected a torch.Tensor, got NoneType", pt.predict, None, (8, 12)),
    *each(f"{SIZE}8", pt.predict, Z, 8),
    *each(f"{SIZE}(2, 8, 12)", pt.predict, Z, (2, 8, 12)),
    *each(f"{SIZE}'ab'", pt.predict, Z, "ab"),
    *each(f"{SIZE}array([ 8, 12])", pt.predict, Z, np.array([8, 12])),
    *each("size: expected one (height, width), or a list of 2, one for each image of logits of shape (2, 19, 4, 6), "
          "got a list of 3",
          pt.predict, Z, [(8, 12)] * 3),
    *each(f"{SIZE}8", pt.predict, Z, [(8, 12), 8]),
    *each(f"{SIZE}(1, 2, 3)", pt.predict, Z, [(8, 12), (1, 2, 3)]),
    *each("size: expected an int, got float", pt.predict, Z, (8.0, 12.0)),
    *each("size: expected an int of 64 bits, got 1180591620717411303424", pt.predict, Z, (2**70, 12)),
    *each("size: expected a height and a width above 0, got (0, 12)", pt.predict, Z, (0, 12)),
    *each(f"size: expected (4,), got (8,); {RESIZED}", pt.predict, Z[..., 0], (8,)),
    *each("size: expected (4,), the size of the logits, got (8, 12)", pt.predict, Z[..., 0], (8, 12)),
    *each("size: got (8, 12) for logits of shape (2, 19, 0, 6); logits without a pixel cannot be resized",
          pt.predict, Z[:, :, :0], (8, 12)),
    *each("align_corners: expected True or False, got None", pt.predict, Z, (8, 12), None),
    *bad("backend: got 'cuda', known: 'auto', 'triton', 'torch'", lambda _: pt.predict(Z, (4, 6), backend="cuda")),
    *each("num_classes: expected 19, one for each channel of logits of shape (2, 19, 4, 6), got 20",
          pt.confusion_matrix, Z, Y, 20),
    *each("num_classes: expected an int, got float", pt.confusion_matrix, Z, Y, 19.0),
    *each("ignore_index: 255, its default, is one of the 300 classes; pass ignore_index=255 to ignore that class, or "
          "ignore_index=-1 to ignore nothing", pt.confusion_matrix, torch.zeros(2, 300, 4, 6), Y, 300),
    *each(f"{SHAPE}(2, 6, 4); is the target transposed? Pass target.mT", pt.confusion_matrix, Z, Y.mT, 19),
    *bad("target: 48 labels are neither a class 0..18 nor ignore_index=255: -100 (48 pixels); "
         "to ignore these pixels pass ignore_index=-100", lambda _: pt.confusion_matrix(Z, Y - 100, 19)),
    *bad("counts: expected a confusion matrix or Statistics, got list", lambda _: metrics.iou([[1]])),
    *bad("counts: expected a confusion matrix or Statistics, got ndarray; convert it with torch.as_tensor",
         lambda _: metrics.pixel_accuracy(np.eye(3))),
    *bad("counts: expected a confusion matrix or Statistics, got tuple; pass one of the tensors in it",
         lambda _: metrics.iou((Y, Y))),
    *bad("counts: expected a confusion matrix of shape (classes, classes), got shape (2, 3)",
         lambda _: metrics.dice(torch.zeros(2, 3))),
    # Files.
    *bad("FOLDER/checkpoint.pt: found no such file, expected a checkpoint of format 2, written by "
         "python -m benchmarks train",
         checkpoint.read),
    *bad("FOLDER/checkpoint.pt: found 5 bytes that torch.load cannot read, expected a checkpoint of format 2, written "
         "by python -m benchmarks train",
         lambda folder: (folder / "checkpoint.pt").write_text("whole") and checkpoint.read(folder)),
    *bad("--data camvid needs --root, the folder of the data set", lambda _: load("camvid", None, (32, 48), 0)),
    *bad(f"FOLDER/none: {FILES}", lambda folder: load("camvid", folder / "none", (32, 48), 0)),
    *bad("--save: got FOLDER/taken, expected a folder, but FOLDER/taken is a file",
         lambda folder: (folder / "taken").write_text("1") and refuse_taken(folder / "taken" / "figures.json")),
    *bad("--save: FOLDER/taken exists, expected a new file",
         lambda folder: (folder / "taken").write_text("1") and refuse_taken(folder / "taken")),
    *data(f"FOLDER/valannot: {FILES}", lambda root: (root / "valannot").rename(root / "labels")),
    *data("FOLDER/trainannot/1.png: no such file, expected the labels of FOLDER/train/1.jpg",
          lambda root: (root / "trainannot/1.png").unlink()),
    *data("FOLDER/train: no image in it, expected files *.jpg or *.png",
          lambda root: [file.unlink() for file in (root / "train").iterdir()]),
    *data("FOLDER/train/1.jpg: found 200 bytes that cannot be decoded (Truncated File Read), expected an image",
          lambda root: os.truncate(root / "train/1.jpg", 200)),
    *data("FOLDER/trainannot/1.png: found 60 bytes that cannot be decoded (image file is truncated), expected an image",
          lambda root: os.truncate(root / "trainannot/1.png", 60)),
    *data("FOLDER/val/0.jpg: found 0 bytes that cannot be decoded (cannot identify image file 'FOLDER/val/0.jpg'), "
          "expected an image",
          lambda root: os.truncate(root / "val/0.jpg", 0)),
    *data("FOLDER/trainannot/2.png: found 10 x 20 pixels, expected 32 x 48, the size of FOLDER/train/2.jpg",
          lambda root: Image.new("L", (20, 10)).save(root / "trainannot/2.png")),
    *data("FOLDER/trainannot/2.png: found the label ids 77, expected those of camvid: 0 to 11",
          lambda root: Image.new("L", (48, 32), 77).save(root / "trainannot/2.png")),
    *data("FOLDER/trainannot/2.png: found pixels of mode RGB, expected labels of one byte a pixel, the class "
          "index; is this the image, or a picture of the labels in colours?",
          lambda root: Image.new("RGB", (48, 32)).save(root / "trainannot/2.png")),
    *data("FOLDER/trainannot: found no labelled pixel in train, expected some: the labels 11, which are all ignored",
          lambda root: [Image.new("L", (48, 32), 11).save(file) for file in (root / "trainannot").iterdir()]),
]  # fmt: skip


@pytest.mark.parametrize(("message", "act"), BAD)
def test_bad_input(message, act, tmp_path):
    with pytest.raises((TypeError, ValueError, FileNotFoundError, AttributeError)) as raised:
        act(tmp_path)
    assert str(raised.value) == message.replace("FOLDER", str(tmp_path))


@pytest.mark.parametrize("label", [-100, 19, 2**40])
def test_an_unchecked_wrong_label_is_nan_and_nothing_else(label, monkeypatch):
    """As on a GPU, where a check would synchronise: never indexed, never skipped, its own column only."""
    logits, target = example((2, 19, 4, 6), torch.float32)
    target[1, 2, 3] = label
    monkeypatch.setattr("pat_triton.checks.labels.CHECKED_DEVICES", ())
    z = logits.to(GPU).requires_grad_()
    value = Loss("PATLoss").ours(("triton", GPU))(z, target.to(GPU))
    value.backward()
    assert value.isnan()
    column = torch.zeros(2, 4, 6, dtype=torch.bool)
    column[1, 2, 3] = True
    assert torch.equal(z.grad.isnan().cpu(), column[:, None].expand_as(z))


def test_validation_by_the_environment(monkeypatch):
    monkeypatch.setattr("pat_triton.checks.labels.CHECKED_DEVICES", ())
    criterion = Loss("PATLoss").ours(("triton", GPU))
    assert criterion(Z.to(GPU), Y.to(GPU) - 7).isnan()
    monkeypatch.setenv("PAT_TRITON_VALIDATE", "1")
    with pytest.raises(ValueError, match="48 labels are neither"):
        criterion(Z.to(GPU), Y.to(GPU) - 7)


def test_a_failed_call_changes_nothing():
    criterion = pt.BLVLoss(torch.arange(1, 20))
    state, rng = {k: v.clone() for k, v in criterion.state_dict().items()}, torch.get_rng_state()
    z, y = Z.clone(), Y + 40
    with pytest.raises(ValueError, match="neither"):
        criterion(z, y)
    assert torch.equal(z, Z)
    assert torch.equal(y, Y + 40)
    assert torch.equal(rng, torch.get_rng_state())
    assert all(torch.equal(v, criterion.state_dict()[k]) for k, v in state.items())


def test_counts_keep_their_digits_and_survive_half():
    counts = [2**53 + 1, 3]
    criterion = pt.LDAMLoss(counts).half().to(CPU)
    assert criterion.class_counts.dtype == torch.int64
    assert criterion.class_counts.tolist() == counts
    assert pt.LDAMLoss([2036416525.0, 2.0]).class_counts.tolist() == [2036416525, 2]  # Cityscapes' road

"""Run as a program, where TRITON_INTERPRET is unset: compile every kernel, print what was made as JSON lines.

python tests/aot.py TARGET
"""

import dataclasses
import itertools
import json
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from unittest import mock

import torch
import triton

from benchmarks.codegen import machine_code
from benchmarks.codegen.bounds import H200
from benchmarks.codegen.configurations import matrix, rows
from benchmarks.codegen.machine_code import compile_call
from benchmarks.codegen.targets import TARGETS
from pat_triton import PATLoss
from pat_triton.adjustment import Noise
from pat_triton.backends.triton import backend
from pat_triton.curves import CURVES, Exponential
from pat_triton.inputs import LossInputs, RegionInputs

SIZE = (512, 1024)
SOURCE = (128, 256)
CLASSES = (19, 150, 847)
DTYPES = (torch.float32, torch.bfloat16)
ROOFLINE = {19: ("bf16", "fp32"), 150: ("bf16",), 847: ("fp32",)}
ADJUSTMENTS = {"none": (), "margin": ("scale", "margin"), "variation": ("variation",)}
ADJUSTED = [("none", "map"), *itertools.product(("margin", "variation"), ("one_pass", "backward"))]
PLANS = {
    "one_pass": {"gradient": True},
    "forward": {},
    "map": {"reduce": False},
    "backward": {"grad_output": torch.empty((), device="meta")},
}


def inputs(curve, adjustment, L, compute=torch.float32):
    rows, noise, seed = ADJUSTMENTS[adjustment], None, None
    if "variation" in rows:
        noise, seed = Noise("gaussian", 4.0), torch.empty(2, dtype=torch.int64, device="meta")
    tables = torch.empty(1 + len(rows) + 2, L, dtype=compute, device="meta")
    return LossInputs(curve, tables, rows, 1 + len(rows), noise, seed, (255,), lead=1)


PLACED = {"i32": int, "i64": int, "fp32": float, "u1": bool}
POINTED = {
    "*fp32": torch.float32, "*fp64": torch.float64, "*bf16": torch.bfloat16, "*fp16": torch.float16,
    "*i64": torch.int64, "*i32": torch.int32, "*i16": torch.int16, "*u8": torch.uint8,
}  # fmt: skip


def misplaced(names, source, arguments):
    """What does not fit of the arguments that a launch hands to machine code, in order, against what was compiled:
    each one's type, what was compiled in of it, and what was assumed to be divisible by 16. Of ``names``, those of
    the kernel's parameters, the last have no argument: they were compiled in."""
    wrong = []

    def compare(value, kind, path):
        if kind == "constexpr":
            constant = source.constants[path]
            if value != constant:
                wrong.append(f"{path}: {value!r} for {constant!r}, which was compiled in")
        elif isinstance(kind, tuple):
            if not isinstance(value, tuple) or len(value) != len(kind):
                wrong.append(f"{path}: {value!r} for {kind}")
                return
            for i, (part, of) in enumerate(zip(value, kind, strict=True)):
                compare(part, of, (*path, i))
        elif kind in POINTED:
            if not isinstance(value, torch.Tensor) or value.dtype != POINTED[kind]:
                wrong.append(f"{path}: {value!r} for a pointer {kind}")
            elif by_16(path) and value.storage_offset() * value.itemsize % 16:
                wrong.append(f"{path}: a pointer that is not divisible by 16")
        elif type(value) is not PLACED[kind] or (by_16(path) and value % 16):
            wrong.append(f"{path}: {value!r} for {kind} {source.attrs.get(path)}")

    def by_16(path):
        return ["tt.divisibility", 16] in source.attrs.get(path, [])

    for i, (name, value) in enumerate(zip(names, arguments, strict=False)):
        compare(value, source.signature[name], (i,))
    wrong += [f"{name}: no argument" for name in names[len(arguments) :] if source.signature[name] != "constexpr"]
    return wrong


read = machine_code._read


def assert_placed(kernel, compiled, arguments):
    wrong = misplaced(kernel.arg_names, compiled.src, arguments)
    assert not wrong, f"{kernel.__name__}: {wrong}"


BOUNDS = re.compile(r"scf\.for %\S+ = (%\S+) to (%\S+) step (%\S+)(?: iter_args\(([^)]*)\))?")


def only_bounds(ttir):
    """What a loop hands from turn to turn only to be a bound of an inner loop: Triton 3.6 drops it, and every turn of
    the inner loop begins where the first does."""
    loops = [found.groups() for found in BOUNDS.finditer(ttir)]
    bounds = Counter(bound for *each, _ in loops for bound in each)
    carried = [name for *_, given in loops if given for name in re.findall(r"(%\S+) = ", given)]
    uses = Counter(re.findall(r"%[\w.#-]+", ttir))
    return [name for name in carried if bounds[name] and uses[name] == bounds[name] + 1]  # and where it begins


def assert_compiled(target, kernel, compiled, arguments, options):
    assert_placed(kernel, compiled, arguments)
    assert not only_bounds(compiled.asm["ttir"]), kernel.__name__
    assert options["num_warps"] * TARGETS[target].lanes <= 1024, kernel.__name__  # a program's threads


def read_placed(target, kernel, compiled, arguments, programs, options):
    assert_compiled(target, kernel, compiled, arguments, options)
    return read(target, kernel, compiled, arguments, programs, options)


def emit(target, call, **what):
    with mock.patch.object(machine_code, "_read", read_placed):
        made = compile_call(target, call)
    for code in made:
        print(json.dumps({"target": target, **what, **dataclasses.asdict(code)}), flush=True)


def emit_spills(target, call, **what):
    """Of each kernel only its name, its spills, and how many registers it may have, None where nothing is said."""

    def asm(target, kernel, compiled, arguments, _, options):
        assert_compiled(target, kernel, compiled, arguments, options)
        return kernel, compiled.asm, options.get("maxnreg")

    with mock.patch.object(machine_code, "_read", asm):
        made = compile_call(target, call)
    for kernel, asm, most in made:
        figures = {"kernel": kernel.__name__, "spills": spills(asm), "maxnreg": most}
        print(json.dumps({"target": target, **what, **figures}), flush=True)


def spills(asm):
    """As ``machine_code`` counts them. A kernel without a stack has none: the disassembler, which takes as long as
    the compiler, reads those that have one."""
    if "cubin" not in asm:
        return machine_code._read_amd(asm)[-1]
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(asm["cubin"])
        file.flush()
        tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
        usage = machine_code._output(tool, "--dump-resource-usage", file.name)
    stack, local = (int(re.findall(rf"{name}:(\d+)", usage)[0]) for name in ("STACK", "LOCAL"))
    return machine_code._read_nvidia(asm)[-1] if stack or local else 0


def main(target):
    for L, dtypes in ROOFLINE.items():
        for configuration in matrix([target], [L], dtypes):
            for row in rows(configuration):
                print(json.dumps(row), flush=True)
    labels = torch.empty(2, *SIZE, dtype=torch.uint8, device="meta")
    for L in CLASSES:
        emit(target, lambda L=L: backend.histogram(labels, L, (255,)), L=L, plan="histogram")
    for n, (L, (adjustment, plan)) in enumerate(itertools.product(CLASSES, ADJUSTED)):
        # The dtypes in turn; the H200's roofline has both.
        logits = torch.empty(2, L, *SIZE, dtype=DTYPES[n % 2], device="meta")
        p = inputs(Exponential(), adjustment, L)
        what = {"L": L, "dtype": str(logits.dtype), "adjustment": adjustment, "plan": plan}
        emit_spills(target, lambda z=logits, p=p, o=PLANS[plan]: backend.run(z, labels, p, **o), **what)
    for compute in (torch.float32, torch.float64):
        logits = torch.empty(2, 19, *SIZE, dtype=compute, device="meta")
        for name, curve in CURVES.items():
            p = inputs(curve(), "none", 19, compute)
            what = {"L": 19, "dtype": str(compute), "curve": name, "adjustment": "none", "plan": "one_pass"}
            emit_spills(target, lambda z=logits, p=p: backend.run(z, labels, p, gradient=True), **what)
    factor = torch.empty((), device="meta")
    for dtype in DTYPES:
        z = logits.to(dtype)
        emit(target, lambda z=z: backend.planned_rescale(z)(z, factor), dtype=str(dtype))
    # Layouts without 16-byte runs of pixels: odd sizes, channels_last, a crop.
    for L in (19, 150):
        odd = torch.empty(2, L, 33, 65, device="meta")
        for layout in (odd, odd.contiguous(memory_format=torch.channels_last), odd[..., 1:-1]):
            p = inputs(Exponential(), "none", L)
            y = torch.empty(layout[:, 0].shape, dtype=torch.int64, device="meta")
            emit_spills(target, lambda z=layout, y=y, p=p: backend.run(z, y, p, gradient=True), L=L, plan="ragged")
    resized(target, labels)
    evaluation(target, labels)
    weighted(target, labels)
    regions(target, labels)
    if TARGETS[target].backend == "cuda":
        issued(target, labels)
    if target == H200.target:
        whole_calls(target)


def resized(target, labels):
    cases = [
        *((19, torch.float32, adjustment, "one_pass") for adjustment in ("margin", "variation")),
        *((19, torch.float32, "none", plan) for plan in ("forward", "map", "backward")),
        (19, torch.float64, "none", "one_pass"),
        *((150, torch.bfloat16, adjustment, "one_pass") for adjustment in ADJUSTMENTS),
    ]
    if target == H200.target:
        cases += [(19, torch.float32, adjustment, "backward") for adjustment in ("margin", "variation")]
    for L, dtype, adjustment, plan in cases:
        logits = torch.empty(2, L, *SOURCE, dtype=dtype, device="meta")
        compute = torch.float64 if dtype == torch.float64 else torch.float32
        p = inputs(Exponential(), adjustment, L, compute)
        what = {"L": L, "dtype": str(dtype), "adjustment": adjustment, "plan": f"resized {plan}"}
        emit_spills(target, lambda z=logits, p=p, o=PLANS[plan]: backend.run(z, labels, p, **o), **what)
    # channels_last, and an interval of 128 outputs: two launches.
    for source, layout in ((SOURCE, torch.channels_last), ((4, 8), torch.contiguous_format)):
        p = inputs(Exponential(), "none", 19)
        logits = torch.empty(2, 19, *source, device="meta").contiguous(memory_format=layout)
        what = {"L": 19, "dtype": "torch.float32", "adjustment": "none", "plan": f"resized {layout} {source}"}
        emit_spills(target, lambda z=logits, p=p: backend.run(z, labels, p, gradient=True), **what)


def evaluation(target, labels):
    for L in (19, 150):
        for size in (SIZE, SOURCE):
            logits = torch.empty(2, L, *size, device="meta")
            what = {"L": L, "plan": f"predict {'x'.join(map(str, size))}"}
            emit_spills(target, lambda z=logits: backend.predict(z, labels.shape[1:], False), **what)
            p = inputs(Exponential(), "none", L)
            emit_spills(
                target,
                lambda z=logits, p=p: backend.run(z, labels, p, gradient=True, sums=True),
                **what | {"plan": "sums"},
            )
        emit_spills(target, lambda L=L: backend.confusion(labels, labels, L, (255,)), L=L)


def weighted(target, labels):
    """With a factor of each pixel."""
    for L in (19, 150):
        for size in (SIZE, SOURCE):
            logits = torch.empty(2, L, *size, device="meta")
            factors = torch.empty(2, *SIZE, device="meta")
            p = inputs(Exponential(), "none", L)._replace(pixel_weight=factors)
            what = {"L": L, "plan": f"weighted {'x'.join(map(str, size))}"}
            emit(target, lambda z=logits, p=p: backend.run(z, labels, p, gradient=True), **what)


def regions(target, labels):
    """The sums of region losses, and the gradient that follows from them."""
    for L, adjustment in ((19, "none"), (150, "margin")):
        for size in (SIZE, SOURCE):
            logits = torch.empty(2, L, *size, dtype=torch.bfloat16, device="meta")
            p = inputs(Exponential(), adjustment, L)
            made = p._replace(regions=RegionInputs((True, False)))
            used = p._replace(regions=RegionInputs((True, False), torch.empty(2, 3, L, device="meta")))
            what = {"L": L, "adjustment": adjustment, "plan": f"regions {'x'.join(map(str, size))}"}
            factor = torch.empty((), device="meta")
            put = emit if size == SIZE else emit_spills
            put(target, lambda z=logits, p=made: backend.run(z, labels, p), **what)
            put(target, lambda z=logits, p=used, f=factor: backend.run(z, labels, p, grad_output=f), **what)


def issued(target, labels):
    """How many instructions apart the loads of a column are: labels of two sizes, a margin, a region loss's passes."""

    def apart(_, kernel, compiled, *__):
        (instructions, _), _, _, spilled = machine_code._disassembled(compiled.asm["cubin"])
        wide = [number for number, text in enumerate(map(str, instructions)) if "LDG.E.128" in text]
        figures = {"kernel": kernel.__name__, "spills": spilled, "maxnreg": None}
        return {**figures, "apart": (wide[-1] - wide[0]) / (len(wide) - 1)} if wide else None

    z, factor = torch.empty(2, 19, *SIZE, device="meta"), torch.empty((), device="meta")
    derivatives = RegionInputs((True, False), torch.empty(2, 3, 19, device="meta"))
    for adjustment, regions, options in (
        ("margin", None, {"gradient": True}),
        ("none", RegionInputs((True, False)), {}),
        ("none", derivatives, {"grad_output": factor}),
    ):
        p = inputs(Exponential(), adjustment, 19)._replace(regions=regions)
        for y in (labels, labels.long()):
            with mock.patch.object(machine_code, "_read", apart):
                first, *_ = compile_call(target, lambda p=p, y=y, o=options: backend.run(z, y, p, **o))
            print(json.dumps({"target": target, "plan": "issued", **first}), flush=True)


def whole_calls(target):
    """Every loss with its histogram, tables, sum and factor; resized, and two heads of one batch; given mask sizes."""
    from cases import EACH, PAT

    y = torch.empty(2, 16, 32, dtype=torch.uint8, device="meta")
    large, small = (torch.empty(2, 7, *size, device="meta", requires_grad=True) for size in ((16, 32), (8, 16)))
    calls = [(row.values[0], large) for row in EACH] + [(PAT, small), (PAT, [large, small])]
    sizes = torch.empty(2, 7, dtype=torch.int32, device="meta")
    with (
        mock.patch("pat_triton.plan.choose", return_value=backend),
        mock.patch("pat_triton.private.has_numbers", return_value=True),
    ):
        for loss, logits in calls:
            criterion = loss.ours(("triton", y.device))
            emit_spills(target, lambda z=logits, c=criterion: c(z, y).backward(), whole=loss.name)
        emit_spills(target, lambda: PATLoss()(large, y, mask_sizes=sizes).backward(), whole="mask_sizes")


if __name__ == "__main__":
    main(sys.argv[1])

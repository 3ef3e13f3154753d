"""The optional libraries, where they are installed, beside a CPU build of torch."""

import sys
import warnings
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch
from torch import nn

OPERATORS = torch.library.Library("torchvision", "FRAGMENT")


def needed(*libraries):
    """Skips the test without them. What they warn of while they are imported is theirs."""
    for library in libraries:
        if not find_spec(library):
            pytest.skip(f"{library} is not installed")
    with warnings.catch_warnings(action="ignore"):
        if find_spec("torchvision"):
            _torchvision_without_operators()
        if "mmseg" in libraries:
            _mmcv_without_operators()
        for library in libraries:
            import_module(library)


def _torchvision_without_operators():
    """The registry's torchvision belongs to the CUDA build of torch, and beside a CPU build cannot load its
    operators: none is used here, but the import asks for the names of two."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in ("nms", "qnms"):
            OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def _mmcv_without_operators():
    """mmcv-lite has no compiled operators; mmseg.models asks for the names of some, which nothing here calls."""
    import mmcv

    class Operators(ModuleType):
        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (nn.Module,), {})

    if not find_spec("mmcv._ext") and "mmcv.ops" not in sys.modules:
        mmcv.ops = sys.modules["mmcv.ops"] = Operators("mmcv.ops")
        mmcv.ops.__spec__ = ModuleSpec("mmcv.ops", None)

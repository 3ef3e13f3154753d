"""The optional libraries of networks, where they are installed."""

from importlib.util import find_spec

import pytest
import torch

OPERATORS = torch.library.Library("torchvision", "FRAGMENT")


def needed(library):
    """Skips the test without it."""
    if not find_spec(library):
        pytest.skip(f"{library} is not installed")
    if library == "segmentation_models_pytorch":
        _torchvision_without_operators()


def _torchvision_without_operators():
    """The registry's torchvision belongs to the CUDA build of torch, and beside a CPU build cannot load its
    operators: none is used here, but the import asks for the names of two."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in ("nms", "qnms"):
            OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

"""Every function of torch and triton that is not public, in one place: which, why, and what stands in for it.

Read in torch 2.11 and 2.13 and triton 3.4, 3.6 and 3.9. Of Triton's launcher and of CUDA's streams the public way is
taken where a version is not known to have the other. What only torch's own state tells, transforms, batched tensors,
forward mode, whether a graph is kept, has no public way: a torch without it fails here, at import.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._guards import detect_fake_mode
from torch._subclasses.fake_tensor import is_fake as _is_fake
from torch.autograd import forward_ad

TRITON_READ = ((3, 4), (3, 9))  # the first and the last version whose launcher was read


# torch ---------------------------------------------------------------------------------------------------------------


# Whether torch.func transforms (grad, vmap, jvp, ...) are active; no public function tells.
in_transform: Callable[[], bool] = torch._C._are_functorch_transforms_active


def in_dispatch_mode() -> bool:
    """Whether a TorchDispatchMode of this thread sees every operator, as those of trackers of memory do."""
    return torch._C._len_torch_dispatch_stack() > 0


def in_forward_mode() -> bool:
    """Whether a level of forward-mode differentiation is open."""
    return forward_ad._current_level >= 0


def has_numbers(tensor: Tensor) -> bool:
    """Not if it is on meta, fake, or stands for one that is."""
    return not (tensor.is_meta or _is_fake(tensor))


def is_faking() -> bool:
    """Whether new tensors have no numbers, under a FakeTensorMode."""
    return detect_fake_mode() is not None


def plain(tensor: Any) -> Any:
    """A subclass that is a tensor as any other, but for what it says of itself, as that tensor, its history included.
    Those that stand for something else (a fake, a shard) are left, as is what is no tensor."""
    kind = type(tensor)
    if not isinstance(tensor, Tensor) or kind.__torch_dispatch__ is not Tensor.__torch_dispatch__:
        return tensor
    if kind is Tensor or kind is torch.nn.Parameter:
        return tensor
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.as_subclass(Tensor)


_is_batched, _was_batched = torch._C._functorch.is_batchedtensor, torch._C._functorch.is_legacy_batchedtensor


def is_batched(tensor: Tensor) -> bool:
    """Whether it stands for several, as ``is_grads_batched`` has them."""
    return _is_batched(tensor) or _was_batched(tensor)


def mark_static(tensor: Tensor) -> Tensor:
    """Whose size a graph may count on: ``torch._dynamo.mark_static``, without a second for its import."""
    tensor._dynamo_static_indices = set(range(tensor.ndim))  # type: ignore[attr-defined]
    return tensor


# Whether the backward that runs was called with retain_graph=True.
keeps_graph: Callable[[], bool] = torch._C._autograd._get_current_graph_task_keep_graph


def group_of(name: str) -> Any:
    """The process group of this name, as torch's own operators in a graph find theirs."""
    from torch.distributed.distributed_c10d import _resolve_process_group

    return _resolve_process_group(name)  # type: ignore[arg-type]


def apply_of(function: type[torch.autograd.Function]) -> Callable[..., Any]:
    """``function.apply`` without its look for functorch's wrappers, a third of its cost: where no transform is
    active there are none."""
    return super(torch.autograd.Function, function).apply  # type: ignore[misc]


def _no_cuda(*_: Any) -> int:
    raise RuntimeError("this torch has no CUDA")


# The number of the current CUDA stream of a device, where ``torch.cuda.current_stream()`` makes an object, seven
# microseconds; and the number of the current device.
HAS_CUDA = hasattr(torch._C, "_cuda_getCurrentRawStream")
current_stream: Callable[[int], int] = getattr(torch._C, "_cuda_getCurrentRawStream", _no_cuda)
current_device: Callable[[], int] = getattr(torch._C, "_cuda_getDevice", _no_cuda)


_VALIDATE = os.environ.encodekey("PAT_TRITON_VALIDATE")  # type: ignore[attr-defined]
_environment = os.environ._data  # type: ignore[attr-defined]


def validated() -> Any:
    """The environment's PAT_TRITON_VALIDATE as it is held; ``os.environ.get`` encodes the name and makes an exception
    of its absence at every call."""
    return _environment.get(_VALIDATE)


def modes() -> tuple[Any, bool] | None:
    """What a call's way depends on besides its arguments: ``validated``, and whether gradients are recorded. None where
    a transform or forward-mode differentiation is active."""
    if in_transform() or forward_ad._current_level >= 0:
        return None
    return _environment.get(_VALIDATE), torch.is_grad_enabled()


# triton --------------------------------------------------------------------------------------------------------------


class MachineCode(NamedTuple):
    """A compiled kernel's own launcher, ``run(x, y, z, stream, function, metadata, None, None, None, *arguments)``:
    one slot for each parameter of the kernel, what was compiled in included; pointers may be integers."""

    run: Callable[..., None]
    function: Any
    metadata: Any


def machine_code(compiled: Any) -> MachineCode | None:
    """Of what ``kernel[grid](...)`` returned; None where it can only be launched the public way."""
    if not HAS_CUDA or not _version_was_read() or getattr(compiled, "run", None) is None:
        return None
    scratch = ("global_scratch_size", "profile_scratch_size")  # memory that the front door allocates
    if any(getattr(compiled.metadata, name, 0) for name in scratch):
        return None
    run = compiled.run  # before ``function``, which it makes
    return MachineCode(run, compiled.function, compiled.packed_metadata)


def _version_was_read() -> bool:
    import triton

    version = tuple(int(part) for part in triton.__version__.split(".")[:2])
    return TRITON_READ[0] <= version <= TRITON_READ[1]


def launch_hooks() -> Any:
    """Where Triton keeps a profiler's hooks on launches."""
    from triton import knobs

    return knobs.runtime


def are_watched(hooks: Any) -> Any:
    """Whether a profiler has hooks on launches, which only the public way calls: chains of them from Triton 3.5 on,
    before that one or None."""
    try:
        return hooks.launch_enter_hook.calls or hooks.launch_exit_hook.calls
    except AttributeError:
        return hooks.launch_enter_hook is not None or hooks.launch_exit_hook is not None

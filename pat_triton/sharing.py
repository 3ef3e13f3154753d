"""A batch that lies on several processes: its statistics, so that the mean over them is the loss of the whole."""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from . import checks, private
from .adjustment import statistics
from .regions import Sums
from .weights import LabelCounts, cached

if TYPE_CHECKING:
    from .settings import Parts, Settings


class Share(NamedTuple):
    """What this process has of a batch.

    group: the processes; None is all of them. rows: each has rows of every image; else each has images.
    """

    group: "dist.ProcessGroup | None"
    rows: bool
    rank: int
    processes: int


def share(parts: "Parts") -> Share:
    """This process's, of options that say how the batch lies on several."""
    if not (dist.is_available() and dist.is_initialized()):
        raise ValueError(
            "process_group: torch.distributed is not initialised; call torch.distributed.init_process_group first "
            "(under torchrun), or leave process_group=None on one process"
        )
    name, group = parts.settings.group, None
    if name is not None:  # in a graph the options have no group
        group = parts.process_group.group if parts.process_group is not None else private.group_of(name)
    rank = dist.get_rank(group)
    if rank < 0:
        raise ValueError("process_group: this process is not a member of the group")
    return Share(group, parts.settings.sharding == "rows", rank, dist.get_world_size(group))


class Held:
    """A process group in a module: copies of the module share it, and no file can keep it."""

    def __init__(self, group: "dist.ProcessGroup") -> None:
        self.group, self.name = group, group.group_name

    def __eq__(self, other: object) -> bool:
        """By name, which a graph can compare: terms of a sum are given their groups one by one."""
        return isinstance(other, Held) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Held":
        return self

    def __reduce__(self) -> Any:
        raise TypeError("process_group: a ProcessGroup cannot be pickled; 'world' can")


def held(argument: str, process_group: Any) -> Any:
    """What a module keeps of the argument."""
    if isinstance(process_group, Held):
        return process_group
    group = checks.process_group(argument, process_group)
    return group if group is None or group == "world" else Held(group)


class SharedLabelCounts(LabelCounts):
    """Those of the whole batch; ``histogram`` and ``shape`` stay those of this process's part.

    One all-reduce of some L integers (B L where images are split in rows), without waiting for the device.
    """

    def __init__(self, share: Share, *counted: Any, **given: Any) -> None:
        super().__init__(*counted, **given)
        self.share = share

    @cached
    def _whole(self) -> tuple[Tensor, Tensor]:
        """Of every process, images, pixels an image and mask sizes that are too small: (processes, 3). And the
        histogram of the batch: (B, L + 1) where its images are split, else (1, L + 1)."""
        _, rows, rank, processes = self.share
        extents = self.histogram.new_zeros(processes, 3)
        extents[rank, 0], extents[rank, 1] = self.shape[0], self.target[:1].numel()
        if rows:  # apart, for a sum of tables that differ in size would end the process
            extents = self._sum(extents)
            if not torch.compiler.is_compiling() and checks.checks_labels(extents.device):
                checks.same_images(extents[:, 0])
            return extents, self._sum(self.histogram.clone())
        if self._mask_sizes is not None:
            extents[rank, 2] = (self._mask_sizes < self.histogram[:, :-1]).sum()
        histogram = self.histogram.sum(0, keepdim=True)
        total = self._sum(torch.cat((extents.flatten(), histogram.flatten())))
        return total[: extents.numel()].view_as(extents), total[extents.numel() :].view_as(histogram)

    def _sum(self, numbers: Tensor) -> Tensor:
        dist.all_reduce(numbers, group=self.share.group)
        return numbers

    def check_labels(self, settings: "Settings") -> None:
        extents, histogram = self._whole  # before an error here: the others wait for this process's numbers
        super().check_labels(settings)
        if bool(histogram[:, -1].any()):
            raise ValueError("target: labels of another process are neither a class nor ignored; its error says which")
        if bool(extents[:, 2].any()):
            raise ValueError("mask_sizes: those of another process are too small; its error says which")

    @property
    def world_size(self) -> int:
        return self.share.processes

    @property
    def sizes(self) -> Tensor:
        return self._whole[1][:, :-1] if self.share.rows else self.histogram[:, :-1]

    @cached
    def batch(self) -> Tensor:
        return self._whole[1][:, :-1].sum(0)

    @property
    def images(self) -> int | Tensor:
        return self.shape[0] if self.share.rows else statistics(self._whole[0][:, 0].sum())

    @property
    def pixels(self) -> Tensor:
        return statistics(self._whole[0][:, :2].prod(1).sum())

    @property
    def global_offset(self) -> Tensor:
        before = self._whole[0][: self.share.rank, :2].sum(0)
        before[0 if self.share.rows else 1] = 0
        return before

    def from_rank_0(self, numbers: Tensor) -> Tensor:
        return self._sum(numbers if self.share.rank == 0 else torch.zeros_like(numbers))


def shared_sums(parts: "Parts", images: Tensor) -> Sums:
    """Of region losses, in one all-reduce: (B, 4, L) of this process's part. A graph has it inside the operator."""
    group, rows, _, processes = share(parts)
    images = statistics(images)
    if rows:  # of the same images on every process
        dist.all_reduce(images, group=group)
        return Sums(images, images.sum(0, keepdim=True), len(images), processes, own_images=False)
    total = torch.cat((images.sum(0).flatten(), images.new_full((1,), len(images))))
    dist.all_reduce(total, group=group)
    return Sums(images, total[:-1].view_as(images[:1]), total[-1].clamp(min=1), processes, own_images=True)

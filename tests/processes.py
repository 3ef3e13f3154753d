"""What each process of ``test_sharing`` does; started by it, one process a rank."""

import os
import sys
import warnings

import torch
import torch.distributed as dist
from cases import LOSSES, PAT_AND_DICE, Loss, example

import pat_triton

SHAPE = (3, 7, 6, 5)  # three images on two processes: shares of different sizes
SEED = 3


def part(tensor, sharding, rank):
    """Rank 0 has two of the images, or four of the rows."""
    if sharding == "images":
        return tensor[:2] if rank == 0 else tensor[2:]
    return tensor[..., :4, :] if rank == 0 else tensor[..., 4:, :]


def main(where, rank):
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "class_counts: got 0 for classes")  # one of those that ``LOSSES`` are given
    torch.set_num_threads(1)
    store = dist.FileStore(os.path.join(where, "store"), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    results = {}
    for row in LOSSES:
        for sharding in ("images", "rows"):
            for reduction in ("mean", "sum") if row.values[0].has_regions else ("mean", "sum", "none"):
                results[row.id, sharding, reduction] = one(row.values[0], sharding, reduction, rank)
    for sharding in ("images", "rows"):  # the statistics are the same code on both paths, the noise is not
        results["triton", sharding] = one(Loss("BLVLoss"), sharding, "mean", rank, backend="triton")
    results["resized"] = one(Loss("BLVLoss"), "images", "mean", rank, size=(9, 8))
    results["compiled"] = one(Loss("BLVLoss"), "images", "mean", rank, compiled=True)
    results["compiled PAT"] = one(Loss("PATLoss"), "images", "mean", rank, compiled=True)
    for sharding in ("images", "rows"):
        results["compiled sum", sharding] = one(PAT_AND_DICE, sharding, "mean", rank, compiled=True)
    own = [dist.new_group([0]), dist.new_group([1])][rank]
    results["compiled in a group"] = one(PAT_AND_DICE, "images", "mean", rank, compiled=True, group=own)
    results["group"] = one(Loss("PATLoss"), "rows", "mean", rank, group=dist.new_group([0, 1]))
    results["alone"] = one(Loss("PATLoss"), "images", "mean", rank, training=False)
    results["errors"] = [error(call) for call in mistakes(rank)]
    torch.save(results, os.path.join(where, f"{rank}.pt"))
    dist.destroy_process_group()


def one(loss, sharding, reduction, rank, *, backend="torch", size=None, compiled=False, group="world", training=True):
    logits, target = example(SHAPE)
    if size:
        _, target = example((*SHAPE[:2], *size))
    z = part(logits, sharding, rank).clone().requires_grad_()
    torch.manual_seed(SEED if rank == 0 else 100 + rank)  # the noise is rank 0's
    criterion = loss.ours((backend, torch.device("cpu")), reduction=reduction, process_group=group, sharding=sharding)
    criterion.train(training)
    call = torch.compile(criterion, fullgraph=True, backend="aot_eager") if compiled else criterion
    value = call(z, part(target, sharding, rank))
    value.backward(torch.ones_like(value))
    return value.detach(), z.grad


def mistakes(rank):
    logits, target = example(SHAPE)
    wrong = target.clone()
    wrong[0, 0, 0] = 40 if rank == 1 else 2
    yield lambda: pat_triton.PATLoss(process_group="world")(logits, wrong)
    rows = pat_triton.PATLoss(process_group="world", sharding="rows")
    yield lambda: rows(logits, target.repeat_interleave(2, 1))
    yield lambda: rows(logits[rank:], target[rank:])
    sizes = torch.full((3, 7), 30 if rank == 0 else 0)
    yield lambda: pat_triton.PATLoss(process_group="world")(logits, target, mask_sizes=sizes)
    if rank == 0:
        # Nobody waits for the other process in eval mode.
        pat_triton.PATLoss(process_group="world").eval()(logits, target)


def error(call):
    try:
        call()
    except ValueError as error:
        return str(error)
    return None


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""How much memory the tensors of a call take, as they are made."""

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tracker(TorchDispatchMode):
    """The largest storage that an operator returned, in bytes, and the most bytes of them alive at once."""

    def __init__(self):
        super().__init__()
        self.largest = self.peak = 0
        self.storages = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for t in tree_leaves(out):
            if isinstance(t, torch.Tensor) and t.untyped_storage().data_ptr() not in given:
                storage = t.untyped_storage()
                self.storages[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
                self.largest = max(self.largest, storage.nbytes())
        self.storages = {k: (ref, n) for k, (ref, n) in self.storages.items() if not ref.expired()}
        self.peak = max(self.peak, sum(n for _, n in self.storages.values()))
        return out

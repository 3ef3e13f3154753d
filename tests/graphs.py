"""What torch.compile makes of a call: its graphs, forward and backward, and what they hand to our operators."""

import pytest
import torch
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.utils import counters
from torch._inductor.utils import fresh_cache


@pytest.fixture(autouse=True)
def fresh():
    """Nothing compiled before, nor left for the tests after it."""
    torch._dynamo.reset()
    counters.clear()
    with fresh_cache():
        yield
    torch._dynamo.reset()


class Graphs:
    """``torch.compile(f, backend=graphs.backend)`` leaves its graphs in ``held``, and in ``arguments`` those of each of
    our operators when it ran last."""

    def __init__(self):
        self.held, self.arguments = [], {}
        self.backend = aot_autograd(fw_compiler=self._keep, bw_compiler=self._keep)

    def _keep(self, graph, _):
        self.held.append(graph)
        arguments = self.arguments

        class Keeper(torch.fx.Interpreter):
            def call_function(self, target, args, kwargs):
                if is_ours(target):
                    arguments[target] = args
                return super().call_function(target, args, kwargs)

        return make_boxed_func(Keeper(graph).run)

    def operators(self):
        """Of each graph, how often it calls what of ours."""
        return [[node.target._opname for node in g.graph.nodes if is_ours(node.target)] for g in self.held]


def is_ours(target):
    return isinstance(target, torch._ops.OpOverload) and target.namespace == "pat_triton"

"""The moments of one run as a stack of networks, so that a metric looks at all of them at once."""

import copy

from torch import Tensor, nn

from regimes.networks import TwoLayer

__all__ = ["moments_of", "parts"]

CACHED = 50_000  # numbers that stay in a core's own cache; of more, elementwise functions take several times as long


def moments_of(net: TwoLayer, W: Tensor, v: Tensor | None = None) -> TwoLayer:
    """The network at each of the moments of its run, as a stack of ``k`` runs.

    Args:
        net: the network of the run.
        W, v: its weights, ``(k, m, d + 1)`` and ``(k, m)``; without ``v`` the output weights are those of ``net`` all along.
    """
    stack = copy.deepcopy(net)  # not a new one, which would draw k initialisations
    stack.runs = (len(W),)
    stack.W = nn.Parameter(W, net.W.requires_grad)
    stack.v = nn.Parameter(net.v.detach().expand(len(W), -1) if v is None else v, net.v.requires_grad)
    return stack


def parts(stack: TwoLayer, x: Tensor) -> tuple[Tensor, ...]:
    """The samples, in parts so small that their hidden units, those of all moments, stay in the cache."""
    return x.split(max(1, CACHED // stack.v.numel()))

"""The moments of one run as a stack of networks, so that a metric looks at all of them at once."""

from torch import Tensor

from regimes.networks import TwoLayer, fix_signs

__all__ = ["moments_of"]


def moments_of(net: TwoLayer, W: Tensor) -> TwoLayer:
    """A network with fixed signs at each of the moments ``W`` ``(k, m, d)`` of its run, as a stack of ``k`` runs."""
    stack = fix_signs(TwoLayer(net.inputs, net.width, runs=(len(W),), activation=net.activation, bias=False))
    stack.W.data.copy_(W)
    return stack

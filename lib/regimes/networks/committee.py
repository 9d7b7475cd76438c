"""Committee machines: the mean of hidden units, with no output weights to train."""

import torch
from torch import Tensor

from regimes.arguments import require_tensors
from regimes.networks.activations import ActivationLike
from regimes.networks.two_layer import TwoLayer

__all__ = ["committee"]


def committee(W: Tensor, *, activation: ActivationLike = "erf", total: bool = False) -> TwoLayer:
    r"""A committee machine with the given units: a `TwoLayer` with ``v = 1``, frozen.

    .. math:: f(x) = \frac1m \sum_j \phi(w_j \cdot x)

    Args:
        W: the units, ``(..., m, d)``; copied. Rows of length one have fields ``w_j . x`` of variance one for ``x ~ N(0, I)``.
            The literature's ``w . x / sqrt(d)`` with rows of length ``sqrt(d)`` is the same.
        activation: ``"erf"`` means ``erf(z / sqrt 2)``, the convention of Saad and Solla.
        total: the *sum* of the units instead of their mean (``v = m``).

    Raises:
        ValueError: if ``W`` is not a floating-point tensor ``(..., m, d)``.
    """
    require_tensors(W=W)
    if W.ndim < 2:
        raise ValueError(f"the units of a committee are (..., m, d); got shape {tuple(W.shape)}")
    *runs, m, d = W.shape
    net = TwoLayer(d, m, runs=tuple(runs), activation=activation, bias=False, dtype=W.dtype, device=W.device)
    with torch.no_grad():
        net.W.copy_(W)
        net.v.fill_(float(m) if total else 1.0)
    net.v.requires_grad_(False)
    return net

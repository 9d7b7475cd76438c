"""Networks whose output weights are fixed signs."""

import torch

from regimes.networks.two_layer import TwoLayer

__all__ = ["fix_signs"]


@torch.no_grad()
def fix_signs(net: TwoLayer) -> TwoLayer:
    r"""Set the output weights to +1 for the first half of the units and -1 for the second, and freeze them; returns ``net``.

    With ``scaling="mean_field"`` and ``bias=False`` this is :math:`f(x) = \frac1m \sum_j a_j \phi(w_j \cdot x)`, of which
    only ``W`` is trained. If the width is odd, the first half has one unit more: one unit with the activation ``"identity"``
    is ``f(x) = w . x``.

    Source: Cai et al. 2024 (their ``a_j``).
    """
    half = (net.width + 1) // 2
    net.v[..., :half], net.v[..., half:] = 1.0, -1.0
    net.v.requires_grad_(False)
    return net

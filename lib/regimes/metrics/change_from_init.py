"""How far a two-layer network has moved from its initialisation."""

import torch
from torch import Tensor

from regimes.kernels import RelativeToInit, neural_tangent_kernel
from regimes.metrics.features import feature_movement
from regimes.metrics.kernel import kernel_distance
from regimes.networks import TwoLayer

__all__ = ["change_from_init"]


def change_from_init(net: RelativeToInit, x: Tensor) -> dict[str, Tensor]:
    """How far weights, features and kernel of a network have moved since it was wrapped, relative to their initial size.

    Args:
        net: a `Linearised` or `LazyScaling` two-layer network.
        x: inputs ``(..., n, d)``, where features and kernel are compared.

    Returns:
        ``"weights"``: ``|w - w_0| / |w_0|``, both layers; ``"features"``: the same for the hidden features on ``x``;
        ``"drift"``: ``|K - K_0| / |K_0|`` of the network's own kernel. One number per run each.

    Raises:
        ValueError: for any other kind of network.
    """
    if not isinstance(net, RelativeToInit) or not isinstance(net.net, TwoLayer):
        raise ValueError(f"change_from_init() is for a Linearised or LazyScaling TwoLayer network; got {type(net).__name__}")
    now, start = net.net, net.at_start()
    weights = (torch.cat([u.W, u.v[..., None]], -1) for u in (now, start))
    features = (u.hidden(x)[0] for u in (now, start))
    kernels = (neural_tangent_kernel(u, x) for u in (now, start))
    return {
        "weights": feature_movement(*weights),
        "features": feature_movement(*features),
        "drift": kernel_distance(*kernels),
    }

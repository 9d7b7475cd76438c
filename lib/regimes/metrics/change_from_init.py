"""How far a network has moved from its initialisation."""

import torch
from torch import Tensor, nn

from regimes.kernels import RelativeToInit, neural_tangent_kernel
from regimes.metrics.features import Features, feature_movement, hidden_features
from regimes.metrics.kernel import kernel_distance
from regimes.network import run_axes

__all__ = ["change_from_init"]


def change_from_init(
    net: nn.Module, x: Tensor, start: nn.Module | None = None, *, features: Features = hidden_features
) -> dict[str, Tensor]:
    """How far weights, features and kernel of a network have moved since its initialisation, relative to their initial size.

    Of a `Linearised` or `LazyScaling` network, the network inside is meant, since it was wrapped. Of any other:

    >>> import copy
    >>> net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    >>> start = copy.deepcopy(net)  # and then train net
    >>> sorted(change_from_init(net, torch.ones(5, 2), start))
    ['drift', 'features', 'weights']

    Args:
        net: the network as it is now.
        x: inputs ``(..., n, d)``, where features and kernel are compared.
        start: a copy made at initialisation; not for a `Linearised` or `LazyScaling` network, which has one.
        features: ``features(net, x)``, ``(..., n, h)``; what the last layer reads, unless given.

    Returns:
        ``"weights"``: ``|w - w_0| / |w_0|``, of all parameters; ``"features"``: the same for the features on ``x``;
        ``"drift"``: ``|K - K_0| / |K_0|`` of the kernel. One number per run each.

    Raises:
        ValueError: without a start, or with one of other parameters; for a network whose features are not known.
    """
    if isinstance(net, RelativeToInit) and start is None:
        start, net = net.at_start(), net.net
    if start is None or [p.shape for p in net.parameters()] != [p.shape for p in start.parameters()]:
        raise ValueError(
            "change_from_init() compares with the network at initialisation: pass start=copy.deepcopy(net), made before "
            "training; a Linearised or LazyScaling network needs none"
        )
    return {
        "weights": feature_movement(_weights(net), _weights(start)),
        "features": feature_movement(features(net, x), features(start, x)),
        "drift": kernel_distance(neural_tangent_kernel(net, x), neural_tangent_kernel(start, x)),
    }


def _weights(net: nn.Module) -> Tensor:
    """All parameters in one row per run, ``(..., 1, p)``."""
    runs = run_axes(net)
    own = (p if p.shape[: len(runs)] == runs else p.expand(*runs, *p.shape) for p in net.parameters())
    return torch.cat([p.detach().flatten(len(runs)) for p in own], -1)[..., None, :]

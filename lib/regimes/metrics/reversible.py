"""How far a reversible network has moved from its initialisation: its inverse, its features, its kernel."""

from collections.abc import Callable

import torch
from torch import Tensor

from regimes.kernels import neural_tangent_kernel
from regimes.metrics.kernel import kernel_distance
from regimes.metrics.norms import relative_size
from regimes.metrics.representation import cka, participation_ratio
from regimes.networks import Reversible

__all__ = ["compare_to_init", "reconstruction"]


@torch.no_grad()
def reconstruction(net: Reversible, x: Tensor) -> tuple[Tensor, Tensor]:
    """What running forwards and back does to the inputs: ``|inverse(z) - x| / |x|``, and the growth ``|z| / |x|`` of the state.

    Frobenius norms; one number per run each. In exact arithmetic the first is zero.

    Raises:
        ValueError: for inputs that are all zero.
    """
    z = net.encode(x)
    return relative_size(net.inverse(z) - x, x, "an input"), relative_size(z, x, "an input")


@torch.no_grad()
def compare_to_init(net: Reversible, x: Tensor, probe: Tensor) -> dict[str, Callable[[Reversible], Tensor]]:
    """Measurements for `regimes.training.train` that compare a network with what ``net`` is now.

    Args:
        net: the network at initialisation.
        x: inputs ``(..., n, d)`` on which features are compared.
        probe: a few inputs on which kernels are compared.

    Returns:
        ``"cka"`` of the state after each block, ``(L, ...)``; ``"drift"`` of the kernel, ``(...)``; the ``"participation"``
        ratio of the state after the last block, ``(...)``.
    """
    states, kernel = list(net.states(x)), neural_tangent_kernel(net, probe)
    return {
        "cka": lambda net: torch.stack([cka(z, start) for z, start in zip(net.states(x), states, strict=True)]),
        "drift": lambda net: kernel_distance(neural_tangent_kernel(net, probe), kernel),
        "participation": lambda net: participation_ratio(net.encode(x)),
    }

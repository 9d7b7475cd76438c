"""What to measure about a network."""

import torch
from torch import Tensor, nn

from regimes.kernels import neural_tangent_kernel
from regimes.losses import match_targets, squared
from regimes.networks import TwoLayer

__all__ = ["condition_number", "loss_on", "spectrum"]


def loss_on(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The squared loss ``|f(x) - y|^2 / 2n`` on other data, one number a run.

    Raises:
        ValueError: for targets of another shape or dtype than the outputs, or not finite.
    """
    with torch.no_grad():
        f = net(x)
        stacked = isinstance(net, TwoLayer)  # outputs (..., n); other modules give (n,) or (n, c)
        outputs, samples = (f, f.shape[-1]) if stacked else (f.reshape(-1), f.shape[0])
        return squared.value(outputs, match_targets(y, outputs, f.shape), samples)


def spectrum(net: nn.Module, x: Tensor) -> Tensor:
    """Eigenvalues of the kernel ``K = c J J^T``, largest first: ``(..., N)``. Rounding below zero is clamped to zero."""
    return torch.linalg.eigvalsh(neural_tangent_kernel(net, x)).clamp(min=0).flip(-1)


def condition_number(net: nn.Module, x: Tensor) -> Tensor:
    """``lambda_max / lambda_min`` of the kernel, one number a run; infinite where the kernel is singular."""
    lam = spectrum(net, x)
    return lam[..., 0] / lam[..., -1]

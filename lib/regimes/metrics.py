"""What to measure about a network."""

import torch
from torch import Tensor, nn

from regimes.kernels import neural_tangent_kernel
from regimes.losses import squared

__all__ = ["condition_number", "loss_on", "spectrum"]


def loss_on(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The squared loss ``|f(x) - y|^2 / 2n`` on other data, one number a run."""
    with torch.no_grad():
        return squared.value(net(x), y, y.shape[-1])


def spectrum(net: nn.Module, x: Tensor) -> Tensor:
    """Eigenvalues of the kernel ``K = c J J^T``, largest first: ``(..., N)``. Rounding below zero is clamped to zero."""
    return torch.linalg.eigvalsh(neural_tangent_kernel(net, x)).clamp(min=0).flip(-1)


def condition_number(net: nn.Module, x: Tensor) -> Tensor:
    """``lambda_max / lambda_min`` of the kernel, one number a run; infinite where the kernel is singular."""
    lam = spectrum(net, x)
    return lam[..., 0] / lam[..., -1]

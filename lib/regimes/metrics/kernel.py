"""Eigenvalues of the neural tangent kernel."""

import torch
from torch import Tensor, nn

from regimes.kernels import neural_tangent_kernel

__all__ = ["condition_number", "spectrum"]


def spectrum(net: nn.Module, x: Tensor) -> Tensor:
    """Eigenvalues of the kernel ``K = c J J^T``, largest first: ``(..., N)``. Rounding below zero is clamped to zero."""
    return torch.linalg.eigvalsh(neural_tangent_kernel(net, x)).clamp(min=0).flip(-1)


def condition_number(net: nn.Module, x: Tensor) -> Tensor:
    """``lambda_max / lambda_min`` of the kernel, one number a run; infinite where the kernel is singular."""
    lam = spectrum(net, x)
    return lam[..., 0] / lam[..., -1]

"""The neural tangent kernel: its eigenvalues, and how far it is from another kernel."""

import torch
from torch import Tensor, nn

from regimes.kernels import neural_tangent_kernel

__all__ = ["condition_number", "kernel_cosine", "kernel_distance", "spectrum"]


def spectrum(net: nn.Module, x: Tensor) -> Tensor:
    """Eigenvalues of the kernel ``K = c J J^T``, largest first: ``(..., N)``. Rounding below zero is clamped to zero."""
    return torch.linalg.eigvalsh(neural_tangent_kernel(net, x)).clamp(min=0).flip(-1)


def condition_number(net: nn.Module, x: Tensor) -> Tensor:
    """``lambda_max / lambda_min`` of the kernel, one number per run; infinite where the kernel is singular."""
    lam = spectrum(net, x)
    return lam[..., 0] / lam[..., -1]


def kernel_distance(K: Tensor, K0: Tensor) -> Tensor:
    """How far a kernel is from a reference, ``|K - K0| / |K0|`` (Frobenius), one number per run.

    With the kernel at initialisation as ``K0`` it is the *drift* of the kernel; with the kernel of infinite width, the error
    of a finite width. It depends on the size of the kernel as well as on its shape: ``kernel_distance(2 * K, K) == 1``.

    Args:
        K: ``(..., N, N')``.
        K0: the same shape, or ``(N, N')`` for all runs.

    Raises:
        ValueError: for kernels of different shapes, or a reference that is zero.
    """
    _comparable(K, K0)
    return torch.linalg.matrix_norm((K - K0).detach()) / _length(K0)


def kernel_cosine(K: Tensor, K0: Tensor) -> Tensor:
    """The cosine of the angle between two kernels, ``<K, K0> / (|K| |K0|)`` (Frobenius), one number per run.

    One for kernels that differ by a factor. With ``K0 = y y^T`` it is the *alignment* of a kernel with labels ``y``.

    Args:
        K: ``(..., N, N')``.
        K0: the same shape, or ``(N, N')`` for all runs.

    Raises:
        ValueError: for kernels of different shapes, or a kernel that is zero.
    """
    _comparable(K, K0)
    return (K * K0).detach().sum((-2, -1)) / (_length(K) * _length(K0))


def _comparable(K: Tensor, K0: Tensor) -> None:
    if K.ndim < 2 or K0.shape not in (K.shape, K.shape[-2:]):
        raise ValueError(
            f"kernels are compared on the same inputs: K has shape {tuple(K.shape)}, so K0 must have it too, or be one "
            f"{tuple(K.shape[-2:])} for all runs; got {tuple(K0.shape)}"
        )


def _length(K: Tensor) -> Tensor:
    size = torch.linalg.matrix_norm(K.detach())
    if (size == 0).any():
        raise ValueError("a kernel that is zero has no direction and no distance relative to its size")
    return size

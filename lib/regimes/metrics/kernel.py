"""The neural tangent kernel: its eigenvalues, and how far it is from another kernel."""

import torch
from torch import Tensor, nn

from regimes.kernels import neural_tangent_kernel
from regimes.metrics.norms import relative_size, unit_scaled
from regimes.network import trainable

__all__ = ["condition_number", "kernel_cosine", "kernel_distance", "spectrum"]


def spectrum(net: nn.Module, x: Tensor) -> Tensor:
    """Eigenvalues of the kernel ``K = c J J^T``, largest first: ``(..., N)``. Rounding below zero is clamped to zero."""
    return torch.linalg.eigvalsh(neural_tangent_kernel(net, x)).clamp(min=0).flip(-1)


def condition_number(net: nn.Module, x: Tensor) -> Tensor:
    r"""``lambda_max / lambda_min`` of the kernel, one number per run; infinite where the kernel is singular.

    Singular to the precision: :math:`\lambda_{\min} \le N\epsilon\lambda_{\max}`, the rounding of ``K``, with the float64
    :math:`\epsilon`; or :math:`\le (N\epsilon)^2\lambda_{\max}` with that of the parameters, the rounding of the rows of ``J``.
    """
    lam = spectrum(net, x)
    of_rows = lam.shape[-1] * torch.finfo(trainable(net)[0].dtype).eps
    rounding = max(lam.shape[-1] * torch.finfo(lam.dtype).eps, of_rows**2)
    return torch.where(lam[..., -1] > rounding * lam[..., 0], lam[..., 0] / lam[..., -1], torch.inf)


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
    return relative_size(K - K0, K0, "a kernel")


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
    A, B = (unit_scaled(kernel, refuse="a kernel")[0] for kernel in (K, K0))
    return ((A * B).sum((-2, -1)) / (torch.linalg.matrix_norm(A) * torch.linalg.matrix_norm(B))).to(K.dtype)


def _comparable(K: Tensor, K0: Tensor) -> None:
    if K.ndim < 2 or K0.shape not in (K.shape, K.shape[-2:]):
        raise ValueError(
            f"kernels are compared on the same inputs: K has shape {tuple(K.shape)}, so K0 must have it too, or be one "
            f"{tuple(K.shape[-2:])} for all runs; got {tuple(K0.shape)}"
        )

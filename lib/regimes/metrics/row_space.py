"""The row space of data, and the shortest of all linear predictors that fit them."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["RowSpace", "row_space"]


@dataclass(frozen=True)
class RowSpace:
    r"""The row space of data: ``X = W diag(s) inside^T``.

    Attributes:
        W: ``(n, r)``, orthonormal columns.
        s: ``(r,)``, the singular values that are not zero, largest first.
        inside: ``(d, r)``, orthonormal columns that span the rows of ``X`` (:math:`\Phi_1`).
        outside: ``(d, d - r)``, those that span the rest (:math:`\Phi_2`).
    """

    W: Tensor
    s: Tensor
    inside: Tensor
    outside: Tensor

    @property
    def rank(self) -> int:
        """``r``."""
        return len(self.s)

    def split(self, U: Tensor) -> tuple[Tensor, Tensor]:
        """``U`` (..., d, m) as ``U_1`` (..., r, m) and ``U_2`` (..., d - r, m)."""
        return self.inside.mT @ U, self.outside.mT @ U

    def target(self, Y: Tensor) -> Tensor:
        r"""The whitened target :math:`\tilde Y = W^T Y`, ``(r, q)``."""
        return self.W.mT @ Y

    def min_norm(self, Y: Tensor) -> Tensor:
        r"""The shortest least-squares predictor :math:`\hat\Theta = X^+ Y`, ``(d, q)``."""
        return self.inside @ (self.target(Y) / self.s[:, None])


def row_space(x: Tensor, cutoff: float = 1e-10) -> RowSpace:
    """Split the inputs along the rows of ``x`` (n, d); singular values below ``cutoff`` of the largest count as zero.

    Raises:
        ValueError: unless ``x`` is a matrix that is not zero.
    """
    if x.ndim != 2 or not x.any():
        raise ValueError(f"the row space is that of one matrix (n, d) that is not zero; got shape {tuple(x.shape)}")
    W, s, Vh = torch.linalg.svd(x, full_matrices=True)
    r = int((s > cutoff * s[0]).sum())
    return RowSpace(W[:, :r], s[:r], Vh[:r].mT, Vh[r:].mT)

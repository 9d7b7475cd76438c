r"""Solving with a Gram matrix: damped, undamped, and how far the precision reaches.

Both solvers take ``K`` of shape ``(..., N, N)`` in float64 and ``r`` of shape ``(..., N)``, and return the ``a`` with which
the step is ``J^T a`` (times the network's time scale).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["SmallestEigenvalue", "Solve", "damped_solve", "minimum_norm_solve"]


@dataclass(frozen=True)
class Solve:
    """How a system was solved.

    Attributes:
        route: ``"cholesky"``, ``"cholesky, corrected"`` or ``"eigenvalues"``.
        damping: what was added to the diagonal of ``K``; a number a run.
        residual: ``|J delta - r| / |r|`` of the undamped step, a number a run; ``None`` for a damped one.
        rank: how many eigenvalues were kept, a number a run; ``None`` where all were.
    """

    route: str
    damping: Tensor
    residual: Tensor | None = None
    rank: Tensor | None = None


@dataclass(frozen=True)
class SmallestEigenvalue:
    """The damping of Arbel et al.'s code: ``max(floor, alpha * lambda_min(K))``, computed anew at each step.

    ``floor`` acts on the kernel ``K = time_scale * J J^T``, which is of order one at any width. The published ``1e-7`` acts
    on ``J J^T`` at width 5000 and is ``5e-4`` here.
    """

    alpha: float = 1.0
    floor: float = 5e-4

    def __post_init__(self):
        if not (self.alpha >= 0 and self.floor >= 0 and self.alpha + self.floor > 0):
            raise ValueError(f"alpha and floor must be >= 0, and one of them positive; got {self}")

    def __call__(self, K: Tensor) -> Tensor:
        """The damping for each run."""
        return (self.alpha * torch.linalg.eigvalsh(K)[..., 0]).clamp(min=self.floor)


def damped_solve(K: Tensor, r: Tensor, damping: Tensor, features: torch.dtype) -> tuple[Tensor, Solve]:
    """``a = (K + damping I)^-1 r`` by Cholesky.

    Args:
        K: ``(..., N, N)``.
        r: ``(..., N)``.
        damping: positive; a number a run.
        features: the dtype ``K`` was computed from, which decides how small a damping is still seen.

    Raises:
        ValueError: if the damping is lost in the rounding of ``K``.
    """
    size = K.diagonal(dim1=-2, dim2=-1).mean(-1)
    smallest = K.shape[-1] * torch.finfo(features).eps * size
    if (damping < smallest).any():
        raise ValueError(
            f"damping {_least(damping)} is below what {features} resolves for this kernel, {_most(smallest)} "
            "(N times the machine precision times its mean diagonal). Use damping=0 for the minimum-norm step in float64, "
            "or a larger damping"
        )
    L, failed = torch.linalg.cholesky_ex(K + damping[..., None, None] * _identity(K))
    if failed.any():
        raise ValueError(
            f"the kernel plus damping {_least(damping)} is not positive definite at this precision. "
            "Use a larger damping, or damping=0 for the minimum-norm step"
        )
    return _back(L, r), Solve("cholesky", damping)


def minimum_norm_solve(
    K: Tensor, r: Tensor, apply: Callable[[Tensor], Tensor], *, tolerance: float = 1e-8
) -> tuple[Tensor, Solve]:
    r"""``a`` of the shortest step that solves ``J delta = r``, in the least-squares sense where ``K`` is singular.

    Cholesky of ``K`` with a jitter of ``N`` machine precisions, then two corrections ``a += K^-1 (r - apply(a))``, which
    bring the error of a Gram matrix (it squares the condition number) down to that of an orthogonal factorisation of ``J``
    while ``cond(J) < 1e6``. A run that still misses ``r`` by more than ``tolerance`` is singular at this precision:
    its eigenvalues below :math:`\tau^2 \lambda_{\max}`, :math:`\tau^2 = N \epsilon`, are dropped.

    Args:
        K: ``(..., N, N)``.
        r: ``(..., N)``.
        apply: ``a`` to ``K a``, through products with ``J`` rather than through ``K``: more accurate than ``K @ a``.
        tolerance: on ``|J delta - r| / |r|``.
    """
    eps = K.shape[-1] * torch.finfo(K.dtype).eps
    jitter = eps * K.diagonal(dim1=-2, dim2=-1).mean(-1)
    L, failed = torch.linalg.cholesky_ex(K + jitter[..., None, None] * _identity(K))
    a = _back(L, r)
    for _ in range(2):
        a = a + _back(L, r - apply(a))
    zero = torch.zeros_like(jitter)
    miss = _relative(r - apply(a), r)
    singular = (failed > 0) | ~(miss <= tolerance)
    if not singular.any():
        return a, Solve("cholesky, corrected", zero, miss)
    lam, Q = torch.linalg.eigh(K)
    keep = lam > eps * lam[..., -1:]
    inverse = torch.where(keep, 1 / torch.where(keep, lam, 1.0), 0.0)
    shortest = (Q @ (inverse * (Q.mT @ r[..., None])[..., 0])[..., None])[..., 0]
    a = torch.where(singular[..., None], shortest, a)
    rank = torch.where(singular, keep.sum(-1), K.shape[-1])
    return a, Solve("eigenvalues", zero, _relative(r - apply(a), r), rank)


def _back(L, r):
    return torch.cholesky_solve(r[..., None], L)[..., 0]


def _identity(K):
    return torch.eye(K.shape[-1], dtype=K.dtype, device=K.device)


def _relative(error, r):
    return error.norm(dim=-1) / r.norm(dim=-1).clamp(min=torch.finfo(r.dtype).tiny)


def _least(t):
    return f"{t.min().item():.2g}"


def _most(t):
    return f"{t.max().item():.2g}"

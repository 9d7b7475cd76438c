r"""Solving with a Gram matrix: damped, undamped, and how far the precision reaches.

Both solvers take ``K`` of shape ``(..., N, N)`` and ``r`` of shape ``(..., N)``, both float64.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from regimes.errors import Unsolvable

__all__ = ["Singular", "SmallestEigenvalue", "SolveInfo", "Unsolvable", "check_singular", "damped_solve", "minimum_norm_solve"]

Step = tuple[Tensor, ...]


@dataclass(frozen=True)
class SolveInfo:
    """How a system was solved.

    Attributes:
        method: ``"cholesky"``, ``"cholesky, corrected"``, ``"eigenvalues"`` or ``"svd"``.
        damping: what was added to the diagonal of ``K``; one number per run.
        residual: ``|J delta - r| / |r|`` of the undamped step, one number per run; ``None`` for a damped one.
        rank: how many eigenvalues were kept, one number per run; ``None`` where all were.
    """

    method: str
    damping: Tensor
    residual: Tensor | None = None
    rank: Tensor | None = None


@dataclass(frozen=True)
class SmallestEigenvalue:
    """The damping of Arbel et al.'s code: ``max(floor, alpha * lambda_min(K))``, recomputed at each step.

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
        _finite(K)
        return (self.alpha * torch.linalg.eigvalsh(K)[..., 0]).clamp(min=self.floor)


class Singular(Unsolvable):
    """The kernel has eigenvalues that the precision does not resolve, and the caller did not say what to do with them.

    Attributes:
        runs: the runs concerned, as a boolean tensor.
    """

    def __init__(self, K: Tensor, rank: Tensor, runs: Tensor):
        self.runs, N, first = runs, K.shape[-1], runs.reshape(-1).int().argmax()
        lam, rank = torch.linalg.eigvalsh(K.reshape(-1, N, N)[first]), int(rank.reshape(-1)[first])
        which = f" in {int(runs.sum())} of {runs.numel()} runs" if runs.ndim else ""
        super().__init__(
            f"the kernel is singular{which}: of its {N} eigenvalues {rank} are resolved in {K.dtype} "
            f"(smallest {lam[0]:.1e}, largest {lam[-1]:.1e}), so that rounding would decide an undamped step. Use a positive "
            "damping; or a wider network, or larger hidden weights at initialisation; or singular='drop' for the shortest "
            "least-squares step on the eigenvalues that are resolved"
        )

    def __reduce__(self):  # so that a worker process can pass it on unchanged, message included
        return type(self).__new__, (type(self), *self.args), self.__dict__


def check_singular(singular: str) -> None:
    """Raise a ValueError unless ``singular`` is ``"drop"`` or ``"error"``: what to do with eigenvalues not resolved."""
    if singular not in ("drop", "error"):
        raise ValueError(f"singular must be 'drop' or 'error'; got {singular!r}")


def damped_solve(K: Tensor, r: Tensor, damping: Tensor, features: torch.dtype) -> tuple[Tensor, SolveInfo]:
    """``a = (K + damping I)^-1 r`` by Cholesky.

    Args:
        K: ``(..., N, N)``.
        r: ``(..., N)``.
        damping: positive; one number per run.
        features: the dtype ``K`` was computed from, which decides how small a damping can be and still count.

    Raises:
        Unsolvable: if ``K`` is not finite, or the damping is lost in its rounding.
    """
    # Rounding the features changes the eigenvalues of K by up to about N eps of its size; a smaller damping drowns in that.
    smallest = K.shape[-1] * torch.finfo(features).eps * _size(K)
    L, failed = torch.linalg.cholesky_ex(K + damping[..., None, None] * _identity(K))
    lost = damping < smallest
    if not (lost.any() | failed.any() | ~torch.isfinite(K).all()):  # on a GPU one answer to wait for, not three
        return _back(L, r), SolveInfo("cholesky", damping)
    _finite(K)
    if lost.any():
        raise Unsolvable(
            f"damping {damping.min():.2g} is below what {features} resolves for this kernel, {smallest.max():.2g} "
            "(N times the machine precision times its mean diagonal). Use damping=0 for the minimum-norm step in "
            "float64, or a larger damping"
        )
    raise Unsolvable(
        f"the kernel plus damping {damping.min():.2g} is not positive definite at this precision. "
        "Use a larger damping, or damping=0 for the minimum-norm step"
    )


def minimum_norm_solve(
    K: Tensor,
    r: Tensor,
    *,
    vjp: Callable[[Tensor], Step],
    jvp: Callable[[Step], Tensor],
    tolerance: float = 1e-8,
    singular: str = "drop",
) -> tuple[Step, SolveInfo]:
    r"""The shortest step that solves ``J delta = r``, in the least-squares sense where ``K`` is singular.

    Cholesky of ``K`` with a jitter of ``N`` machine precisions, then two corrections
    :math:`\delta \leftarrow \delta + J^T K^{-1}(r - J\delta)` by products with ``J``. A Gram matrix squares the condition
    number; the corrections bring the error back to that of an orthogonal factorisation of ``J`` while ``cond(J) < 1e6``. A run
    that still misses ``r`` by more than ``tolerance`` is singular at this precision: its eigenvalues below
    :math:`N \epsilon \lambda_{\max}` are dropped.

    Args:
        K: ``(..., N, N)``.
        r: ``(..., N)``.
        vjp: maps ``a`` to the step ``J^T a`` (times the time scale in ``K``), one tensor per parameter.
        jvp: maps a step to ``J delta``.
        tolerance: on ``|J delta - r| / |r|``.
        singular: what to do with a singular run: ``"drop"`` its small eigenvalues, or raise an ``"error"``.

    Raises:
        ValueError: for any other ``singular``.
        Unsolvable: if ``K`` is not finite.
        Singular: if a run is singular and ``singular="error"``.
    """
    check_singular(singular)
    eps = K.shape[-1] * torch.finfo(K.dtype).eps  # the usual bound: below eps * lambda_max an eigenvalue is rounding
    jitter = eps * _size(K)  # lifts eigenvalues that rounding has made negative, at which Cholesky would stop
    L, failed = torch.linalg.cholesky_ex(K + jitter[..., None, None] * _identity(K))
    step = vjp(_back(L, r))
    for _ in range(2):  # the first removes what the jitter and the squared condition number cost, the second its own rounding
        correction = vjp(_back(L, r - jvp(step)))
        step = tuple(s + c for s, c in zip(step, correction, strict=True))
    miss, zero = _relative(r - jvp(step), r), torch.zeros_like(jitter)
    missed = (failed > 0) | ~(miss <= tolerance) | ~torch.isfinite(K).all(-1).all(-1)
    if not missed.any():
        return step, SolveInfo("cholesky, corrected", zero, miss)
    _finite(K)
    lam, Q = torch.linalg.eigh(K)
    keep = lam > eps * lam[..., -1:]
    if singular == "error":
        raise Singular(K, keep.sum(-1), missed)
    inverse = torch.where(keep, 1 / torch.where(keep, lam, 1.0), 0.0)
    shortest = vjp((Q @ (inverse * (Q.mT @ r[..., None])[..., 0])[..., None])[..., 0])
    step = tuple(torch.where(_per_run(missed, s), e, s) for s, e in zip(step, shortest, strict=True))
    rank = torch.where(missed, keep.sum(-1), K.shape[-1])
    return step, SolveInfo("eigenvalues", zero, _relative(r - jvp(step), r), rank)


def _finite(K):
    if not torch.isfinite(K).all():
        raise Unsolvable("the kernel is not finite: the parameters have grown too large. Use a smaller step")


def _size(K):
    return K.diagonal(dim1=-2, dim2=-1).mean(-1)


def _back(L, r):
    return torch.cholesky_solve(r[..., None], L)[..., 0]


def _identity(K):
    return torch.eye(K.shape[-1], dtype=K.dtype, device=K.device)


def _per_run(mask, tensor):
    """A mask with one entry per run, with axes of length one for the rest of ``tensor``."""
    return mask.reshape(mask.shape + (1,) * (tensor.ndim - mask.ndim))


def _relative(error, r):
    return error.norm(dim=-1) / r.norm(dim=-1).clamp(min=torch.finfo(r.dtype).tiny)

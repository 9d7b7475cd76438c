r"""Solving with a Gram matrix: damped, undamped, and how far the precision reaches.

Both solvers take ``K`` of shape ``(..., N, N)`` and ``r`` of shape ``(..., N)``, both float64. Where ``J`` has few columns or
``K`` does not fit into memory, `least_squares` and `conjugate_gradients` do without ``K``.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from regimes.errors import Unsolvable

__all__ = [
    "Singular",
    "SmallestEigenvalue",
    "SolveInfo",
    "Unsolvable",
    "check_singular",
    "conjugate_gradients",
    "damped_solve",
    "first_of",
    "least_squares",
    "minimum_norm_solve",
]

Step = tuple[Tensor, ...]


@dataclass(frozen=True)
class SolveInfo:
    """How a system was solved.

    Attributes:
        method: ``"cholesky"``, ``"cholesky, corrected"``, ``"eigenvalues"`` or ``"svd"``; in parameter space
            ``"cholesky, parameters"`` or ``"qr, parameters"``; ``"conjugate gradients"``.
        damping: what was added to the diagonal of ``K``; one number per run.
        residual: ``|J delta - r| / |r|`` of the undamped step, one number per run; of conjugate gradients, what is left of the
            damped system, relative to its right-hand side; ``None`` for a damped step by factorisation.
        rank: how many eigenvalues were kept, one number per run; ``None`` where all were.
        iterations: of conjugate gradients, each a product with ``J`` and one with ``J^T``; ``None`` for a factorisation.
    """

    method: str
    damping: Tensor
    residual: Tensor | None = None
    rank: Tensor | None = None
    iterations: int | None = None


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

    Args:
        lam: the eigenvalues ``(N,)`` of the first run concerned, smallest first.
        rank: how many are resolved, one number per run.
        runs: the runs concerned, as a boolean tensor.
        parameters: how many there are, to be named where they are fewer than ``N``.

    Attributes:
        runs: the runs concerned.
    """

    def __init__(self, lam: Tensor, rank: Tensor, runs: Tensor, parameters: int | None = None):
        self.runs, N, resolved = runs, len(lam), int(first_of(rank, runs))
        which = f" in {int(runs.sum())} of {runs.numel()} runs" if runs.ndim else ""
        few = f" (fewer parameters, {parameters}, than outputs)" if parameters and parameters < N else ""
        super().__init__(
            f"the kernel is singular{which}{few}: of its {N} eigenvalues {resolved} are resolved in {lam.dtype} "
            f"(smallest {lam[0]:.1e}, largest {lam[-1]:.1e}), so that rounding would decide an undamped step. Use a positive "
            "damping; or a wider network, or larger hidden weights at initialisation; or singular='drop' for the shortest "
            "least-squares step on the eigenvalues that are resolved"
        )

    def __reduce__(self):  # so that a worker process can pass it on unchanged, message included
        return type(self).__new__, (type(self), *self.args), self.__dict__


def first_of(t: Tensor, runs: Tensor) -> Tensor:
    """The part of ``t`` that belongs to the first run marked in ``runs``."""
    return t.flatten(0, runs.ndim - 1)[runs.flatten().int().argmax()] if runs.ndim else t


def check_singular(singular: str) -> None:
    """Raise a ValueError unless ``singular`` is ``"drop"`` or ``"error"``: what to do with eigenvalues not resolved."""
    if singular not in ("drop", "error"):
        raise ValueError(f"singular must be 'drop' or 'error'; got {singular!r}")


def damped_solve(
    K: Tensor,
    r: Tensor,
    damping: Tensor,
    features: torch.dtype,
    error: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, SolveInfo]:
    """``a = (K + damping I)^-1 r`` by Cholesky.

    Args:
        K: ``(..., N, N)``.
        r: ``(..., N)``.
        damping: positive; one number per run.
        features: the dtype ``K`` was computed from, which decides how small a damping can be and still count.
        error: ``r - (K + damping I) a`` of a given ``a``, from better numbers than those of ``K``, for one correction.

    Raises:
        Unsolvable: if ``K`` is not finite, or the damping is lost in its rounding.
    """
    # Rounding the features changes the eigenvalues of K by up to about N eps of its size; a smaller damping drowns in that.
    smallest = torch.finfo(features).eps * _trace(K)
    L, failed = torch.linalg.cholesky_ex(_lifted(K, damping))
    # What is not finite makes a comparison false on the diagonal of K, and beside it the factorisation fail.
    if ((damping >= smallest) > failed).all():  # failed is 0 or more; on a GPU one answer to wait for
        a = _back(L, r)
        return a if error is None else a + _back(L, error(a)), SolveInfo("cholesky", damping)
    _finite(K)
    if (damping < smallest).any():
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
    # A jitter lifts eigenvalues that rounding has made negative, at which Cholesky would stop.
    jitter = torch.finfo(K.dtype).eps * _trace(K)
    L, failed = torch.linalg.cholesky_ex(_lifted(K, jitter))
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
        raise Singular(torch.linalg.eigvalsh(first_of(K, missed)), keep.sum(-1), missed)
    inverse = torch.where(keep, 1 / torch.where(keep, lam, 1.0), 0.0)
    shortest = vjp((Q @ (inverse * (Q.mT @ r[..., None])[..., 0])[..., None])[..., 0])
    step = tuple(torch.where(_per_run(missed, s), e, s) for s, e in zip(step, shortest, strict=True))
    rank = torch.where(missed, keep.sum(-1), K.shape[-1])
    return step, SolveInfo("eigenvalues", zero, _relative(r - jvp(step), r), rank)


def least_squares(rows: Iterable[Tensor], N: int) -> tuple[Tensor, Tensor, Tensor]:
    r"""The shortest ``delta`` with the smallest :math:`|J\delta - r|`, from blocks of rows ``[J, r]``, for few columns.

    One QR factorisation after the other, each of the triangle so far and the next block, then singular values: ``J`` is never
    squared, and never kept. Singular values below :math:`\max(N, p)\,\epsilon` of the largest are dropped.

    Args:
        rows: ``(..., k, p + 1)``, the last column is ``r``.
        N: how many rows there are in all.

    Returns:
        ``delta`` ``(..., p)``, the singular values ``(..., min(N, p))``, largest first, and how many were kept, ``(...)``.

    Raises:
        Unsolvable: if ``J`` is not finite.
    """
    R: Tensor | None = None
    for block in rows:
        R = torch.linalg.qr(block if R is None else torch.cat([R, block], -2), mode="r").R
    assert R is not None, "there is at least one block"
    _finite(R)
    U, s, Vh = torch.linalg.svd(R[..., :-1], full_matrices=False)
    keep = s > max(N, Vh.shape[-1]) * torch.finfo(s.dtype).eps * s[..., :1]
    inverse = torch.where(keep, 1 / torch.where(keep, s, 1.0), 0.0)
    return (Vh.mT @ (inverse[..., None] * (U.mT @ R[..., -1:])))[..., 0], s, keep.sum(-1)


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], b: Tensor, damping: Tensor, *, tolerance: float = 1e-10, most: int = 10_000
) -> tuple[Tensor, SolveInfo]:
    """``x`` with ``(A + damping I) x = b`` for a positive semidefinite ``A`` known by its products, for all runs at once.

    About ``sqrt(|A| / damping)`` products, times a few for the digits.

    Args:
        product: maps ``(..., p)`` to ``A`` times it.
        b: ``(..., p)``, float64.
        damping: positive; one number per run.
        tolerance: on what is left, ``|b - (A + damping I) x| / |b|``.
        most: products at most.

    Raises:
        Unsolvable: if that is not reached.
    """
    shift = damping[..., None]
    x, r = torch.zeros_like(b), b.clone()
    d, square, goal, k = r, b.square().sum(-1), tolerance * b.norm(dim=-1), 0
    while k < most and (active := square.sqrt() > goal).any():
        Ad, k = product(d) + shift * d, k + 1
        step = torch.where(active, square / (d * Ad).sum(-1), 0.0)[..., None]
        x, r = x + step * d, r - step * Ad
        before, square = square, r.square().sum(-1)
        d = r + torch.where(active, square / before, 0.0)[..., None] * d
    left = _relative(b - product(x) - shift * x, b)
    if not (left <= 10 * tolerance).all():
        raise Unsolvable(
            f"conjugate gradients stopped after {k} products with {left.max():.1g} of the right-hand side left, more than "
            f"{tolerance:g}. Use a larger damping, float64, or another solver"
        )
    return x, SolveInfo("conjugate gradients", damping, left, iterations=k)


def _finite(K):
    if not torch.isfinite(K).all():
        raise Unsolvable("the kernel is not finite: the parameters have grown too large. Use a smaller step")


def _trace(K):
    return K.diagonal(dim1=-2, dim2=-1).sum(-1)


def _back(L, r):
    return torch.cholesky_solve(r[..., None], L)[..., 0]


def _lifted(K, shift):
    """``K + shift I``."""
    K = K.clone()
    K.diagonal(dim1=-2, dim2=-1).add_(shift[..., None])
    return K


def _per_run(mask, tensor):
    """A mask with one entry per run, with axes of length one for the rest of ``tensor``."""
    return mask.reshape(mask.shape + (1,) * (tensor.ndim - mask.ndim))


def _relative(error, r):
    return error.norm(dim=-1) / r.norm(dim=-1).clamp(min=torch.finfo(r.dtype).tiny)

r"""Ways to the Gauss-Newton step of any loss: in sample space, in parameter space, and without a matrix.

With the gradient ``g`` and the Hessian ``H`` of ``n`` times the loss in the outputs, the damped step is

.. math:: \delta = (c\,J^T H J + \epsilon I)^{-1}\, c\,J^T g = c\,J^T (\epsilon I + H K)^{-1} g, \qquad K = c\,J J^T,

and the undamped one the shortest of those with the smallest :math:`|S^T J \delta - S^+ g|`, where :math:`H = S S^T`. For the
squared loss ``H = 1`` and ``g = r``. ``H`` has a block for each sample: it is diagonal in the blocks' eigenvectors, in which
everything here is computed.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor

from regimes.arguments import positive
from regimes.errors import Unsolvable
from regimes.jacobians import Jacobian
from regimes.linalg import (
    Singular,
    SmallestEigenvalue,
    SolveInfo,
    conjugate_gradients,
    damped_solve,
    first_of,
    least_squares,
    minimum_norm_solve,
)

__all__ = ["SOLVERS", "Damping", "Flat", "System", "check_damping", "check_solver", "solve"]

SOLVERS = ("auto", "sample", "parameter", "cg")
LARGE = 4 * 2**30  # bytes of the smaller Gram matrix, from which on "auto" does without
SMALL = 256  # outputs up to which the squared loss is solved in sample space: nothing is to be saved there
CONSISTENT = 1e-8  # |J delta - r| / |r| up to which an undamped step is a solution

Damping: TypeAlias = float | Tensor | SmallestEigenvalue
Step: TypeAlias = tuple[Tensor, ...]


class Flat(Unsolvable):
    """The loss has a slope where it has no curvature, so that an undamped step would be infinite."""

    why = "the loss has no curvature left where it has a slope"


def check_solver(solver: str) -> None:
    """Raise a ValueError for an unknown solver."""
    if solver not in SOLVERS:
        raise ValueError(f"the solver is one of {', '.join(SOLVERS)}; got {solver!r}")


def check_damping(damping: Damping) -> None:
    """Raise a ValueError for a damping that is not a number >= 0, one of them per run, or a rule."""
    if not callable(damping):
        positive(damping, "damping", zero=True)


def _as_numbers(damping: float | Tensor) -> float | Tensor:
    """A damping that is right and no rule: a number, or a tensor of them."""
    check_damping(damping)
    known = isinstance(damping, (int, float, Tensor))
    return damping if known else torch.as_tensor(damping, dtype=torch.float64, device="cpu")


def _is_positive(damping: float | Tensor) -> bool:
    """In all runs."""
    return bool((damping > 0).all()) if isinstance(damping, Tensor) else damping > 0


class System:
    """``J``, ``g`` and ``H`` in the eigenvectors of ``H``.

    Args:
        J: the Jacobian.
        c: the time scale.
        g: ``(..., N)``.
        H: ``(..., n, q, q)``; ``None`` for the squared loss.
        exact: whether ``H`` is as good as its numbers for each sample, or only relative to its largest number in a run.

    Attributes:
        g: in these coordinates, float64.
        lam: the eigenvalues of ``H``, ``(..., N)``, zero where they are not resolved; ``None`` for the squared loss.
        dtype: that of the network.

    Raises:
        ValueError: if ``H`` has negative eigenvalues: the loss is not convex.
    """

    def __init__(self, J: Jacobian, c: float, g: Tensor, H: Tensor | None = None, exact: bool = True):
        self.J, self.c, self.dtype = J, c, g.dtype
        self.lam: Tensor | None
        self.Q: Tensor | None
        self.lam, self.Q = (None, None) if H is None else _spectrum(H, exact)
        self.g = g.double()
        if self.Q is not None:  # without curvature a gradient may be rounding, which no damping should divide
            self.g = self._into(self.g[..., None])[..., 0]
            each = self.g.unflatten(-1, self.Q.shape[-3:-1])
            rounded = each.abs() <= 8 * each.shape[-1] * torch.finfo(g.dtype).eps * each.norm(dim=-1, keepdim=True)
            self.g = torch.where(rounded.flatten(-2) & (self.lam == 0), 0.0, self.g)

    def gram(self) -> Tensor:
        """The kernel ``K``."""
        K = self.c * self.J.gram()
        return K if self.Q is None else self._into(self._into(K).mT)

    def rows(self) -> Iterator[tuple[Tensor, slice]]:
        """Blocks of rows of ``J``, and which rows they are."""
        start = 0
        for block in self.J.rows():
            yield self._into(block, start), slice(start, start := start + block.shape[-2])

    def vjp(self, a: Tensor) -> Step:
        """``c J^T a``."""
        if self.Q is not None:
            a = (self.Q @ a.unflatten(-1, (-1, self.Q.shape[-1]))[..., None])[..., 0].flatten(-2)
        return self.J.vjp(self.c * a.to(self.dtype))

    def jvp(self, v: Step) -> Tensor:
        """``J v``."""
        moved = self.J.jvp(v)
        return moved if self.Q is None else self._into(moved.double()[..., None])[..., 0]

    def curve(self, v: Tensor) -> Tensor:
        """``H v``."""
        return v if self.lam is None else self.lam * v

    def _into(self, M: Tensor, first: int = 0) -> Tensor:
        """The rows of ``M``, which belong to the outputs from ``first`` on, in the eigenvectors."""
        if self.Q is None:
            return M
        q = self.Q.shape[-1]
        k = M.shape[-2] // q
        Q = self.Q[..., first // q : first // q + k, :, :]
        return (Q.mT @ M.unflatten(-2, (k, q))).flatten(-3, -2)


def solve(s: System, damping: Damping, singular: str, solver: str) -> tuple[Step, SolveInfo]:
    """The step: see `regimes.directions.gauss_newton`."""
    damping = damping if callable(damping) else _as_numbers(damping)
    runs, N, p = s.g.shape[:-1], s.g.shape[-1], s.J.size
    if isinstance(damping, SmallestEigenvalue) and p < N and solver != "sample" and not (solver == "auto" and _is_small(s)):
        damping = damping(s.g.new_zeros(*runs, 1, 1))  # with fewer parameters than outputs the smallest eigenvalue is zero
    if solver == "auto":
        solver = _choose(s, damping)
    if solver == "sample":
        return _in_sample_space(s, damping, singular)
    if callable(damping):
        raise ValueError(f"a damping that depends on the kernel needs the kernel: use solver='sample'; got {solver!r}")
    epsilon = _for_runs(damping, s)
    if solver == "parameter":
        return _in_parameter_space(s, epsilon, singular)
    if not (epsilon > 0).all():
        raise ValueError("solver='cg' converges by the damping: use a positive one, or solver='sample' or 'parameter'")
    return _without_a_matrix(s, epsilon)


def _is_small(s: System) -> bool:
    return s.lam is None and s.g.shape[-1] <= SMALL


def _choose(s: System, damping: Damping) -> str:
    if callable(damping):
        return "sample"
    N, p = s.g.shape[-1], s.J.size
    if 8 * min(N, p) ** 2 * s.g.shape[:-1].numel() > LARGE and _is_positive(damping):
        return "cg"
    return "parameter" if p < N and not _is_small(s) else "sample"


def _for_runs(damping: float | Tensor, s: System) -> Tensor:
    """One number per run."""
    runs = s.g.shape[:-1]
    if not isinstance(damping, Tensor):
        return s.g.new_full(runs, damping)
    try:
        return damping.to(s.g.device, torch.float64).expand(runs)
    except RuntimeError:
        raise ValueError(f"a damping of shape {tuple(damping.shape)} does not fit a network with runs {tuple(runs)}") from None


def _in_sample_space(s: System, damping: Damping, singular: str) -> tuple[Step, SolveInfo]:
    """With ``H = d^2``, what is solved is ``(d K d + epsilon) b = ...`` for ``a = d b``: symmetric, and ``d`` may be zero."""
    A = K = s.gram()
    if s.lam is not None:
        d, curved = s.lam.sqrt(), s.lam > 0
        A = d[..., :, None] * K * d[..., None, :]
    if callable(damping):
        damping = _as_numbers(damping(A))
    if not _is_positive(damping):
        _check_undamped(damping, s.dtype)
        return _undamped_in_sample_space(s, K, singular)
    epsilon = _for_runs(damping, s)
    if s.lam is None:
        a, how = damped_solve(A, s.g, epsilon, s.dtype)
        return s.vjp(a), how
    flat = torch.where(curved, 0.0, s.g) / epsilon[..., None]  # what has no curvature is removed by the damping alone
    rest = torch.where(curved, s.g / torch.where(curved, d, 1.0), 0.0) - d * (K @ flat[..., None])[..., 0]
    b, how = damped_solve(A, rest, epsilon, s.dtype)
    return s.vjp(d * b + flat), how


def _undamped_in_sample_space(s: System, K: Tensor, singular: str) -> tuple[Step, SolveInfo]:
    """Where ``J`` has independent rows, ``J delta = g / lam`` on those with a curvature, whatever its size."""
    if s.lam is None:
        return minimum_norm_solve(K, s.g, vjp=s.vjp, jvp=s.jvp, singular=singular)
    _refuse_flat(s.lam, s.g)
    curved = s.lam > 0
    rows = curved.to(torch.int8).argsort(dim=-1, descending=True, stable=True)[..., : max(1, int(curved.sum(-1).max()))]

    def take(v: Tensor) -> Tensor:
        return v.take_along_dim(rows, -1)

    used = take(curved)  # a run with fewer of them is filled up with a unit matrix
    K = (
        K.take_along_dim(rows[..., :, None], -2).take_along_dim(rows[..., None, :], -1)
        * used[..., None, :]
        * used[..., :, None]
    )
    K = K + torch.where(used, 0.0, K.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True)).diag_embed()
    target = torch.where(used, take(s.g) / torch.where(used, take(s.lam), 1.0), 0.0)

    def solve_weighted(w: Tensor, singular: str) -> tuple[Step, SolveInfo]:
        return minimum_norm_solve(
            w[..., :, None] * K * w[..., None, :],
            w * target,
            vjp=lambda b: s.vjp(torch.zeros_like(s.g).scatter(-1, rows, torch.where(used, w * b, 0.0))),
            jvp=lambda v: torch.where(used, w * take(s.jvp(v)), 0.0),
            singular=singular,
        )

    try:
        return solve_weighted(torch.ones_like(target), "error")
    except Singular:
        if singular == "error":
            raise
        return solve_weighted(take(s.lam).sqrt(), "drop")


def _in_parameter_space(s: System, epsilon: Tensor, singular: str) -> tuple[Step, SolveInfo]:
    J = s.J
    if not (epsilon > 0).all():
        _check_undamped(epsilon, s.dtype)
        return _undamped_in_parameter_space(s, singular)
    A = b = torch.zeros((), dtype=s.g.dtype, device=s.g.device)
    for rows, at in s.rows():
        weighted = rows if s.lam is None else s.lam[..., at, None] * rows
        A, b = A + s.c * (rows.mT @ weighted), b + s.c * (rows.mT @ s.g[..., at, None])[..., 0]

    def error(x: Tensor) -> Tensor:
        return J.flatten(s.vjp(s.g - s.curve(s.jvp(J.unflatten(x))))) - epsilon[..., None] * x

    x, how = damped_solve(A, b, epsilon, s.dtype, error if s.dtype == torch.float64 else None)
    return J.unflatten(x), replace(how, method="cholesky, parameters")


def _undamped_in_parameter_space(s: System, singular: str) -> tuple[Step, SolveInfo]:
    if s.lam is not None:
        _refuse_flat(s.lam, s.g)
    d = torch.ones_like(s.g) if s.lam is None else s.lam.sqrt()
    target = torch.where(d > 0, s.g / torch.where(d > 0, d, 1.0), 0.0)
    blocks = (torch.cat([d[..., at, None] * rows, target[..., at, None]], -1) for rows, at in s.rows())
    N, p = s.g.shape[-1], s.J.size
    x, sigma, rank = least_squares(blocks, N)
    step = s.J.unflatten(x)
    left = (target - d * s.jvp(step)).norm(dim=-1) / target.norm(dim=-1).clamp(min=torch.finfo(x.dtype).tiny)
    if singular == "error" and not (left <= CONSISTENT).all():
        lam = torch.nn.functional.pad(s.c * sigma.square().flip(-1), (N - sigma.shape[-1], 0))
        raise Singular(first_of(lam, ~(left <= CONSISTENT)), rank, ~(left <= CONSISTENT), p)
    return step, SolveInfo("qr, parameters", torch.zeros_like(left), left, None if (rank == N).all() else rank)


def _without_a_matrix(s: System, epsilon: Tensor) -> tuple[Step, SolveInfo]:
    J = s.J

    def pull(a: Tensor) -> Tensor:
        return J.flatten(s.vjp(a)).double()

    tolerance, most = max(1e-10, 1e3 * torch.finfo(s.dtype).eps), 1000 + 2 * min(s.g.shape[-1], J.size)
    x, how = conjugate_gradients(
        lambda v: pull(s.curve(s.jvp(J.unflatten(v)))), pull(s.g), epsilon, tolerance=tolerance, most=most
    )
    return J.unflatten(x), how


def _spectrum(H: Tensor, exact: bool) -> tuple[Tensor, Tensor | None]:
    q, eps = H.shape[-1], torch.finfo(H.dtype).eps
    lam, Q = (H.double()[..., 0], None) if q == 1 else torch.linalg.eigh(H.double())
    largest = lam.abs().amax(-1, keepdim=True)
    of_run = largest.amax(-2, keepdim=True)
    saturated = 0.0 if exact else eps**2  # by autograd, what is left of a difference of numbers near one
    if (lam < -(eps**0.5) * of_run - saturated).any():
        raise ValueError(
            f"Gauss-Newton needs a loss that is convex in the outputs; this one has a second derivative of {lam.min():.2g} "
            "(of n times the loss). Use gradient descent, or a convex loss"
        )
    lam = torch.where(lam > q * eps * (largest if exact else 8 * of_run), lam, 0.0)
    return lam.flatten(-2), Q


def _refuse_flat(lam: Tensor, g: Tensor) -> None:
    flat = torch.where(lam > 0, 0.0, g)
    if (flat.norm(dim=-1) > 1e-8 * g.norm(dim=-1)).any():
        raise Flat(
            f"the loss has a slope but no curvature at {int((flat != 0).sum())} of {flat.numel()} outputs, so that an undamped "
            "step would be infinite. Use a positive damping"
        )


def _check_undamped(damping: float | Tensor, dtype: torch.dtype) -> None:
    if isinstance(damping, Tensor) and (damping > 0).any():
        raise ValueError("damping must be zero in all runs or positive in all runs; got a mixture")
    if dtype != torch.float64:
        raise ValueError(
            f"Gauss-Newton without damping divides by eigenvalues that {dtype} does not resolve. "
            "Use float64 (net.double(), and the data too), or a positive damping"
        )

r"""The exact Gauss-Newton direction of a reversible network: one walk backwards, no Jacobian.

The state ``z`` after the last block is to move by ``-E``. Each of the ``L`` blocks gets a step that would achieve this on its
own; their mean is the direction, so that ``J delta = E`` exactly. It is *one* of many such directions (a right inverse of the
Jacobian), not the shortest one: for that see `regimes.directions.gauss_newton`.
"""

import torch
from torch import Tensor

from regimes.directions import Direction
from regimes.errors import Unsolvable
from regimes.jacobians import jacobian
from regimes.linalg import SolveInfo
from regimes.losses import AnyLoss, match_loss, squared
from regimes.networks import Reversible, ReversibleJacobian

__all__ = ["SOLVERS", "Inexact", "check_exact", "exact_gauss_newton", "right_inverse", "walk_back"]

SOLVERS = ("cholesky", "svd")


class Inexact(Unsolvable):
    """The direction does not do what it should: ``J delta`` is not the residual."""

    why = "its steps are no longer exact"


def walk_back(
    net: Reversible, z: Tensor, E: Tensor, *, solver: str = "cholesky", cutoff: float = 0.0, cross_term: bool = True
) -> tuple[Tensor, Tensor]:
    r"""Weights :math:`\delta` with :math:`J\delta = E`, and the inputs at which the walk arrives.

    At each block, from the last to the first, with the desired change :math:`E = (e_1, e_2)` of its outputs:

    .. math:: \delta_F = A^+ e_1, \qquad \delta_G = B^+ (e_2 - DG[A\,\delta_F]), \qquad
              e_2 \leftarrow e_2 - DG[e_1], \qquad e_1 \leftarrow e_1 - DF[e_2]

    with the features ``A`` and ``B`` of its half layers. The cross term ``DG[A delta_F]`` is there because the second half
    layer reads what the first has changed. The last two take ``E`` back through the block. Finally everything is divided by
    ``L``.

    Args:
        net: the network.
        z: its state after the last block, ``(..., n, d)``.
        E: the desired change there, of the same shape.
        solver, cutoff: see `right_inverse`.
        cross_term: ``False`` leaves the cross term out, to show what that breaks.

    Source: Buffelli et al. 2024, Proposition 4.4 and appendix D.
    """
    e1, e2 = E.chunk(2, -1)
    delta = torch.empty_like(net.W)
    for block, F, G in net.backwards(z):
        delta_F = right_inverse(F.A, e1, solver, cutoff)
        wanted = e2 - G.jvp(F.A @ delta_F) if cross_term else e2
        delta_G = right_inverse(G.A, wanted, solver, cutoff)
        e2 = e2 - G.jvp(e1)
        e1 = e1 - F.jvp(e2)
        delta[..., block, 0, :, :], delta[..., block, 1, :, :] = delta_F, delta_G
    return delta / net.blocks, torch.cat([G.x - F.output, F.x], -1)


def right_inverse(A: Tensor, R: Tensor, solver: str = "cholesky", cutoff: float = 0.0) -> Tensor:
    """``A^+ R``, the shortest solution of ``A D = R``, for ``A`` ``(..., n, k)`` and ``R`` ``(..., n, h)``.

    Args:
        solver: ``"cholesky"`` of ``A A^T`` with one correction (fast, but it squares the condition number), or ``"svd"``.
        cutoff: singular values below this fraction of the largest are dropped (``"svd"`` only).

    Raises:
        regimes.linalg.Unsolvable: if ``A`` is not finite, or ``A A^T`` not positive definite at this precision.
    """
    if solver == "svd":
        _finite(A)
        U, s, Vh = torch.linalg.svd(A, full_matrices=False)
        inverse = torch.where(s > max(cutoff, torch.finfo(s.dtype).eps * A.shape[-1]) * s[..., :1], 1 / s, 0.0)
        return Vh.mT @ (inverse[..., None] * (U.mT @ R))
    K = A @ A.mT
    # Above the rounding of K, about eps times its trace, so that a barely positive K passes; the correction removes its effect.
    jitter = 10 * torch.finfo(K.dtype).eps * K.diagonal(dim1=-2, dim2=-1).sum(-1)
    L, failed = torch.linalg.cholesky_ex(K + jitter[..., None, None] * torch.eye(K.shape[-1], dtype=K.dtype, device=K.device))
    if failed.any() | ~torch.isfinite(A).all():  # on a GPU one answer to wait for, not two
        _finite(A)
        raise Unsolvable(
            f"the Gram matrix of the features of {A.shape[-2]} samples is not positive definite in {A.dtype}. Use "
            "solver='svd', a larger width, or a smaller step if the run has blown up"
        )
    D = A.mT @ torch.cholesky_solve(R, L)
    return D + A.mT @ torch.cholesky_solve(R - A @ D, L)


def _finite(A: Tensor) -> None:
    if not torch.isfinite(A).all():
        raise Unsolvable("the features are not finite: the parameters have grown too large. Use a smaller step")


@torch.no_grad()
def exact_gauss_newton(
    net: Reversible,
    x: Tensor,
    y: Tensor,
    *,
    loss: AnyLoss = squared,
    newton: bool = False,
    solver: str = "cholesky",
    cutoff: float = 0.0,
    cross_term: bool = True,
    tolerance: float = 1e-3,
) -> Direction:
    r"""A direction with :math:`J\delta = r`: following it, the outputs move as :math:`\dot f = -r`.

    The gradient ``r`` of the loss in the outputs (``f - y`` for the squared loss, ``p - y`` for cross entropy, no 1/n) is
    lifted to the state by the head, :math:`E = r u^T`; :math:`u^T u = 1` brings it back. Then `walk_back`. The direction is
    verified by one walk forwards: the error is in ``solve.residual``.

    Args:
        net: a `Reversible`.
        x: inputs ``(..., n, d)``.
        y: targets ``(..., n, q)``.
        loss: see `regimes.losses`.
        newton: divide by the loss's curvature in output space (generalised Gauss-Newton): for a loss with a ``newton``.
        solver: ``"cholesky"`` or ``"svd"``: see `right_inverse`.
        cutoff: a truncation of the features' singular values, with ``solver="svd"``; the published code uses 0.01.
        cross_term: see `walk_back`.
        tolerance: the largest ``|J delta - r| / |r|`` that is accepted; ``math.inf`` accepts whatever comes out.

    Raises:
        Inexact: if a run's direction misses by more than ``tolerance``: it says by how much, and why.
        ValueError: for any other network, an unknown solver, a cut-off without ``"svd"``, a loss without ``newton``, targets of
            a different shape from the outputs, or data that are not finite.

    Source: Buffelli et al. 2024, Proposition 4.4; their code has no 1/L.
    """
    check_exact(net, loss, newton, solver, cutoff)
    J = jacobian(net, x)
    if not isinstance(J, ReversibleJacobian):  # it is not valid for what this network computes
        raise ValueError(
            "the exact step is for the forward pass of Reversible; this network has its own, a hook or a parametrised weight. "
            "Use gauss_newton()"
        )
    loss, y = match_loss(loss, y, J.outputs, J.shape)
    r = (loss.newton if newton else loss.grad)(J.outputs, y)  # type: ignore[attr-defined]  # checked above
    E = r.reshape(J.shape) @ net.u.mT
    delta, back = walk_back(net, J.z, E, solver=solver, cutoff=cutoff, cross_term=cross_term)
    missed = (J.jvp((delta,)) - r).norm(dim=-1) / r.norm(dim=-1).clamp(min=torch.finfo(r.dtype).tiny)
    if not (missed <= tolerance).all():
        lost = torch.linalg.matrix_norm(back - x) / torch.linalg.matrix_norm(x)
        raise Inexact(_why(net, J, missed.max().item(), lost.max().item(), tolerance))
    how = SolveInfo(solver, torch.zeros_like(missed), missed)
    return Direction((delta,), loss.value(J.outputs, y, J.samples), how)


def check_exact(net: Reversible, loss: AnyLoss, newton: bool, solver: str, cutoff: float) -> None:
    """Raise a ValueError for what `exact_gauss_newton` cannot do."""
    if not isinstance(net, Reversible):
        raise ValueError(f"the exact step walks a Reversible network backwards; got a {type(net).__name__}. Use gauss_newton()")
    if newton and not hasattr(loss, "newton"):
        raise ValueError(f"newton=True needs a loss with a method newton, such as CrossEntropy; got {type(loss).__name__}")
    if solver not in SOLVERS:
        raise ValueError(f"unknown solver {solver!r}; choose {' or '.join(SOLVERS)}")
    if not 0 <= cutoff < 1 or (cutoff and solver != "svd"):
        raise ValueError(f"a cut-off is a share of the largest singular value, from 0 to 1, with solver='svd'; got {cutoff}")


def _why(net: Reversible, J: ReversibleJacobian, missed: float, lost: float, tolerance: float) -> str:
    """What was measured, the likely reason, and what to do."""
    if J.samples > net.width + 1:
        reason = (
            f"the features of {J.samples} samples have rank {net.width + 1} at most. Use a width of at least "
            f"{round(1.5 * J.samples)}, or a smaller batch"
        )
    elif not lost <= 1e3 * torch.finfo(J.outputs.dtype).eps:  # NaN too
        reason = (
            f"running the {net.blocks} blocks backwards misses the inputs by {lost:.2g} of their length in {J.outputs.dtype}"
            ". Use smaller weights at initialisation, fewer blocks, or float64"
        )
    else:
        reason = "of rounding, a cut-off or a missing term. Use float64, no cut-off, and a width well above the batch"
    return (
        f"the step is not exact: J delta misses the residual by {missed:.2g} of it (allowed: {tolerance:g}), because {reason}. "
        "To take it as it is, pass tolerance=math.inf"
    )

"""Directions: where an optimizer would go from here. The heart of the course.

A direction is what is *subtracted*: an optimizer takes ``w <- w - step * direction``, a flow follows ``dw/dt = -direction``.
"""

from typing import NamedTuple

from torch import Tensor, nn

from regimes.jacobians import jacobian
from regimes.linalg import SolveInfo, check_singular
from regimes.losses import AnyLoss, Squared, match_loss, output_hessian, squared
from regimes.network import time_scale
from regimes.solvers import Damping, System, check_solver, solve

__all__ = ["Direction", "gauss_newton", "gradient", "time_scale"]


class Direction(NamedTuple):
    """A direction in parameter space and what was computed on the way.

    Attributes:
        tensors: one tensor per trainable parameter, in the order of ``net.parameters()``.
        loss: the loss at the current parameters, one number per run.
        solve: how the Gauss-Newton system was solved; ``None`` for the gradient.
    """

    tensors: tuple[Tensor, ...]
    loss: Tensor
    solve: SolveInfo | None = None


def gradient(net: nn.Module, x: Tensor, y: Tensor, *, loss: AnyLoss = squared) -> Direction:
    r"""The gradient of the mean loss, in the network's time scale ``c``: :math:`c\,J^T r / n`.

    For the squared loss ``L = |r|^2 / 2n`` with ``r = f(x) - y``. Following it, the outputs move as
    :math:`\dot f = -K r / n` with the kernel ``K = c J J^T``, of order one at any width.

    Args:
        net: a `TwoLayer`, or any module (see `regimes.jacobians.jacobian`).
        x: inputs ``(..., n, d)``.
        y: targets ``(..., n)``; what ``loss`` takes, if it is a function of your own.
        loss: one of `regimes.losses`, or any function of outputs and targets, such as ``torch.nn.CrossEntropyLoss()`` with
            class numbers: then ``c`` times the gradient of what the function returns.

    Raises:
        ValueError: for targets of a different shape from the outputs, data that are not finite, or a loss that is none.
    """
    J = jacobian(net, x)
    loss, y = match_loss(loss, y, J.outputs, J.shape)
    r = loss.grad(J.outputs, y)
    return Direction(J.vjp(time_scale(net) / J.samples * r), loss.value(J.outputs, y, J.samples))


def gauss_newton(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    damping: Damping = 0.0,
    singular: str = "error",
    loss: AnyLoss = squared,
    solver: str = "auto",
) -> Direction:
    r"""The Gauss-Newton direction of the squared loss in sample space: :math:`c\,J^T (K + \epsilon I)^{-1} r`.

    ``K = c J J^T`` is the ``N x N`` kernel, ``c`` the network's time scale, ``r = f(x) - y`` the residual (no 1/n: a step of
    ``eta`` shrinks the residual by ``1 - eta``, to first order). Without damping it is the shortest solution of
    ``J delta = r``, and the same whatever ``c`` is.

    For another loss it is the generalised direction, with the gradient ``g`` and the Hessian ``H`` of ``n`` times the loss in
    the outputs, :math:`c\,(c\,J^T H J + \epsilon I)^{-1} J^T g`: a full step is Newton's, of the loss of the linearised
    network. Without damping it solves ``H J delta = g``, as the shortest of those with the smallest
    :math:`|S^T J \delta - S^+ g|`, :math:`H = S S^T`. ``H`` has a block per sample. The damping is compared with ``H K``, so a
    loss that is a mean over all ``n q`` outputs, or a sum, needs another one than a mean over samples.

    Args:
        net: a `TwoLayer`, or any module (see `regimes.jacobians.jacobian`).
        x: inputs ``(..., n, d)``.
        y: targets ``(..., n)``; what ``loss`` takes, if it is a function of your own.
        damping: ``epsilon``: zero, a positive number (or one per run), or `SmallestEigenvalue` for Arbel et al.'s rule.
        singular: what to do without damping where ``K`` is singular in float64 (fewer parameters than outputs, features
            that are linearly dependent or nearly so): raise an ``"error"``, or ``"drop"`` the eigenvalues that are not
            resolved and take the shortest least-squares step.
        loss: a convex one of `regimes.losses`, or any function of outputs and targets that is convex in the outputs and a sum
            or mean over samples.
        solver: where to solve. ``"sample"``, with the ``N x N`` kernel; ``"parameter"``, with the ``p x p`` matrix
            :math:`c\,J^T H J`, or a QR factorisation of ``J`` without damping; ``"cg"``, with neither, by conjugate gradients
            down to 1e-10 of the right-hand side (float32: 1e-4), with damping only. ``"auto"`` takes the parameter space where
            ``p < N`` (for the squared loss, and ``N > 256``), ``"cg"`` where the smaller of the two matrices would be larger
            than 4 GiB and there is damping. How it was solved is in ``solve``.

    Raises:
        ValueError: for a negative damping, one too small for the precision, no damping in float32, targets of a different
            shape from the outputs, data that are not finite, or a loss that is not convex or couples samples.
        regimes.linalg.Singular: (a ValueError) without damping on a singular kernel, unless ``singular="drop"``.
        regimes.solvers.Flat: (a ValueError) without damping where the loss has a slope but no curvature.

    Source: Arbel et al. 2023; written in sample space by the push-through identity. For other losses Schraudolph 2002.
    """
    check_singular(singular)
    check_solver(solver)
    J, c = jacobian(net, x), time_scale(net)
    loss, y = match_loss(loss, y, J.outputs, J.shape)
    g, H = loss.grad(J.outputs, y), None
    if not isinstance(loss, Squared):
        H = output_hessian(loss, J.outputs, y, J.samples)
    tensors, how = solve(System(J, c, g, H, hasattr(loss, "hessian")), damping, singular, solver)
    return Direction(tensors, loss.value(J.outputs, y, J.samples), how)

"""Directions: where an optimizer would go from here. The heart of the course.

A direction is what is *subtracted*: an optimizer takes ``w <- w - step * direction``, a flow follows ``dw/dt = -direction``.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from regimes.jacobians import jacobian
from regimes.linalg import SmallestEigenvalue, SolveInfo, check_singular, damped_solve, minimum_norm_solve
from regimes.losses import Loss, match_targets, squared
from regimes.network import time_scale

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


def gradient(net: nn.Module, x: Tensor, y: Tensor, *, loss: Loss = squared) -> Direction:
    r"""The gradient of the mean loss, in the network's time scale ``c``: :math:`c\,J^T r / n`.

    For the squared loss ``L = |r|^2 / 2n`` with ``r = f(x) - y``. Following it, the outputs move as
    :math:`\dot f = -K r / n` with the kernel ``K = c J J^T``, of order one at any width.

    Args:
        net: a `TwoLayer`, or any module (see `regimes.jacobians.jacobian`).
        x: inputs ``(..., n, d)``.
        y: targets ``(..., n)``.
        loss: see `regimes.losses`.

    Raises:
        ValueError: for targets of a different shape from the outputs, or data that are not finite.
    """
    J = jacobian(net, x)
    y = match_targets(y, J.outputs, J.shape)
    r = loss.grad(J.outputs, y)
    return Direction(J.vjp(time_scale(net) * r / J.samples), loss.value(J.outputs, y, J.samples))


def gauss_newton(
    net: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    damping: float | Tensor | SmallestEigenvalue = 0.0,
    singular: str = "error",
) -> Direction:
    r"""The Gauss-Newton direction of the squared loss in sample space: :math:`c\,J^T (K + \epsilon I)^{-1} r`.

    ``K = c J J^T`` is the ``N x N`` kernel, ``c`` the network's time scale, ``r = f(x) - y`` the residual (no 1/n: a step of
    ``eta`` shrinks the residual by ``1 - eta``, to first order). Without damping it is the shortest solution of
    ``J delta = r``, and the same whatever ``c`` is.

    Args:
        net: a `TwoLayer`, or any module (see `regimes.jacobians.jacobian`).
        x: inputs ``(..., n, d)``.
        y: targets ``(..., n)``.
        damping: ``epsilon``: zero, a positive number (or one per run), or `SmallestEigenvalue` for Arbel et al.'s rule.
        singular: what to do without damping where ``K`` is singular in float64 (fewer parameters than outputs, features
            that are linearly dependent or nearly so): raise an ``"error"``, or ``"drop"`` the eigenvalues that are not
            resolved and take the shortest least-squares step.

    Raises:
        ValueError: for a negative damping, one too small for the precision, no damping in float32, targets of a different
            shape from the outputs, or data that are not finite.
        regimes.linalg.Singular: (a ValueError) without damping on a singular kernel, unless ``singular="drop"``.

    Source: Arbel et al. 2023; written in sample space by the push-through identity.
    """
    check_singular(singular)
    J, c = jacobian(net, x), time_scale(net)
    r = squared.grad(J.outputs, match_targets(y, J.outputs, J.shape))
    K, r64 = c * J.gram(), r.double()
    epsilon = _damping(damping, K)
    if (epsilon > 0).all():
        a, how = damped_solve(K, r64, epsilon.to(K.device).expand(K.shape[:-2]), r.dtype)
        tensors = J.vjp(c * a.to(r.dtype))
    else:
        _refuse_undamped(epsilon, r.dtype)
        tensors, how = minimum_norm_solve(K, r64, vjp=lambda a: J.vjp(c * a), jvp=J.jvp, singular=singular)
    return Direction(tensors, squared.value(r, torch.zeros_like(r), J.samples), how)


def _damping(damping, K: Tensor) -> Tensor:
    """The damping, one number or one per run, on the device it comes from: a number is checked without waiting for a GPU."""
    epsilon = damping(K) if callable(damping) else torch.as_tensor(damping, dtype=K.dtype)
    if not (torch.isfinite(epsilon) & (epsilon >= 0)).all():
        raise ValueError(f"damping must be a finite number >= 0; got {damping}")
    return epsilon


def _refuse_undamped(epsilon: Tensor, dtype: torch.dtype) -> None:
    if (epsilon > 0).any():
        raise ValueError("damping must be zero in all runs or positive in all runs; got a mixture")
    if dtype != torch.float64:
        raise ValueError(
            f"Gauss-Newton without damping divides by eigenvalues that {dtype} does not resolve. "
            "Use float64 (net.double(), and the data too), or a positive damping"
        )

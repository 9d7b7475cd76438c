r"""Exact solutions of the gradient flow of two-layer linear networks.

Convention: one mode has the loss :math:`L = \frac12 (y - u \cdot v)^2`, so :math:`\dot u = e v`, :math:`\dot v = e u` with
:math:`e = y - u \cdot v`. Then ``u + v`` only ever grows by a factor ``sqrt(w)`` and ``u - v`` by ``1 / sqrt(w)``, and
:math:`\dot w = 2 w e` is a Riccati equation, which is solved here. ``|u|^2 - |v|^2`` is conserved because the factors
cancel.

All formulas are derived for this course. They contain the balanced sigmoid of Saxe, McClelland and Ganguli (2014).
The bounds and laws that these solutions illustrate are in `regimes.theory.min_norm`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Modes", "half_time", "orthogonal_flow", "plane_path", "scalar_flow", "scalar_rate"]


class Modes(NamedTuple):
    """Squared norms of the two layers and their product, mode by mode; each ``(..., j)``."""

    u: Tensor
    v: Tensor
    product: Tensor


def scalar_flow(u0, v0, y, t) -> tuple[Tensor, Tensor]:
    r"""``u`` and ``v`` of the network ``u v`` under the gradient flow of ``(y - u v)^2 / 2``, from any start.

    :math:`u \pm v = (u_0 \pm v_0) w^{\pm 1/2}` with ``w`` as in `_growth`. Arguments are numbers or tensors that broadcast;
    ``t`` may be infinite. Starts with ``v0 = -u0`` and ``y > 0`` run into the saddle at zero and stay there.

    >>> [round(x.item(), 6) for x in scalar_flow(0.5, -0.2, 2.0, 1e9)]
    [1.451811, 1.37759]
    """
    u0, v0, y, t = _double(u0, v0, y, t)
    plus, minus = u0 + v0, u0 - v0
    up, down = (value.clamp(min=torch.finfo(value.dtype).tiny).sqrt() for value in _growth(plus**2 / 4, minus**2 / 4, y, t))
    plus, minus = plus * (up / down), minus * (down / up)
    return (plus + minus) / 2, (plus - minus) / 2


def scalar_rate(u0, v0, y) -> Tensor:
    """The final rate at which the loss of `scalar_flow` falls, ``2 sqrt((u0^2 - v0^2)^2 + 4 y^2)``."""
    u0, v0, y = _double(u0, v0, y)
    return 2 * torch.hypot((u0 - v0) * (u0 + v0), 2 * y)


def half_time(u0, v0, y) -> Tensor:
    """The time at which `scalar_flow` has ``u v = y / 2``.

    Zero where it starts at or beyond that; infinite from ``v0 = -u0`` with ``y > 0``, which never leaves the saddle (and
    from ``v0 = u0`` with ``y < 0``).

    Raises:
        ValueError: if ``y`` is zero somewhere.

    >>> round(half_time(0.5, -0.5 + 1e-3, 1.0).item(), 2)
    7.49
    """
    u0, v0, y = _double(u0, v0, y)
    if (y == 0).any():
        raise ValueError("half of the target is reached at some time only if y is not zero; got y = 0")
    v0, y = v0 * y.sign(), y.abs()  # u v -> y and u (-v) -> -y are the same flow
    twice_P, half_gap = (u0 + v0) ** 2 / 2, (u0 - v0) * (u0 + v0) / 2
    speed, halfway = torch.hypot(y, half_gap), y / 2 + torch.hypot(y / 2, half_gap)
    small = half_gap**2 / (speed + y)
    left = (speed + y - halfway) * (twice_P + small) / ((halfway + small) * (speed + y - twice_P))  # exp(-2 speed t)
    return torch.where(u0 * v0 >= y / 2, 0.0, -left.log() / (2 * speed))


def orthogonal_flow(a, b, sigma, t) -> Modes:
    r"""The modes of a wider network from ``U1 U1^T = a^2``, ``V V^T = b^2``, ``U1 V^T = 0``, on data with ``s = 1``.

    With :math:`Y_t = \sum_j \sigma_j p_j q_j^T` the flow splits into ``u_j = U1^T p_j`` and ``v_j = V^T q_j``, each
    with its own ``w``: :math:`|u_j|^2 = a^2 + g`, :math:`|v_j|^2 = b^2 + g`, :math:`u_j \cdot v_j = P (w - 1/w)` with
    :math:`P = (a^2 + b^2)/4` and :math:`g = P (w - 1)^2 / w`. At the end
    :math:`|v_j|^2 = \frac12[\sqrt{(a^2 + b^2)^2 + 4\sigma_j^2} - a^2 + b^2]`.

    Args:
        a: size of the first layer.
        b: size of the last layer.
        sigma: ``(..., j)``, singular values of ``Yt``; a zero for each row of ``U1`` or ``V`` without a partner.
        t: ``(..., 1)`` or a number; may be infinite.

    >>> round(orthogonal_flow(1.0, 1.0, 0.75, torch.inf).v.item(), 12)
    1.25
    """
    a, b, sigma, t = _double(a, b, sigma, t)
    P = (a**2 + b**2) / 4
    n, g = _growth(P, P, sigma, t)
    growth = P * (n - g) ** 2 / (n * g)
    return Modes(a**2 + growth, b**2 + growth, P * (n / g - g / n))


def plane_path(u0: Tensor, v0: Tensor, u2: Tensor, y: float, angle: float, points: int = 200) -> Tensor:
    r"""Where ``Theta = U V^T`` goes in the plane: two inputs, one sample along ``angle``, one output, any width.

    With :math:`w = e^{2\theta}`, ``u1`` and ``v`` are turned by a Lorentz boost: :math:`v = u_0 \sinh\theta + v_0 \cosh\theta`.
    Along the sample ``Theta`` is :math:`u_1 \cdot v = P w - M/w` with :math:`P = |u_0 + v_0|^2/4`, :math:`M = |u_0 - v_0|^2/4`;
    across it is :math:`u_2 \cdot v`, with ``u2`` frozen. Gradient flow and Gauss-Newton flow follow the same path.

    Args:
        u0: ``(m,)``, first layer along the sample, at the start.
        v0: ``(m,)``, last layer, at the start.
        u2: ``(m,)``, first layer across the sample.
        y: target of a sample of length one; the line of solutions has this distance from zero.
        angle: of the sample, in radians.
        points: number of points, evenly spaced along the sample.

    Returns:
        ``(points, 2)``, from the start to where the flow ends: on the line of solutions, or at zero from ``v0 = -u0`` with
        ``y > 0`` (``v0 = u0`` with ``y < 0``). The min-norm solution is ``y (cos angle, sin angle)``.
    """
    P, M = (u0 + v0).square().sum() / 4, (u0 - v0).square().sum() / 4
    stuck = (P == 0 and y > 0) or (M == 0 and y < 0)
    along = torch.linspace(0, 1, points, dtype=u0.dtype, device=u0.device)
    along = torch.lerp(u0 @ v0, torch.zeros_like(P) if stuck else P.new_tensor(y), along)
    root = torch.hypot(along, 2 * P.sqrt() * M.sqrt())
    rising = torch.where(along == 0, P > M, along > 0)
    tiny = torch.finfo(u0.dtype).tiny
    up = torch.where(rising, root + along, 2 * M).clamp(min=tiny).sqrt()
    down = torch.where(rising, 2 * P, root - along).clamp(min=tiny).sqrt()
    across = (u2 @ (u0 + v0) * (up / down) - u2 @ (u0 - v0) * (down / up)) / 2
    cos, sin = torch.as_tensor(angle, dtype=u0.dtype).cos(), torch.as_tensor(angle, dtype=u0.dtype).sin()
    return torch.stack([along * cos - across * sin, along * sin + across * cos], -1)


def _growth(P: Tensor, M: Tensor, y: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    r"""Numerator and denominator of ``w(t)``, the solution of :math:`\dot w = 2 w (y - P w + M / w)` from ``w(0) = 1``.

    With :math:`k = \sqrt{y^2 + 4PM}`, :math:`z = e^{-2kt}`, :math:`T = (1 - z)/k`: :math:`w = \frac{(k + y + 2M) T + 2z}
    {(k - y + 2P) T + 2z}`. No term is negative, and the smaller of ``k + y`` and ``k - y`` is computed as ``4 P M`` over
    the larger, so nothing cancels and nothing overflows.
    """
    cross = 2 * P.sqrt() * M.sqrt()
    k = torch.hypot(y, cross).clamp(min=1e-150)  # where nothing moves, k = 0: T is then its limit 2 t, not 0 / 0
    large, z = k + y.abs(), torch.exp(-2 * k * t)
    small, T = cross**2 / large, -torch.expm1(-2 * k * t) / k
    rise, fall = torch.where(y < 0, small, large), torch.where(y < 0, large, small)
    return (rise + 2 * M) * T + 2 * z, (fall + 2 * P) * T + 2 * z


def _double(*values) -> list[Tensor]:
    return [torch.as_tensor(value, dtype=torch.float64) for value in values]

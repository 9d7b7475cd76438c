r"""The edge of stability: what can be computed by hand.

Gradient descent with step size :math:`\eta`, on a quadratic and on two losses of two numbers. ``S`` is the sharpness, the
largest eigenvalue of the Hessian, and :math:`\eta S / 2` the *stability number*.

Sources: Cohen et al. 2021 for the question; Lewkowycz et al. 2020 for the catapult; Zhu et al. 2023 for the loss of degree
four. The formulas are derived for this course.
"""

import math

import torch
from torch import Tensor

__all__ = [
    "catapult_limit",
    "degree_four_end",
    "degree_four_number",
    "degree_four_swing",
    "imbalance_after",
    "quadratic_factor",
    "valley",
]


def quadratic_factor(t: Tensor, eta: float | Tensor, curvature: float | Tensor) -> Tensor:
    r"""``|x_t| / |x_0| = |1 - eta lambda|^t`` along an eigenvector of a quadratic, exactly.

    Below one for :math:`0 < \eta < 2/\lambda`, one at :math:`2/\lambda`, and growing without end beyond.

    >>> [round(quadratic_factor(2000, eta, 1.0).item(), 3) for eta in (2.0, 2.0002)]
    [1.0, 1.492]
    """
    t, eta, curvature = _double(t, eta, curvature)
    return (1 - eta * curvature).abs() ** t


def imbalance_after(start: float | Tensor, residuals: Tensor, eta: float | Tensor) -> Tensor:
    r"""``u^2 - v^2`` along gradient descent on :math:`\frac12 (uv - 1)^2`, from its start and the residuals ``r = uv - 1``.

    One step multiplies ``u + v`` by :math:`1 - \eta r` and ``u - v`` by :math:`1 + \eta r`, hence exactly

    .. math:: (u^2 - v^2)_{t+1} = (u^2 - v^2)_t\, (1 - \eta^2 r_t^2).

    The flow conserves the imbalance; large steps reduce it.

    Args:
        start: ``u^2 - v^2`` at initialisation.
        residuals: ``(t, ...)``, at the steps 0, ..., t - 1.
        eta: step size.

    Returns:
        ``(t + 1, ...)``.
    """
    start, residuals, eta = _double(start, residuals, eta)
    factors = torch.cumprod(1 - (eta * residuals) ** 2, 0)
    return start * torch.cat([torch.ones_like(factors[:1]), factors])


def catapult_limit(sharpness: float) -> float:
    r"""The step :math:`4/S` up to which a product ``u v`` that starts beyond its edge is thrown into a flatter valley.

    For the loss :math:`\frac12 (uv)^2` the steps of ``f = u v`` and ``q = u^2 + v^2`` close:
    :math:`q_{t+1} = q + \eta f^2 (\eta q - 4)`. So ``q``, which is the sharpness at ``f = 0``, falls at every step if
    :math:`\eta q < 4`, and grows if not. For a target other than zero it is a rule of thumb.
    """
    return 4 / sharpness


def valley(number: float, eta: float) -> float:
    r"""Where the valley ``x y = 1`` of :math:`\frac14 (x^2y^2 - 1)^2` has a given stability number: ``x >= 1`` there.

    The sharpness on ``(x, 1/x)`` is :math:`S = 2 (x^2 + x^{-2})`, at least 4.

    Raises:
        ValueError: if the number is below ``2 eta``: no place in the valley is that flat.

    >>> round(valley(1.0, 0.2), 4), round(valley(0.4, 0.2), 6)
    (2.1889, 1.0)
    """
    half = number / eta / 2  # (x^2 + x^-2) / 2
    if half < 1 - 1e-12:
        raise ValueError(f"the valley is flattest at (1, 1), with the stability number 2 eta = {2 * eta:g}; got {number:g}")
    return math.exp(math.acosh(max(half, 1.0)) / 2)


def degree_four_end(eta: float) -> float:
    r"""The stability number :math:`1 - \eta^2/4` at which gradient descent on :math:`\frac14 (x^2y^2 - 1)^2` comes to rest.

    To leading order in :math:`\eta`, from any start in a valley that is sharper. With ``p = xy``, ``q = x^2 + y^2`` and
    ``g = p (p^2 - 1)`` the steps are exactly :math:`p' = p (1 + \eta^2g^2) - \eta g q` and
    :math:`q' = q (1 + \eta^2g^2) - 4 \eta g p`. Write :math:`\eta q = 1 + \delta` (the stability number of the valley) and
    :math:`p = 1 + e`. Two steps change, to leading order, :math:`a = e^2` by :math:`(8\delta - 32a)\,a` and :math:`\delta` by
    :math:`-8\eta^2 a`. The oscillation follows :math:`\delta` on the line :math:`a = (\delta + \eta^2/4)/4`, and dies where
    that is zero.
    """
    return 1 - eta**2 / 4


def degree_four_number(t: Tensor, eta: float, start: float) -> Tensor:
    r"""The stability number while it settles: its distance from `degree_four_end` falls as :math:`e^{-\eta^2 t}`.

    From :math:`\delta' - \delta = -4\eta^2 a = -\eta^2 (\delta + \eta^2/4)` a step. To leading order: for small steps, near
    the end.

    Args:
        t: number of steps.
        eta: step size.
        start: the stability number at ``t = 0``, not far above one.
    """
    (t,), end = _double(t), degree_four_end(eta)
    return end + (start - end) * torch.exp(-(eta**2) * t)


def degree_four_swing(number: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    r"""The two values between which ``xy`` swings at a stability number: :math:`1 - \frac32 a \mp \sqrt a`.

    With :math:`a = (\delta + \eta^2/4)/4`; the middle is below one because a step is :math:`e' = -e - 3e^2` there.
    """
    (number,) = _double(number)
    a = (number - degree_four_end(eta)).clamp(min=0) / 4
    return 1 - 1.5 * a - a.sqrt(), 1 - 1.5 * a + a.sqrt()


def _double(*values) -> list[Tensor]:
    return [torch.as_tensor(value, dtype=torch.float64) for value in values]

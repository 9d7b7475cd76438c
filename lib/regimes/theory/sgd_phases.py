r"""The phases of one-pass SGD in high dimension, and the heights of its plateaus.

Learning rate and width scale with the number of inputs: :math:`\gamma = \gamma_0 d^{-\delta}`, :math:`p = p_0 d^{\kappa}`, so
that the step :math:`\eta = \gamma/p = (\gamma_0/p_0)\, d^{-(\kappa+\delta)}`. Committees are means of erf units, as in
`regimes.theory.online_sgd`.

Source: Veiga et al. 2022 for regions and times; the heights are derived from their ODE.
"""

import math

import numpy as np
from scipy.optimize import brentq

from regimes.theory.online_sgd import coefficients, covariance, drift, noise

__all__ = [
    "PHASES",
    "critical_eta",
    "fluctuation_exponent",
    "noise_plateau",
    "phase",
    "published_phase",
    "specialisation_rate",
    "start_risk",
    "step_to_time",
    "unspecialised_plateau",
]

PHASES = ("perfect learning", "plateau", "bad learning", "no ODE")
TOLERANCE = 1e-12  # exponents are sums of decimal fractions: 0.3 - 0.1 - 0.2 is not zero


def phase(kappa: float, delta: float) -> str:
    """The phase of a point of the diagram; one of `PHASES`.

    Perfect learning for ``kappa + delta > 0``, the plateau on the line of zero, bad learning down to ``-1/2``, and below, where
    single steps change the overlaps by amounts of order one, no ODE.

    Raises:
        ValueError: for ``kappa < 0``.

    >>> phase(0.5, 0), phase(0.3, -(0.1 + 0.2)), phase(1.25, -1.5), phase(0, -0.5)
    ('perfect learning', 'plateau', 'bad learning', 'no ODE')
    """
    if kappa < 0:
        raise ValueError(f"the width grows as d^kappa with kappa >= 0; got {kappa}")
    return _of(kappa + delta, lowest=-0.5)


def published_phase(kappa: float, delta: float) -> str:
    """The same, by the condition in the published code: bad learning for ``kappa < -delta < (kappa + 1) / 2``.

    It agrees with `phase` at ``kappa = 0``; from ``kappa = 1`` on it has no bad learning.
    """
    return _of(kappa + delta, lowest=(kappa - 1) / 2)


def _of(total: float, lowest: float) -> str:
    if abs(total) < TOLERANCE:
        return "plateau"
    if total > 0:
        return "perfect learning"
    return "bad learning" if total > lowest + TOLERANCE else "no ODE"


def step_to_time(steps: float, d: int, kappa: float, delta: float) -> float:
    r"""The natural time of a phase after :math:`\nu` steps.

    .. math:: \nu / d^{1+\kappa+\delta}, \qquad\text{in bad learning}\quad \nu / d^{1+2(\kappa+\delta)}

    In the first two phases it is the sum of the step sizes, ``eta * steps / d``, up to the factor ``gamma_0 / p_0``.

    Raises:
        ValueError: where there is no ODE, and hence no time.
    """
    where, total = phase(kappa, delta), kappa + delta
    if where == "no ODE":
        raise ValueError(f"kappa + delta = {total:g} <= -1/2: single steps are of order one, so steps are not a time here")
    return steps / d ** (1 + (2 * total if where == "bad learning" else total))


def fluctuation_exponent(total: float) -> float:
    """The exponent of ``d`` in the distance between SGD and its ODE at ``kappa + delta = total``, in natural time.

    Half the exponent of one step in that time: ``-(1 + total) / 2``, in bad learning ``-(1 + 2 total) / 2``, which is zero at
    ``total = -1/2``.
    """
    return -(1 + (total if total >= 0 else 2 * total)) / 2


def start_risk(p: int, k: int) -> float:
    """The risk ``(1/p + 1/k) / 6`` of unit vectors orthogonal to each other and to the teacher (``Q = P = I``, ``M = 0``)."""
    return (1 / p + 1 / k) / 6


def unspecialised_plateau(k: int) -> float:
    r"""The risk :math:`\frac{1}{6k} - \frac1\pi \arcsin\frac1{2k}` where all student units are one and the same, at its best.

    Gradient flow; any width; orthonormal teacher. There ``Q = 1/(2k-1)`` and ``M = 1/sqrt(k(2k-1))``.

    >>> f"{unspecialised_plateau(4):.5e}"
    '1.77358e-03'
    """
    return 1 / (6 * k) - math.asin(1 / (2 * k)) / math.pi


def noise_plateau(eta: float | np.ndarray, label_noise: float) -> float | np.ndarray:
    r"""The risk that label noise leaves: :math:`\frac\Delta2 \frac{a}{1-a}`, :math:`a = \frac{\eta}{\pi\sqrt3} = 0.184\,\eta`.

    Near a solution with unit vectors SGD is linear regression with noise: each step adds ``eta^2 E[g'^2] (2R + Delta)`` to what
    drift removes in proportion to ``2 eta R``. To first order in the risk, and as if the error did not know the field of any
    one unit: exact for many units only. With one unit ``1 - a`` is ``1 - 3 a / sqrt(5)``, whose pole is ``critical_eta(1)``.

    Raises:
        ValueError: for ``eta >= pi sqrt(3) = 5.44``, where the sum diverges; the ODE is unstable before that (`critical_eta`).

    >>> f"{noise_plateau(1.0, 1e-3):.3e}"
    '1.126e-04'
    """
    a = eta / (math.pi * math.sqrt(3))
    if not np.all((a >= 0) & (a < 1)):
        raise ValueError(
            f"eta = {eta} has no noise plateau: with eta >= pi sqrt(3) = {math.pi * math.sqrt(3):.3g} a step adds more than "
            "the drift removes. Use a smaller learning rate or more units"
        )
    return label_noise / 2 * a / (1 - a)


def critical_eta(k: int) -> float:
    """The step at which the solution ``Q = M = I`` of ``p = k`` units loses its stability, without label noise.

    Beyond it SGD drives the norms up instead of learning. The rightmost eigenvalue of the linearised ODE is zero there.

    >>> round(critical_eta(1), 3), round(critical_eta(4), 3)
    (4.056, 4.998)
    """
    return brentq(lambda eta: _growth(np.eye(k), np.eye(k), eta), 1.0, math.pi * math.sqrt(3), xtol=1e-6)


def specialisation_rate(p: int, k: int) -> float:
    """The rate, per unit of time, at which a student on the plateau learns to distinguish the teacher units.

    For gradient flow at the unspecialised plateau: a start that distinguishes the units by ``d^(-1/2)`` leaves it after a time
    ``log(d) / (2 * rate)``, up to a constant.
    """
    return _growth(np.full((p, p), 1 / (2 * k - 1)), np.full((p, k), (k * (2 * k - 1)) ** -0.5), 0.0)


def _growth(Q: np.ndarray, M: np.ndarray, eta: float) -> float:
    """The largest real part of the eigenvalues of the ODE, linearised at a fixed point, without label noise."""
    (p, k), (i, j) = M.shape, np.triu_indices(len(M))
    # Central differences: with h = 1e-6 their error h^2 and the rounding 1e-16 / h are both far below the digits in use.
    c, start, h = coefficients(p, k), np.concatenate([Q[i, j], M.ravel()]), 1e-6

    def field(y):
        Q = np.zeros((p, p))
        Q[i, j] = Q[j, i] = y[: len(i)]
        omega = covariance(Q, y[len(i) :].reshape(p, k), np.eye(k))
        J = drift(omega, c, p)
        return np.concatenate([(J[:, :p] + J[:, :p].T)[i, j] + eta * noise(omega, c, i, j, 0.0), J[:, p:].ravel()])

    sides = h * np.eye(len(start))
    jacobian = np.stack([(field(start + s) - field(start - s)) / (2 * h) for s in sides], 1)
    return float(np.linalg.eigvals(jacobian).real.max())

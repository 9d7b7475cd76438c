r"""Gradient descent with a large step on the logistic loss: thresholds, bounds, rates.

Conventions: ``L`` is the mean of ``log(1 + exp(-y f))`` over ``n`` samples with inputs of length at most one; ``eta`` is the
step in the network's own time (the plain step is ``m eta`` in mean-field scaling, ``eta`` for logistic regression). ``lip`` and
``beta`` bound :math:`|\phi'|` and :math:`|\phi''|`, ``alpha`` is the smallest :math:`\phi'`, ``kappa`` bounds
:math:`|\phi(z) - z\phi'(z)|`; for logistic regression ``lip = alpha = 1``, ``beta = kappa = 0``. ``gamma`` is the margin of the
best plane.

Sources: Cai et al. 2024 for networks and Wu et al. 2024 (COLT) for logistic regression, where named; the rest is derived in a
few lines.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import lambertw
from torch import Tensor

__all__ = [
    "CONSTANTS",
    "Constants",
    "asymptotic_risk",
    "average_risk_bound",
    "first_rise",
    "leaky",
    "local_threshold",
    "logistic_average_bound",
    "stable_risk_bound",
    "stable_threshold",
    "transition_bound",
]


@dataclass(frozen=True)
class Constants:
    r"""What the theory asks of an activation.

    Attributes:
        kappa: :math:`\sup |\phi(z) - z\phi'(z)|`; infinite if there is no bound.
        at: the non-negative ``z`` where it is attained; infinite if only in the limit.
        alpha, lip: the infimum of :math:`\phi'` and the supremum of :math:`|\phi'|`.
        beta: :math:`\sup |\phi''|`; infinite for a kink.
    """

    kappa: float
    at: float
    alpha: float
    lip: float
    beta: float

    @property
    def suits(self) -> bool:
        """Whether all assumptions hold: a bounded gap, a bounded second derivative, a slope bounded away from zero."""
        return math.isfinite(self.kappa) and math.isfinite(self.beta) and self.alpha > 0


def _density(z: float) -> float:
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _gelu() -> Constants:
    """The gap is ``z^2 p(z)`` with the normal density ``p``, the slope ``Phi(z) + z p(z)``: both extremal at sqrt 2."""
    z = math.sqrt(2)
    lip = (1 + math.erf(z / math.sqrt(2))) / 2 + z * _density(z)
    return Constants(z * z * _density(z), z, 1 - lip, lip, 2 * _density(0))


def _silu() -> Constants:
    """The gap is ``z^2 s (1 - s)`` with the sigmoid ``s``, the slope ``s + z s (1 - s)``; extremal at ``z tanh(z/2) = 2``."""
    z = brentq(lambda z: z * math.tanh(z / 2) - 2, 2, 3, xtol=1e-14)
    s = 1 / (1 + math.exp(-z))
    lip = s + z * s * (1 - s)
    return Constants(z * z * s * (1 - s), z, 1 - lip, lip, 0.5)


def leaky(constants: Constants, slope: float = 0.5) -> Constants:
    """The constants of ``slope * z + (1 - slope) * phi(z)`` from those of ``phi``; the linear part has no gap or curvature."""
    c, rest = constants, 1 - slope
    return Constants(rest * c.kappa, c.at, slope + rest * c.alpha, slope + rest * c.lip, rest * c.beta)


CONSTANTS = {
    "identity": Constants(0.0, 0.0, 1.0, 1.0, 0.0),
    "softplus": Constants(math.log(2), 0.0, 0.0, 1.0, 0.25),
    "gelu": _gelu(),
    "silu": _silu(),
    "relu": Constants(0.0, 0.0, 0.0, 1.0, math.inf),
    "tanh": Constants(1.0, math.inf, 0.0, 1.0, 4 / (3 * math.sqrt(3))),
    "square": Constants(math.inf, math.inf, -math.inf, math.inf, 2.0),
}
CONSTANTS |= {f"leaky_{name}": leaky(CONSTANTS[name]) for name in ("softplus", "gelu")}


def stable_threshold(eta: float | Tensor, lip: float = 1.0, beta: float = 0.0) -> float | Tensor:
    r"""The risk below which every step lowers it, forever: :math:`W(2) / (\eta (\mathrm{Lip}^2 + \beta))`, ``W(2) = 0.853``.

    With ``c = eta (lip^2 + beta) L`` a step changes the risk by at most
    :math:`-\tilde\eta |\nabla L|^2 (1 - \frac12 c e^c)`. The bracket is positive while ``c e^c < 2``, that is ``c < W(2)`` with
    Lambert's W. For inputs of length at most ``R`` give ``lip * R`` and ``beta * R ** 2``.

    Raises:
        ValueError: for a step that is not positive.

    >>> round(stable_threshold(1.0), 4), round(stable_threshold(1.0, lip=1.0, beta=0.125), 4)
    (0.8526, 0.7579)
    """
    return _lambert(2) / (_positive(eta, "the step eta") * (lip**2 + beta))


def local_threshold(eta: float | Tensor, lip: float = 1.0, beta: float = 0.0) -> float | Tensor:
    r"""The risk below which the curvature is below ``2 / eta``: :math:`2 / (\eta (\mathrm{Lip}^2 + \beta))`.

    From ``|ddL| <= (lip^2 + beta) L``, in the network's time scale. It says nothing about the whole step.
    """
    return 2 / (_positive(eta, "the step eta") * (lip**2 + beta))


def stable_risk_bound(t: Tensor, eta: float, gamma: float, alpha: float = 1.0) -> Tensor:
    r"""A bound on the risk ``t`` steps after it came below :math:`W(1)/(\eta(\mathrm{Lip}^2+\beta))` and :math:`\log 2 / n`.

    :math:`L \le 8 / (\alpha^2\gamma^2\eta t)`: each step lowers the risk by :math:`\eta\alpha^2\gamma^2 L^2 / 8` at least,
    because ``1 - c e^c / 2 >= 1/2``, ``|dL| >= alpha gamma mean|l'|``, and ``|l'| >= l / 2`` where the sample is on the right
    side.
    """
    return 8 / (alpha**2 * gamma**2 * eta * torch.as_tensor(t, dtype=torch.float64))


def average_risk_bound(
    t: Tensor, eta: float | Tensor, gamma: float | Tensor, alpha: float = 1.0, kappa: float = 0.0, start: float | Tensor = 0.0
) -> Tensor:
    r"""A bound on the mean of the risks of the first ``t`` iterates, oscillating or not, for inputs of length at most one.

    .. math:: \frac1t\sum_{k<t} L(W_k) \le
        \frac{1 + (4\log^2(\gamma^2\eta t) + 4\kappa^2 + \eta^2/2)/\alpha^2}{\gamma^2\eta t} + \frac{|W_0|^2}{m \eta t}

    Holds once :math:`\gamma^2\eta t \ge 1`; infinite before that. All arguments broadcast.

    Args:
        t: numbers of steps, at least one.
        eta, gamma, alpha, kappa: see above.
        start: :math:`|W_0|^2 / m`.

    Source: derived by the method of Cai et al. 2024, section 4, whose constants differ.
    """
    x = gamma**2 * eta * torch.as_tensor(t, dtype=torch.float64)
    top = 1 + (4 * x.log().square() + 4 * kappa**2 + eta**2 / 2) / alpha**2
    return torch.where(x >= 1, (top + gamma**2 * start) / x, math.inf)


def logistic_average_bound(t: Tensor, eta: float | Tensor, gamma: float | Tensor) -> Tensor:
    r"""The same for logistic regression from ``w = 0``: :math:`(1 + \log^2(\gamma^2\eta t) + \eta^2/4) / (\gamma^2\eta t)`.

    Source: Wu et al. 2024 (COLT).
    """
    x = gamma**2 * eta * torch.as_tensor(t, dtype=torch.float64)
    return torch.where(x >= 1, (1 + x.log().square() + eta**2 / 4) / x, math.inf)


def transition_bound(eta: float | Tensor, gamma: float | Tensor, n: int) -> Tensor:
    r"""The number of steps after which logistic regression is in its stable phase at the latest.

    .. math:: \frac{60}{\gamma^2}\max\{\eta, n, e, \frac{\eta+n}{\eta}\log\frac{\eta+n}{\eta}\}

    Source: Wu et al. 2024 (COLT).
    """
    eta, gamma = (torch.as_tensor(value, dtype=torch.float64) for value in (eta, gamma))
    ratio = (eta + n) / eta
    return 60 / gamma**2 * torch.maximum(eta, ratio * ratio.log()).clamp(min=max(n, math.e))


def asymptotic_risk(t: Tensor, eta: float | Tensor, margin: float | Tensor) -> Tensor:
    r"""The risk of a stable run with a fixed step, late in training: :math:`L \approx 1 / (\eta\, \bar\gamma^2 t)`.

    By then all samples that matter have the same ``q``, growing by :math:`\eta\bar\gamma^2 e^{-q}` per step, so
    :math:`e^q \approx \eta\bar\gamma^2 t`. ``margin`` is the normalised margin the run tends to; for logistic regression
    ``gamma``.
    """
    return 1 / (eta * margin**2 * torch.as_tensor(t, dtype=torch.float64))


def first_rise(gamma: float) -> float:
    r"""The step size at which the *first* step on the two points of `two_points`, from ``w = 0``, leaves the risk unchanged.

    It leads to :math:`q_1 = \eta(\gamma^2/2 + c^2/8)` and :math:`q_2 = \eta(\gamma^2/2 - c^2/16)` with ``c^2 = 1 - gamma^2``;
    solved for :math:`\ell(q_1) + \ell(q_2) = 2 \log 2`. Any larger step raises the risk at once.

    Raises:
        ValueError: unless ``0 < gamma < 1/3``; beyond, no step raises it.

    >>> round(first_rise(0.05), 2)
    14.72
    """
    if not 0 < gamma < 1 / 3:
        raise ValueError(f"gamma must lie strictly between 0 and 1/3; got {gamma}")
    a, b = gamma**2 / 2 + (1 - gamma**2) / 8, gamma**2 / 2 - (1 - gamma**2) / 16
    return brentq(lambda eta: np.logaddexp(0, -eta * a) + np.logaddexp(0, -eta * b) - 2 * math.log(2), 1.0, 1e6)


def _lambert(value: float) -> float:
    return float(lambertw(value).real)


def _positive(value, what: str):
    if not bool(torch.all(torch.as_tensor(value) > 0)):
        raise ValueError(f"{what} must be positive; got {value}")
    return value

r"""Gradient descent and Gauss-Newton in function space: rates, envelopes, step counts.

Conventions: squared loss ``L = |r|^2 / 2n``, kernel ``K = c J J^T``, Gauss-Newton flow
:math:`\dot r = -K (K + \epsilon)^{-1} r`, gradient flow :math:`\dot r = -K r / n`. ``t`` is the time of the flow; a step of
size ``eta`` takes the time ``eta``.

Source: Arbel et al. 2023 for the statement that conditioning drops out; each formula follows from the flows in one line.
"""

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "damped_envelope",
    "descent_bound",
    "discrete_rate",
    "flow_loss",
    "frozen_residual",
    "random_feature_prediction",
    "shrinkage",
    "step_envelope",
    "step_loss",
    "steps_to",
]


def flow_loss(t: Tensor) -> Tensor:
    """``L(t) / L(0) = exp(-2 t)`` under the undamped Gauss-Newton flow, whatever the conditioning."""
    return torch.exp(-2 * torch.as_tensor(t))


def discrete_rate(eta: float) -> float:
    """The rate at which ``log L`` falls per unit of time with steps of size ``eta``: ``-2 ln(1 - eta) / eta``.

    It follows from ``r <- (1 - eta) r`` at each step, and tends to 2 for small steps.

    Raises:
        ValueError: unless ``0 < eta < 1``.

    >>> round(discrete_rate(0.02), 4)
    2.0203
    """
    _unit(eta)
    return float(-2 * np.log1p(-eta) / eta)


def step_loss(k: Tensor, eta: float) -> Tensor:
    """``L_k / L_0 = (1 - eta)^(2 k)`` after ``k`` undamped Gauss-Newton steps of size ``eta``, to first order in them."""
    return (1 - eta) ** (2 * torch.as_tensor(k, dtype=torch.float64))


def shrinkage(k: Tensor, eta: float) -> Tensor:
    """The share ``1 - (1 - eta)^k`` of the targets that the outputs have reached after ``k`` undamped steps from ``f = 0``.

    The outputs on the training data are then the targets times this one number, to first order in the step.
    """
    return 1 - (1 - eta) ** torch.as_tensor(k, dtype=torch.float64)


def steps_to(tolerance: float, eta: float) -> int:
    """Steps of size ``eta`` until ``L / L_0 <= tolerance``: ``ceil(ln(tolerance) / (2 ln(1 - eta)))``.

    Raises:
        ValueError: unless both lie strictly between 0 and 1.

    >>> steps_to(1e-3, 0.02), steps_to(1e-6, 0.1)
    (171, 66)
    """
    _unit(eta)
    _unit(tolerance)
    return int(np.ceil(np.log(tolerance) / (2 * np.log1p(-eta))))


def damped_envelope(t: Tensor, lambda_min: float | Tensor, damping: float | Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper bound on ``L(t) / L(0)`` of the damped Gauss-Newton flow.

    ``exp(-2 t)`` and ``exp(-2 t lambda_min / (lambda_min + damping))``: each mode of the residual decays at a rate
    ``lambda / (lambda + damping)``. ``lambda_min`` is the smallest eigenvalue of ``K`` along the whole path.
    """
    t = torch.as_tensor(t)
    return flow_loss(t), torch.exp(-2 * _slowest(lambda_min, damping) * t)


def step_envelope(k: Tensor, eta: float, lambda_min: float | Tensor, damping: float | Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper bound on ``L_k / L_0`` after ``k`` damped Gauss-Newton steps of size ``eta``, to first order in them.

    Each mode of the residual is multiplied by ``1 - eta rho`` with ``rho = lambda / (lambda + damping)`` between its value
    at ``lambda_min`` and one. The lower bound is zero where some mode could be removed in one step (``eta rho = 1``).
    """
    k, slowest = torch.as_tensor(k), _slowest(lambda_min, damping)
    ends = torch.stack([1 - eta * slowest, torch.full_like(slowest, 1 - eta)])
    least = torch.where((ends[0] > 0) == (ends[1] > 0), ends.abs().amin(0), 0.0)
    return least ** (2 * k), ends.abs().amax(0) ** (2 * k)


def descent_bound(k: Tensor, lr: float, lambda_min: float | Tensor, n: int) -> Tensor:
    """The worst case of gradient descent, ``L_k / L_0 <= (1 - lr lambda_min / n)^(2 k)`` below half its stability limit.

    Reached only if all of the residual lies along the smallest eigenvalue; a bound, not a prediction.
    """
    return (1 - lr * torch.as_tensor(lambda_min, dtype=torch.float64) / n) ** (2 * torch.as_tensor(k))


def frozen_residual(K: Tensor, r0: Tensor, lr: float, n: int, steps: Tensor) -> Tensor:
    """The residual of gradient descent on a kernel that does not move, after each number of ``steps``.

    ``r_k = Q (1 - lr lambda / n)^k Q^T r_0`` for ``K = Q diag(lambda) Q^T``. Exact for a linear model and for a network
    whose hidden layer is frozen; for a network that learns features it is only a comparison.

    Args:
        K: ``(n, n)``, the kernel.
        r0: ``(n,)``, the initial residual.
        lr: step size.
        n: the number in the mean of the loss.
        steps: ``(k,)``.

    Returns:
        ``(k, n)``.
    """
    lam, Q = torch.linalg.eigh(K)
    factors = (1 - lr * lam / n) ** torch.as_tensor(steps)[:, None]
    return (factors * (Q.mT @ r0)) @ Q.mT


def random_feature_prediction(features: Tensor, y: Tensor, new_features: Tensor, cutoff: float = 1e-12) -> Tensor:
    """What the shortest last layer that fits ``y`` on fixed features predicts elsewhere.

    From a network with ``v = 0``, one full undamped Gauss-Newton step lands exactly here.

    Args:
        features: ``(n, m)``.
        y: ``(n,)``.
        new_features: ``(n_new, m)``.
        cutoff: singular values below this fraction of the largest are dropped.
    """
    return new_features @ (torch.linalg.pinv(features, rtol=cutoff) @ y)


def _slowest(lambda_min: float | Tensor, damping: float | Tensor) -> Tensor:
    """``lambda_min / (lambda_min + damping)``, and 1 without damping, also on a kernel that rounding makes singular."""
    lam, eps = (torch.as_tensor(value, dtype=torch.float64) for value in (lambda_min, damping))
    return torch.where(eps == 0, 1.0, lam / (lam + eps).clamp(min=torch.finfo(lam.dtype).tiny))


def _unit(value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"a number strictly between 0 and 1 is needed here; got {value}")

"""Gradient descent on two points, for exercises 3 to 5: plain Python, one run."""

import math

import torch
from torch import Tensor

__all__ = ["walk"]


def walk(gamma: float, eta: float, steps: int) -> Tensor:
    """The logistic risk of ``(gamma, c)`` and ``(gamma, -c/2)``, both labelled +1, at each step from zero: ``(steps + 1,)``.

    >>> walk(0.05, 32.0, 2)
    tensor([0.6931, 1.0525, 1.4639], dtype=torch.float64)
    """
    c = math.sqrt(1 - gamma**2)
    return descend(((gamma, c), (gamma, -c / 2)), eta, steps)


def descend(points: tuple[tuple[float, float], ...], eta: float, steps: int) -> Tensor:
    """The same for two points ``z_i = y_i x_i`` of any kind."""
    (p1, p2), (r1, r2) = points
    w1 = w2 = 0.0
    losses = []
    for _ in range(steps + 1):
        q, r = p1 * w1 + p2 * w2, r1 * w1 + r2 * w2
        losses.append((_loss(q) + _loss(r)) / 2)
        s, t = _sigmoid(-q), _sigmoid(-r)
        w1, w2 = w1 + eta * (s * p1 + t * r1) / 2, w2 + eta * (s * p2 + t * r2) / 2
    return torch.tensor(losses, dtype=torch.float64)


def _loss(q: float) -> float:
    """``log(1 + e^-q)``; ``math.exp`` of a negative number never overflows."""
    return math.log1p(math.exp(-q)) if q >= 0 else math.log1p(math.exp(q)) - q


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))

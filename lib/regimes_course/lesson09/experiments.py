"""Gradient descent on two points, plain Python, one run: for the first picture, the widget and the exercises."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from regimes.metrics import rises
from regimes.problems import separation

__all__ = [
    "descend",
    "drawn",
    "edges",
    "ends",
    "mistakes",
    "monotone",
    "most_mistakes",
    "one_point",
    "path",
    "perceptron",
    "walk",
]


def walk(gamma: float, eta: float, steps: int) -> Tensor:
    """The logistic risk of ``(gamma, c)`` and ``(gamma, -c/2)``, both labelled +1, at each step from zero: ``(steps + 1,)``.

    >>> walk(0.05, 32.0, 2)
    tensor([0.6931, 1.0525, 1.4639], dtype=torch.float64)
    """
    return path(gamma, eta, steps)[1]


def path(gamma: float, eta: float, steps: int, start: Sequence[float] = (0.0, 0.0)) -> tuple[Tensor, Tensor]:
    """The weights ``(steps + 1, 2)`` as well. Along the first axis the points agree, along the second they disagree."""
    c = math.sqrt(1 - gamma**2)
    return _descend(((gamma, c), (gamma, -c / 2)), eta, steps, start)


def perceptron(gamma: float) -> int:
    """How many steps the batch perceptron takes on the two points; a point on the plane, as at the start, is half wrong.

    >>> [perceptron(gamma) for gamma in (0.05, 0.1, 0.2)]
    [52, 13, 4]
    """
    c, w1, w2 = math.sqrt(1 - gamma**2), 0.0, 0.0
    for steps in range(round(2 / gamma**2) + 2):  # its bound
        q, r = gamma * w1 + c * w2, gamma * w1 - c * w2 / 2
        s, t = (0.5 if z == 0 else float(z < 0) for z in (q, r))
        if s == t == 0:
            return steps
        w1, w2 = w1 + gamma * (s + t) / 2, w2 + c * (s - t / 2) / 2
    raise AssertionError("the perceptron took more steps than its bound")


def monotone(gamma: float, eta: float, steps: int = 500) -> bool:
    """Whether no step raises the risk."""
    return not bool(rises(walk(gamma, eta, steps)).any())


def ends(gamma: float, etas: Tensor, steps: Tensor) -> Tensor:
    """The last risks of runs with the steps ``etas`` ``(rules, k)`` for so many ``steps`` ``(k,)``."""
    runs = [[walk(gamma, eta, int(T))[-1] for eta, T in zip(row, steps, strict=True)] for row in etas.tolist()]
    return torch.tensor(runs, dtype=torch.float64)


def drawn(seed: int, *ranges: tuple[float, float]) -> list[float]:
    """A number from each range, uniform in its logarithm."""
    u = torch.rand(len(ranges), generator=torch.Generator().manual_seed(seed)).tolist()
    return [low * (high / low) ** share for (low, high), share in zip(ranges, u, strict=True)]


def mistakes(seed: int, n: int, steps: int) -> tuple[float, float, int]:
    """Gradient descent from zero on ``n`` random points of length one in space, labelled by a random plane.

    Returns:
        The margin, a step drawn from 1 to 10,000, and how many of the steps began with a point on the wrong side.
    """
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=rng, dtype=torch.float64)
    x, y = x / x.norm(dim=1, keepdim=True), (x @ torch.randn(3, generator=rng, dtype=torch.float64)).sign()
    (eta,), w, count = drawn(seed, (1.0, 1e4)), torch.zeros(3, dtype=torch.float64), 0
    for _ in range(steps):
        q = y * (x @ w)
        count += int((q <= 0).any())
        w = w + eta * (torch.sigmoid(-q) * y) @ x / n
    return separation(x, y).margin, eta, count


def most_mistakes(n: int, gamma: float, eta: float, steps: int) -> float:
    """A bound on that number of steps, derived in the lesson's deeper notebook."""
    return 2 * n / gamma**2 * (0.5 + math.sqrt(0.25 + 0.56 * gamma**2 * steps / eta))


def one_point(gamma: float, eta: float, steps: int) -> float:
    """The last risk over what is predicted for it at the first step from which on no step can raise it.

    Predicted is that the point that is the less right one there counts alone: ``1/L`` grows by ``eta |x|^2`` a step.
    """
    weights, risk = path(gamma, eta, steps)
    k = int((risk <= 0.852 / eta).int().argmax())
    below = bool(weights[k, 1] < 0)  # then the first point, which pulls up, is the less right one
    square = 1.0 if below else gamma**2 + (1 - gamma**2) / 4
    return risk[-1].item() * (1 / risk[k].item() + eta * square * (steps - k))


def edges(gamma: float) -> tuple[float, float]:
    """The slopes of the two lines through the origin between which both points are on the right side."""
    c = math.sqrt(1 - gamma**2)
    return -gamma / c, 2 * gamma / c


def descend(points: tuple[tuple[float, float], ...], eta: float, steps: int) -> Tensor:
    """The risks for two points ``z_i = y_i x_i`` of any kind."""
    return _descend(points, eta, steps)[1]


def _descend(
    points: tuple[tuple[float, float], ...], eta: float, steps: int, start: Sequence[float] = (0.0, 0.0)
) -> tuple[Tensor, Tensor]:
    (p1, p2), (r1, r2) = points
    w1, w2 = start
    weights, losses = [], []
    for _ in range(steps + 1):
        q, r = p1 * w1 + p2 * w2, r1 * w1 + r2 * w2
        weights.append((w1, w2))
        losses.append((_loss(q) + _loss(r)) / 2)
        s, t = _sigmoid(-q), _sigmoid(-r)
        w1, w2 = w1 + eta * (s * p1 + t * r1) / 2, w2 + eta * (s * p2 + t * r2) / 2
    return torch.tensor(weights, dtype=torch.float64), torch.tensor(losses, dtype=torch.float64)


def _loss(q: float) -> float:
    """``log(1 + e^-q)``; ``math.exp`` of a negative number never overflows."""
    return math.log1p(math.exp(-q)) if q >= 0 else math.log1p(math.exp(q)) - q


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))

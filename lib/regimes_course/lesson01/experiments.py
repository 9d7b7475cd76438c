"""What lesson 01 runs beside its pages: a network on two points, followed through the plane of its two outputs; and what its
exercises train."""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from regimes.networks import TwoLayer
from regimes.problems import Problem, teacher_student

__all__ = [
    "Path",
    "Watched",
    "circle",
    "descent",
    "follow",
    "fresh",
    "gauss_newton",
    "hessian",
    "initial",
    "newton",
    "outputs",
    "two_points",
]

Step = Callable[[Tensor, Tensor, Tensor], Tensor]  # parameters, Jacobian, residual: what is subtracted from the parameters


@dataclass(frozen=True)
class Path:
    """A training run on two points, from its start on: shorter than asked if a step could not be taken.

    Attributes:
        theta: ``(k + 1, p)``, parameters ``(w, b, v)``.
        f: ``(k + 1, n)``, outputs.
        loss: ``(k + 1,)``, squared residual as a share of that of the labels, which is the loss of answering zero.
    """

    theta: Tensor
    f: Tensor
    loss: Tensor

    def steps_to(self, tolerance: float) -> int | None:
        """The first step at which the loss is at most ``tolerance``; ``None`` if there is none."""
        below = (self.loss <= tolerance).nonzero()
        return int(below[0]) if len(below) else None


def two_points(distance: float = 0.3) -> tuple[Tensor, Tensor]:
    """Two inputs ``(2, 1)`` around one half, with the labels 1 and -0.4."""
    x = torch.tensor([[0.5 - distance / 2], [0.5 + distance / 2]], dtype=torch.float64)
    return x, torch.tensor([1.0, -0.4], dtype=torch.float64)


def initial(m: int = 100, seed: int = 1, output_std: float = 0.0) -> Tensor:
    """Parameters ``(w, b, v)`` of ``m`` units on one input, ``(3 m,)``: standard normal, ``v`` times ``output_std``."""
    draw = torch.Generator().manual_seed(seed)
    w, b, v = (torch.randn(m, generator=draw, dtype=torch.float64) for _ in range(3))
    return torch.cat([w, b, output_std * v])


def outputs(theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs ``(n,)`` of ``f(x) = sum_j v_j tanh(w_j x + b_j) / m`` and their Jacobian ``(n, 3 m)``, for inputs ``(n, 1)``."""
    w, b, v = theta.chunk(3)
    h = torch.tanh(x * w + b)
    gain = (1 - h**2) * v
    return h @ v / len(v), torch.cat([gain * x, gain, h], 1) / len(v)


def hessian(theta: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The two terms of the Hessian of ``|f - y|^2 / 2n``, each ``(3 m, 3 m)``: ``J^T J / n``, and the sum of residuals times
    the curvatures of the outputs, ``sum_i r_i Hess f_i / n``."""
    (w, b, v), (f, J) = theta.chunk(3), outputs(theta, x)
    h, r = torch.tanh(x * w + b), (f - y) / (len(v) * len(y))
    slope = 1 - h**2
    bend = -2 * h * slope * v
    ww, wb, bb, wv, bv = (torch.diag(r @ part) for part in (bend * x * x, bend * x, bend, slope * x, slope))
    rows = ([ww, wb, wv], [wb, bb, bv], [wv, bv, torch.zeros_like(bb)])
    return J.T @ J / len(y), torch.cat([torch.cat(row, 1) for row in rows])


def descent(theta: Tensor, J: Tensor, r: Tensor) -> Tensor:
    """A step of gradient descent at half of the current stability limit, which is ``n / lambda_max(K)``."""
    return J.T @ r / torch.linalg.eigvalsh(J @ J.T)[-1]


def gauss_newton(eta: float, damping: float = 0.0) -> Step:
    """A step of Gauss-Newton, ``eta m J^T (K + damping)^-1 r`` with ``K = m J J^T``; not finite where ``K`` is singular."""

    def step(theta: Tensor, J: Tensor, r: Tensor) -> Tensor:
        gram = J @ J.T + damping * 3 / len(theta) * torch.eye(len(r), dtype=J.dtype)
        solved, failed = torch.linalg.solve_ex(gram, r)
        return eta * J.T @ (solved * torch.nan if failed else solved)

    return step


def newton(eta: float, x: Tensor, y: Tensor) -> Step:
    """A step of Newton's method as it stands, without line search or repair of negative curvature."""
    return lambda theta, J, r: eta * torch.linalg.solve(sum(hessian(theta, x, y)), J.T @ r / len(r))


def follow(step: Step, theta: Tensor, x: Tensor, y: Tensor, steps: int, *, enough: float = 0.0, features: bool = True) -> Path:
    """Train until the loss is below ``enough`` or a step is not finite, on two points.

    Args:
        step: what is subtracted, ``step(theta, J, r)``.
        theta: where to start, ``(3 m,)``.
        x, y: ``(n, 1)``, ``(n,)``.
        steps: at most.
        enough: the loss to stop at, a share of that of answering zero.
        features: whether the hidden weights are trained too, and not ``v`` alone.
    """
    trained = torch.ones_like(theta)
    if not features:
        trained[: 2 * len(theta) // 3] = 0
    path, told = [theta], []
    while True:
        f, J = outputs(path[-1], x)
        told.append(f)
        if len(path) > steps or (f - y).square().sum() < enough * y.square().sum():
            break
        new = path[-1] - step(path[-1], J * trained, f - y)
        if not torch.isfinite(new).all():
            break
        path.append(new)
    f = torch.stack(told)
    return Path(torch.stack(path), f, (f - y).square().sum(-1) / y.square().sum())


def circle(n: int = 24, m: int = 400, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Angles ``(n,)`` of points on a circle, and what ``m`` random ReLU units say there, ``(n, m)``."""
    draw, t = torch.Generator().manual_seed(seed), torch.arange(n, dtype=torch.float64) * 2 * pi / n
    w, b = (torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in ((m, 2), (m,)))
    return t, torch.relu(torch.stack([t.cos(), t.sin()], 1) @ w.T + b)


def saturated(theta: Tensor, x: Tensor) -> float:
    """The share of units whose tanh is within a thousandth of 1 or -1 at all inputs ``(n, 1)``."""
    w, b, _ = theta.chunk(3)
    return (torch.tanh(x * w + b).abs() > 0.999).all(0).double().mean().item()


def fresh(seed: int) -> tuple[TwoLayer, Problem]:
    """The network and the problem of the exercise: d = 5, n = 60, m = 120, hidden weights of std 0.5, v = 0."""
    return TwoLayer(5, 120, std=0.5, seed=seed + 100), teacher_student(60, 5, teacher_width=2, seed=seed)


class Watched(TwoLayer):
    """A network that notes whether its hidden weights are the given ones when ``v``, zero at the start, has moved at last.

    While ``v`` is zero they have no derivative, so no training moves them before.
    """

    def hidden(self, x):
        """Features and slopes, as ever."""
        if self.given is None and bool(self.v.any()):
            self.given = torch.equal(self.W, self.first)
        return super().hidden(x)

"""The network of lesson 08 in closed form, for any number of runs at once: what its pictures, its widget and its evidence run.

Twenty tanh units in mean-field scaling fit a polynomial of degree three on twenty points. All parameters stand in one vector
``p = (w, b, v)``, runs first: ``(..., 60)``. Slopes and Hessians have the time scale of the width in them, as the library's
`GradientDescent` and `sharpness` have; a test compares both.
"""

from copy import copy

import torch
from torch import Tensor

from regimes.networks import TwoLayer
from regimes.problems import chebyshev

__all__ = [
    "END",
    "GRAIN",
    "Task",
    "central_flow",
    "crossing",
    "descend",
    "flow",
    "meter",
    "middle",
    "start",
]

END = 300.0  # the time of a run
GRAIN = 0.3  # a step of the flow


def start(seed: int | Tensor, width: int = 20) -> Tensor:
    """The parameters at initialisation, ``(..., 3 width)``: standard normal, those of a `TwoLayer` of the library."""
    seed = torch.as_tensor(seed)
    net = TwoLayer(1, width, activation="tanh", output_std=1.0, runs=tuple(seed.shape), seed=seed if seed.ndim else int(seed))
    return torch.cat([net.W[..., 0], net.W[..., 1], net.v], -1).detach()


class Task:
    """The polynomial on 20 points around ``shift``, and what a network makes of it.

    Args:
        shift: the middle of the inputs, which are an interval of length two.
    """

    def __init__(self, shift: float = 1.0):
        data = chebyshev(3)
        self.shift, self.x, self.y = shift, data.x[:, 0] + shift, data.y

    def batch(self, rows: Tensor) -> "Task":
        """The same on some of the points, ``(..., b)`` of them by run."""
        part = copy(self)
        part.x, part.y = self.x[rows], self.y[rows]
        return part

    def _hidden(self, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Output weights ``(..., m)``, features ``(..., n, m)``, residuals ``(..., n)``."""
        w, b, v = p.unflatten(-1, (3, -1)).unbind(-2)
        phi = torch.tanh(self.x[..., None] * w[..., None, :] + b[..., None, :])
        return v, phi, (phi @ v[..., None])[..., 0] / v.shape[-1] - self.y

    def loss(self, p: Tensor) -> Tensor:
        """Half the mean square of the residuals."""
        return self._hidden(p)[2].square().mean(-1) / 2

    def slope(self, p: Tensor) -> Tensor:
        """The gradient of `loss` times the width."""
        v, phi, r = self._hidden(p)
        r = r[..., None, :] / self.x.shape[-1]
        D = (1 - phi**2) * v[..., None, :]
        return torch.cat([(r * self.x[..., None, :]) @ D, r @ D, r @ phi], -1)[..., 0, :]

    def hessian(self, p: Tensor) -> Tensor:
        """The Hessian of `loss` times the width, ``(..., 3m, 3m)``."""
        v, phi, r = self._hidden(p)
        m, n, x = v.shape[-1], len(self.x), self.x[:, None]
        first = 1 - phi**2
        D, second = first * v[..., None, :], -2 * phi * first * v[..., None, :]
        J = torch.cat([D * x, D, phi], -1)
        H = J.mT @ J / (m * n)
        blocks = {(0, 0): second * x**2, (0, 1): second * x, (1, 1): second, (0, 2): first * x, (1, 2): first}
        for (i, j), values in blocks.items():  # second derivatives of the outputs: within a unit only
            diagonal = (r[..., None, :] @ values)[..., 0, :] / n
            for a, b in {(i, j), (j, i)}:
                H.diagonal(m * (b - a), -2, -1)[..., m * min(a, b) : m * min(a, b) + m].add_(diagonal)
        return H

    def sharpness(self, p: Tensor) -> Tensor:
        """The largest eigenvalue of the Hessian."""
        return torch.linalg.eigvalsh(self.hessian(p))[..., -1]

    def direction(self, p: Tensor) -> Tensor:
        """The eigenvector of the largest eigenvalue, ``(..., 3m)``; its sign is arbitrary."""
        return torch.linalg.eigh(self.hessian(p))[1][..., -1]

    def pull(self, p: Tensor, u: Tensor, h: float = 1e-3) -> Tensor:
        """The gradient of the sharpness, from the third derivative along its eigenvector ``u``; times the width."""
        return (self.slope(p + h * u) + self.slope(p - h * u) - 2 * self.slope(p)) / h**2


def descend(task: Task, p: Tensor, eta: float, steps: int) -> Tensor:
    """Gradient descent: ``(steps + 1, ..., 60)``. A run that diverges ends in NaN."""
    path = [p]
    for _ in range(steps):
        path.append(path[-1] - eta * task.slope(path[-1]))
    return torch.stack(path)


def flow(task: Task, p: Tensor, end: float = END) -> Tensor:
    """Gradient flow, by Runge-Kutta steps of `GRAIN`: ``(k, ..., 60)``."""
    path = [p]
    for _ in range(round(end / GRAIN)):
        p = path[-1]
        one = task.slope(p)
        two = task.slope(p - GRAIN / 2 * one)
        three = task.slope(p - GRAIN / 2 * two)
        path.append(p - GRAIN / 6 * (one + 2 * two + 2 * three + task.slope(p - GRAIN * three)))
    return torch.stack(path)


def middle(path: Tensor) -> Tensor:
    """The middle of the swing: a mean of three steps in a row, in which a swing of period two cancels."""
    return (path[:-2] + 2 * path[1:-1] + path[2:]) / 4


def central_flow(task: Task, p: Tensor, eta: float, end: float = END) -> tuple[Tensor, Tensor]:
    """Central flow in steps of half of ``eta``, for one direction at the edge: follow the loss, and beyond the edge step
    back along the gradient of the sharpness, as far as it takes. The centre ``(k, ..., 60)`` and its loss with the swing that
    this costs, ``(k, ...)``."""
    u, dt, centre, predicted = torch.ones_like(p), eta / 2, [], []
    for _ in range(round(end / dt)):
        p = p - dt * task.slope(p)
        Hu = (task.slope(p + 1e-3 * u) - task.slope(p - 1e-3 * u)) / 2e-3
        S = Hu.norm(dim=-1, keepdim=True)
        u = Hu / S  # power iteration: from the direction half a step before
        pull = task.pull(p, u)
        back = (S - 2 / eta).clamp(min=0) / pull.square().sum(-1, keepdim=True)
        p = p - back * pull
        centre.append(p)
        predicted.append(task.loss(p) + 2 * back[..., 0] / (p.shape[-1] / 3 * dt * eta))
    return torch.stack(centre), torch.stack(predicted)


def meter(slopes: Tensor) -> Tensor:
    """Half the step times the mean curvature along it, from two slopes in a row: ``(k, ..., 60)`` to ``(k - 1, ...)``."""
    return (1 - (slopes[1:] * slopes[:-1]).sum(-1) / slopes[:-1].square().sum(-1)) / 2


def crossing(task: Task, path: Tensor, eta: float, every: int = 2) -> int:
    """The first of every so many steps of one run at which the sharpness is beyond the edge."""
    return every * int((task.sharpness(path[::every]) > 2 / eta).nonzero()[0])

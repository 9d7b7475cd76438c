"""What the first picture of lesson 06 and its widget train, and the runs behind the rate at which a kernel drifts."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from regimes.problems import digits

__all__ = ["CORNERS", "LINE", "TENT", "Path", "drifts", "moments", "path", "tent"]

CORNERS = (-0.5, 0.0, 0.5)  # where the data bend
TENT = torch.linspace(-1, 1, 9, dtype=torch.float64)
LINE = torch.linspace(-1, 1, 401, dtype=torch.float64)
RATE, EVERY = 0.03, 90  # step size; about how many moments of a run are kept


def tent(x: Tensor) -> Tensor:
    """The function behind the nine points: 1 at zero, and 0 from a half on."""
    return (1 - 2 * x.abs()).clamp(min=0)


@dataclass(frozen=True)
class Path:
    """A run on the nine points.

    Attributes:
        alpha: the dial.
        step: ``(k,)``, the moments that were kept: more of them early.
        W, v: ``(k, m, 2)``, ``(k, m)``; a row of ``W`` is weight and bias of a unit.
        left: ``(k,)``, what is left of the loss.
    """

    alpha: float
    step: Tensor
    W: Tensor
    v: Tensor
    left: Tensor

    @property
    def bends(self) -> Tensor:
        """Where each unit bends the function, ``(k, m)``."""
        return -self.W[..., 1] / self.W[..., 0]

    @property
    def sizes(self) -> Tensor:
        """How much each unit can matter, ``|v| |(w, b)|``: ``(k, m)``."""
        return self.v.abs() * self.W.norm(dim=-1)

    @property
    def moved(self) -> Tensor:
        """How far all weights are from their start, in lengths of that: ``(k,)``."""
        ways = (self.W - self.W[0]).square().sum((1, 2)) + (self.v - self.v[0]).square().sum(1)
        return (ways / (self.W[0].square().sum() + self.v[0].square().sum())).sqrt()

    def at_corners(self, k: int = -1) -> float:
        """The share, by size, of the bends between -0.9 and 0.9 that are within 0.03 of a corner of the data."""
        inside = self.bends[k].abs() < 0.9
        near = torch.stack([(self.bends[k] - corner).abs() < 0.03 for corner in CORNERS]).any(0)
        size = self.sizes[k]
        return (size[inside & near].sum() / size[inside].sum()).item()

    def outputs(self, x: Tensor, k: int = -1) -> Tensor:
        """What the network says at moment ``k``."""
        hidden = torch.relu(x[:, None] * self.W[k, :, 0] + self.W[k, :, 1])
        return self.alpha / self.W.shape[1] ** 0.5 * hidden @ self.v[k]


def moments(steps: int) -> list[int]:
    """The steps of a run that are kept, more of them early."""
    return sorted(set(torch.logspace(0, math.log10(steps + 1), EVERY).round().int().sub(1).tolist()))


@lru_cache(maxsize=32)
def path(alpha: float, m: int = 200, seed: int = 0, steps: int = 3000) -> Path:
    """Train ``m`` ReLU units on the nine points; half of them are twins of the others with ``v`` negated.

    Written out in NumPy, whose operations cost less than torch's where arrays are this small: a widget waits for 3000 steps.
    """
    w, b, v = torch.randn(3, m // 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).numpy()
    W, v = np.stack([np.tile(w, 2), np.tile(b, 2)]), np.concatenate([v, -v])
    keep = set(moments(steps))
    X, y = np.stack([TENT, torch.ones_like(TENT)], 1), tent(TENT).numpy()
    step, seen = RATE / (alpha * m**0.5), []
    for k in range(steps + 1):
        h = np.maximum(X @ W, 0)
        r = alpha * (h @ v) / m**0.5 - y
        if k in keep:
            seen.append((k, W.T, v, (r @ r) / (y @ y)))
        back = (r[:, None] * X).T @ (h > 0)
        v, W = v - step * (r @ h), W - step * v * back
    return Path(alpha, *(torch.from_numpy(np.array(each)) for each in zip(*seen, strict=True)))


def drifts(m: int, activation: str, seeds: Tensor, *, one_sign: bool = False, steps: int = 50, n: int = 64) -> Tensor:
    """How far the kernel has drifted after ``steps`` of gradient descent on ``f - f_0``, one number a seed.

    The network of `regimes.networks.TwoLayer` in NTK scaling without a bias, on digits 3 and 8; the step is one over the
    largest eigenvalue of the kernel. It is written out, since dozens of wide networks would take minutes otherwise; a test
    compares.
    """
    return torch.stack([_drift(m, activation, int(seed), one_sign, steps, n) for seed in seeds])


def _drift(m: int, activation: str, seed: int, one_sign: bool, steps: int, n: int) -> Tensor:
    data, generator = digits(3, 8, n=n, unit=True, seed=seed), torch.Generator().manual_seed(7000 + seed)
    W, v = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((m, data.x.shape[1]), (m,)))
    v = v.abs() if one_sign else v
    start = _kernel(data.x, W, v, activation)
    lr, (h, _) = 1 / torch.linalg.eigvalsh(start)[-1], _units(data.x @ W.T, activation)
    wanted = data.y + h @ v / m**0.5
    for _ in range(steps):
        h, slope = _units(data.x @ W.T, activation)
        a = lr / m**0.5 * (h @ v / m**0.5 - wanted)
        v, W = v - h.T @ a, W - ((slope * v).T * a) @ data.x
    return (_kernel(data.x, W, v, activation) - start).norm() / start.norm()


def _units(z: Tensor, activation: str) -> tuple[Tensor, Tensor]:
    """Outputs of the units, and their slopes."""
    if activation == "relu":
        return z.clamp(min=0), (z > 0).to(z.dtype)
    return torch.erf(z / math.sqrt(2)), math.sqrt(2 / math.pi) * torch.exp(-z.square() / 2)


def _kernel(x: Tensor, W: Tensor, v: Tensor, activation: str) -> Tensor:
    h, slope = _units(x @ W.T, activation)
    return (h @ h.T + (slope * v) @ (slope * v).T * (x @ x.T)) / len(v)

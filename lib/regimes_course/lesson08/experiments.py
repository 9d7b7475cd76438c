"""What the widgets and the exercises of lesson 08 run."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from regimes.hessians import Hessian, hessian
from regimes.networks import TwoLayer
from regimes.optimizers import GradientDescent
from regimes.problems import even_odd
from regimes.training import train
from regimes_course.kit.checking import random

__all__ = ["descend", "network_hessian", "networks"]

FAR = 1e3  # a run that comes as far has diverged


def descend(x: float, y: float, eta: float, steps: int) -> tuple[np.ndarray, int | None]:
    """Gradient descent on ``(x^2 y^2 - 1)^2 / 4``: points ``(k, 2)``, and the step at which it left for infinity or ``None``.

    Written out in plain numbers: 8000 steps of the library's `GradientDescent`, which a test compares, take seconds.
    """
    points = [(x, y)]
    for step in range(1, steps + 1):
        g = x * y * (x * x * y * y - 1)
        x, y = x - eta * g * y, y - eta * g * x
        if not abs(x) + abs(y) < FAR:
            return np.array(points), step
        points.append((x, y))
    return np.array(points), None


@lru_cache
def network_hessian() -> Hessian:
    """The Hessian of a network with 10 tanh units on 60 digits, even against odd, after 40 steps."""
    data = even_odd(60)
    net = TwoLayer(64, 10, activation="tanh", std=0.3, output_std=0.5, seed=1)
    train(net, data.x, data.y, GradientDescent(net, 0.5), 40, every=40)
    return hessian(net, data.x, data.y)


def networks() -> dict[str, tuple[nn.Module, Tensor, Tensor]]:
    """Four networks, each with its data."""
    x, y = random(1, 13, 3) + 0.2, random(2, 13) - 0.4
    plain = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 1), nn.Flatten(0)).double()
    with torch.no_grad():
        for i, p in enumerate(plain.parameters()):
            p.copy_(0.6 * random(3 + i, *p.shape))
    return {
        "a plain module": (plain, x, y),
        "a TwoLayer in NTK scaling, m = 9": (TwoLayer(3, 9, scaling="ntk", output_std=0.8, seed=1), x, y),
        "a mean-field TwoLayer, m = 5": (TwoLayer(3, 5, output_std=1.3, seed=2), x, y),
        "a mean-field TwoLayer, m = 24": (TwoLayer(3, 24, activation="tanh", output_std=0.7, seed=3), x, y),
    }

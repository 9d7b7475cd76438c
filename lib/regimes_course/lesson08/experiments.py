"""What the pictures, the widgets and the exercises of lesson 08 run."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from regimes.hessians import Hessian, hessian
from regimes.losses import logistic
from regimes.metrics import Sharpness, sometimes, spectrum
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton, GradientDescent
from regimes.problems import Problem, chebyshev, even_odd, teacher_student
from regimes.training import train
from regimes_course.kit.checking import random
from regimes_course.lesson08.climb import Task, start

__all__ = [
    "climb_of_width",
    "descend",
    "gauss_newton",
    "logistic_digits",
    "near_an_interpolant",
    "network_hessian",
    "networks",
    "plain_module",
    "with_batches",
]

FAR = 1e3  # a run that comes as far has diverged


STEPS = {"mean_field": 0.2, "ntk": 0.6}  # both far below the edge; the lazy runs train three times as long


@lru_cache
def climb_of_width(scaling: str, width: int, seeds: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Loss ``(k, seeds)`` and sharpness at every 100th of 1500 steps; last the sharpness with frozen features, ``(seeds,)``.

    Inputs are those of the lesson, on [0, 2]; what is fitted is the polynomial plus the outputs at initialisation, so that all
    networks begin with the same residuals.
    """
    data, seed = chebyshev(3), torch.tensor(seeds)
    net = TwoLayer(1, width, scaling=scaling, activation="tanh", output_std=1.0, runs=seed.shape, seed=seed)
    x, y = data.x + 1, data.y + net(data.x + 1).detach()
    frozen = spectrum(net, x)[..., 0] / len(x)
    measure = {"S": sometimes(Sharpness(x, y), 100)}
    trace = train(net, x, y, GradientDescent(net, STEPS[scaling]), 1500, measure=measure)
    return trace.loss[::100], trace.measured["S"][::100], frozen


def with_batches(size: int, seeds: Tensor, eta: float = 0.6) -> tuple[Tensor, Tensor]:
    """Mini-batches on the network of the lesson: ``(seeds,)`` means from t = 200 to 300 of eta/2 times the sharpness, and of
    eta/2 times the curvature of a batch's own loss along its own gradient (the batch sharpness)."""
    task, p, whole, own = Task(), start(seeds), [], []
    chance = torch.Generator().manual_seed(int(seeds[0]))
    for k in range(round(300 / eta)):
        batch = task.batch(torch.stack([torch.randperm(20, generator=chance)[:size] for _ in seeds]))
        g = batch.slope(p)
        if k * eta > 200 and k % 4 == 0:
            whole.append(task.sharpness(p))
            bend = (batch.slope(p + 1e-4 * g) - batch.slope(p - 1e-4 * g)) / 2e-4
            own.append((g * bend).sum(-1) / g.square().sum(-1))
        p = p - eta * g
    return eta / 2 * torch.stack(whole).mean(0), eta / 2 * torch.stack(own).mean(0)


def logistic_digits(eta: float = 6.0, steps: int = 300, every: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Even against odd digits with the logistic loss: steps, stability numbers at some of them, and the loss at all."""
    data, net = even_odd(200), TwoLayer(64, 20, activation="tanh", std=0.3, output_std=0.5, seed=0)
    measure = {"S": sometimes(Sharpness(data.x, data.y, loss=logistic), every)}
    trace = train(net, data.x, data.y, GradientDescent(net, eta, loss=logistic), steps, measure=measure)
    return trace.step[::every], eta * trace.measured["S"][::every] / 2, trace.loss


def near_an_interpolant(*stack: int, kappa: Sequence[float], seeds: Tensor) -> tuple[TwoLayer, Problem]:
    """Networks ``(*stack, kappa, seeds)`` that nearly fit 20 points in five dimensions, by the conditioning of these."""
    grid = (*stack, len(kappa), len(seeds))
    data = teacher_student(20, 5, kappa=torch.tensor(kappa)[:, None], seed=seeds)
    net = TwoLayer(5, 100, runs=grid, seed=seeds.expand(grid) + 50)
    train(net, data.x, data.y, GaussNewton(net, 0.2), 60, until=1e-4)
    return net, data


def gauss_newton(etas: Sequence[float], steps: int = 150, **where) -> Tensor:
    """Losses relative to the start, ``(k, steps, kappa, seeds)``, of undamped Gauss-Newton that starts there."""
    net, data = near_an_interpolant(len(etas), **where)
    eta = torch.tensor(etas)[:, None, None].expand(net.runs)
    return train(net, data.x, data.y, GaussNewton(net, eta), steps).relative


def plain_module(seed: int) -> nn.Module:
    """``f = v tanh(w x + b) + c`` with 20 units, as torch initialises it."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1), nn.Flatten(0)).double()


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

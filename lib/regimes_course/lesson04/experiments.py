"""What does an optimizer keep? Eight of them on one linear regression written with two layers."""

from collections.abc import Callable

import torch
from torch import Tensor

from regimes.directions import gauss_newton
from regimes.metrics import RowSpace, row_space
from regimes.networks import TwoLayerLinear
from regimes.optimizers import GaussNewton, move
from regimes.problems import Problem, linear_regression

__all__ = ["ADAM", "SIZES", "ZOO", "compute"]

SIZES = {"n": 20, "d": 50, "q": 2, "m": 64, "std": 0.15}  # of the data, the network and its start
ADAM = 1e-3  # Adam's step

Run = Callable[[TwoLayerLinear, Problem], None]  # trains the network in place


def _torch(make: Callable, steps: int, batch: int | None = None) -> Run:
    """An optimizer of torch on the sum of squares, on all samples or on random ones.

    The library's `GradientDescent` knows neither momentum nor weight decay; without them a test compares the two.
    """

    def run(net: TwoLayerLinear, data: Problem) -> None:
        optimizer, generator = make(net.parameters()), torch.Generator().manual_seed(0)
        for _ in range(steps):
            chosen = slice(None) if batch is None else torch.randperm(len(data.x), generator=generator)[:batch]
            optimizer.zero_grad()
            ((net(data.x[chosen]) - data.y[chosen]).square().sum() / 2).backward()
            optimizer.step()

    return run


def _gauss_newton(step: float, steps: int) -> Run:
    def run(net: TwoLayerLinear, data: Problem) -> None:
        optimizer = GaussNewton(net, step)
        for _ in range(steps):
            optimizer.step(data.x, data.y)

    return run


def _block_gauss_newton(net: TwoLayerLinear, data: Problem) -> None:
    """A Gauss-Newton step of each layer alone, from the same point, both halved."""
    for _ in range(250):
        steps = []
        for layer in (net.U, net.V):
            net.requires_grad_(False)
            layer.requires_grad_(True)
            steps += gauss_newton(net, data.x, data.y, singular="drop").tensors
        net.requires_grad_(True)
        move(net, tuple(steps), 0.05)


ZOO: dict[str, Run] = {
    "gradient descent": _torch(lambda p: torch.optim.SGD(p, 0.05), 1500),
    "mini-batches of 5": _torch(lambda p: torch.optim.SGD(p, 0.05), 5000, batch=5),
    "momentum 0.9": _torch(lambda p: torch.optim.SGD(p, 0.05, momentum=0.9), 800),
    "Gauss-Newton, step 0.1": _gauss_newton(0.1, 250),
    "Gauss-Newton, step 1": _gauss_newton(1.0, 8),
    "Gauss-Newton layer by layer": _block_gauss_newton,
    "Adam": _torch(lambda p: torch.optim.Adam(p, ADAM), 3000),
    "weight decay 0.01": _torch(lambda p: torch.optim.SGD(p, 0.05, weight_decay=0.01), 4000),
}


def compute(name: str, seed: int = 0) -> dict[str, float]:
    r"""Train by one optimizer of the zoo from a random start and from one inside the invariant set (``U_2 = 0``).

    The `SIZES` are those of the data, the network and its start, which is drawn from ``seed``.

    Returns:
        ``moved``: how far ``U_2`` went, relative to its start; ``imbalance``: the same of :math:`\Lambda`; ``inside``: distance
        to the min-norm solution at the end, from inside the set; ``generic``: the same from the random start.
    """
    n, d, q, m, std = SIZES.values()
    data = linear_regression(n, d, outputs=q, seed=3)
    rows, net = row_space(data.x), TwoLayerLinear(d, q, m, runs=(2,), std=std, seed=torch.full((2,), seed))
    with torch.no_grad():
        net.U[1] = rows.inside @ (rows.inside.mT @ net.U[1])
    before = _state(net, rows)
    ZOO[name](net, data)
    after = _state(net, rows)
    moved, imbalance = (((b - a).norm() / a.norm()).item() for a, b in zip(before, after, strict=True))
    distance = torch.linalg.matrix_norm(net.predictor - rows.min_norm(data.y)).tolist()
    return {"moved": moved, "imbalance": imbalance, "generic": distance[0], "inside": distance[1]}


def _state(net: TwoLayerLinear, rows: RowSpace) -> tuple[Tensor, Tensor]:
    """``U_2`` and the imbalance of the first run."""
    (U1, U2), V = rows.split(net.U[0].detach()), net.V[0].detach()
    return U2, U1.mT @ U1 - V.mT @ V

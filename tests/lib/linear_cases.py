"""Data for two linear layers, and a network seen along them: what the tests of lesson 04's library share."""

import torch

from regimes.linear_network import gauss_newton_factor, gradient_factor
from regimes.networks import TwoLayerLinear
from tests.lib.cases import normal

N, D, M = 7, 12, 40
X = normal(N, D, seed=1, mean=0.1, std=0.3)
DATA = {
    "independent rows": X,
    "dependent rows": torch.cat([X[:5], X[:2] - X[2:4], X[:1]]),  # eight rows of rank five
    "more rows than columns": normal(23, 4, seed=1, mean=0.1, std=0.3),  # nothing is outside the row space
}
FACTORS = {"gradient descent": gradient_factor, "gauss-newton": gauss_newton_factor}


def data(name, q):
    x = DATA[name]
    return x, normal(len(x), q, seed=2, mean=-0.4, std=0.8)


def network(x, q, **options):
    return TwoLayerLinear(x.shape[1], q, **{"width": M, "std": 0.3, "seed": 5, **options})


def state(net, space):
    """``U_1``, ``U_2``, ``V``."""
    return *space.split(net.U.detach()), net.V.detach().clone()


def lambda_of(U1, V):
    """The imbalance as the matrix that it is."""
    return U1.mT @ U1 - V.mT @ V


def gram_of(U1, V):
    Z = torch.cat([V, U1], -2)
    return Z @ Z.mT

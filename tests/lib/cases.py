"""The case table: networks with their data, float64, no two sizes equal, no unit scale, no zero mean.

Tests compare what the library does fast with what `regimes.reference` does literally, on each of them.
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from regimes.jacobians import AutogradJacobian, LayerwiseJacobian
from regimes.networks import (
    Reversible,
    ReversibleJacobian,
    TwoLayer,
    TwoLayerJacobian,
    TwoLayerLinear,
    TwoLayerLinearJacobian,
)

N, D, M = 11, 3, 17
WIDE = 14  # inputs of the linear networks


def normal(*shape, seed=0, mean=0.2, std=1.3, dtype=torch.float64):
    """Reproducible Gaussian numbers."""
    g = torch.Generator().manual_seed(seed)
    return mean + std * torch.randn(shape, generator=g, dtype=dtype)


def filled(net, seed=3):
    """``net`` in float64 with parameters from a seed, none of them special."""
    net = net.double()
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(normal(*p.shape, seed=seed + i, mean=0.1, std=0.6))
    return net


def frozen(net, *names):
    """``net`` with the named parameters frozen."""
    for name in names:
        net.get_parameter(name).requires_grad_(False)
    return net


def two_layer(**options):
    return TwoLayer(D, M, **{"std": 0.7, "output_std": 1.4, "seed": 5, **options})


def linear(outputs=3, **options):
    """Inputs of more axes than there are samples: their null space is what lesson 04 is about."""
    return TwoLayerLinear(WIDE, outputs, M, **{"std": 0.4, "output_std": 0.9, "seed": 5, **options})


def reversible(outputs=3, **options):
    """Two blocks on halves of three inputs, with weights and biases that are not small."""
    net = Reversible(2 * D, outputs, M, **{"std": 0.3, "seed": 5, **options})
    with torch.no_grad():
        net.W[..., -1, :] += 0.2
    return net


def perceptron(outputs=1, activation=nn.SiLU, bias=True):
    """Three layers; one output comes as ``(n,)``."""
    layers = [nn.Linear(D, 7, bias=bias), activation(), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, outputs, bias=bias)]
    return filled(nn.Sequential(*layers, *[nn.Flatten(0)] * (outputs == 1)))


def convolution(outputs=1):
    """A small convolutional network on ``1 x 6 x 5`` images."""
    layers = [nn.Conv2d(1, 3, 3), nn.SiLU(), nn.Conv2d(3, 2, (2, 1)), nn.Tanh(), nn.Flatten(), nn.Linear(18, outputs)]
    return filled(nn.Sequential(*layers, *[nn.Flatten(0)] * (outputs == 1)))


class Own(nn.Module):
    """A reader's own module: a parameter used directly beside a linear layer, and a buffer."""

    def __init__(self, outputs):
        super().__init__()
        self.frequency, self.linear = nn.Parameter(torch.ones(D, 4)), nn.Linear(4, outputs)
        self.register_buffer("shift", torch.tensor(0.3))

    def forward(self, x):
        return self.linear(torch.sin(x @ self.frequency + self.shift)).squeeze(-1)


class Twice(nn.Module):
    """A linear layer that is called twice."""

    def __init__(self):
        super().__init__()
        self.into, self.again, self.out = nn.Linear(D, 5), nn.Linear(5, 5), nn.Linear(5, 1)

    def forward(self, x):
        h = torch.tanh(self.again(torch.tanh(self.into(x))))
        return self.out(torch.tanh(self.again(h)))[:, 0]


class WeightReused(nn.Module):
    """A linear layer whose weight is also used without calling the layer."""

    def __init__(self):
        super().__init__()
        self.into, self.out = nn.Linear(D, 4), nn.Linear(D, 1)

    def forward(self, x):
        return self.out(F.linear(torch.tanh(self.into(x)), self.into.weight.T))[:, 0]


class Tied(nn.Module):
    """Two linear layers that share a weight."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.out = nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, 1)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.out(torch.tanh(self.second(torch.tanh(self.first(x)))))[:, 0]


class Tokens(nn.Module):
    """Linear layers on inputs ``(n, tokens, features)``, summed over tokens."""

    def __init__(self):
        super().__init__()
        self.into, self.out = nn.Linear(D, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.out(torch.tanh(self.into(x))).sum(1)


@dataclass(frozen=True)
class Case:
    """A network, the shape of one sample, and the backend that must serve it."""

    make: object
    backend: type
    sample: tuple = (D,)

    def __call__(self):
        """A fresh network, its inputs and targets."""
        net, x = self.make(), normal(N, *self.sample, seed=1, std=0.9)
        return net, x, normal(*net(x).shape, seed=2, mean=-0.4)


IMAGE = (1, 6, 5)
CASES = {
    "mean field": Case(two_layer, TwoLayerJacobian),
    "ntk, tanh, no bias": Case(lambda: two_layer(scaling="ntk", activation="tanh", bias=False), TwoLayerJacobian),
    "two-layer, leaky gelu": Case(lambda: two_layer(activation="leaky_gelu"), TwoLayerJacobian),
    "two-layer, W frozen": Case(lambda: frozen(two_layer(), "W"), TwoLayerJacobian),
    "two-layer, v frozen": Case(lambda: frozen(two_layer(), "v"), TwoLayerJacobian),
    "linear": Case(linear, TwoLayerLinearJacobian, (WIDE,)),
    "linear, one output": Case(lambda: linear(1), TwoLayerLinearJacobian, (WIDE,)),
    "linear, U frozen": Case(lambda: frozen(linear(), "U"), TwoLayerLinearJacobian, (WIDE,)),
    "linear, V frozen": Case(lambda: frozen(linear(), "V"), TwoLayerLinearJacobian, (WIDE,)),
    "reversible": Case(reversible, ReversibleJacobian, (2 * D,)),
    "reversible, three blocks, tanh, from zero": Case(
        lambda: reversible(2, blocks=3, activation="tanh", from_zero=True), ReversibleJacobian, (2 * D,)
    ),
    "perceptron": Case(perceptron, LayerwiseJacobian),
    "perceptron, three outputs": Case(lambda: perceptron(3), LayerwiseJacobian),
    "perceptron, no bias": Case(lambda: perceptron(2, bias=False), LayerwiseJacobian),
    "perceptron, ReLU in place": Case(lambda: perceptron(2, lambda: nn.ReLU(inplace=True)), LayerwiseJacobian),
    "perceptron, weight frozen": Case(lambda: frozen(perceptron(2), "2.weight"), LayerwiseJacobian),
    "perceptron, bias frozen": Case(lambda: frozen(perceptron(2), "0.bias"), LayerwiseJacobian),
    "perceptron, last layer frozen": Case(lambda: frozen(perceptron(2), "4.weight", "4.bias"), LayerwiseJacobian),
    "perceptron, first layer frozen": Case(lambda: frozen(perceptron(2), "0.weight", "0.bias"), LayerwiseJacobian),
    "layer called twice": Case(lambda: filled(Twice()), LayerwiseJacobian),
    "weight used functionally": Case(lambda: filled(WeightReused()), LayerwiseJacobian),
    "tokens": Case(lambda: filled(Tokens()), LayerwiseJacobian, (4, D)),
    "tied weights": Case(lambda: filled(Tied()), AutogradJacobian),
    "convolution": Case(convolution, AutogradJacobian, IMAGE),
    "convolution, two outputs": Case(lambda: convolution(2), AutogradJacobian, IMAGE),
    "convolution, frozen": Case(lambda: frozen(convolution(2), "0.weight"), AutogradJacobian, IMAGE),
    "own module": Case(lambda: filled(Own(1)), AutogradJacobian),
    "own module, two outputs": Case(lambda: filled(Own(2)), AutogradJacobian),
    "batch norm, evaluating": Case(
        lambda: filled(nn.Sequential(nn.Linear(D, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))).eval(), AutogradJacobian
    ),
    "dropout, evaluating": Case(
        lambda: filled(nn.Sequential(nn.Linear(D, 4), nn.Dropout(), nn.Linear(4, 2))).eval(), LayerwiseJacobian
    ),
}

NAMES = list(CASES)


def runs_of(net):
    """Each run of a stack of two-layer networks as a network of its own, in the order of the flattened run axes."""
    singles = []
    for values in zip(*(p.detach().flatten(0, len(net.runs) - 1) for p in net.parameters()), strict=True):
        one = deepcopy(net)
        one.runs = ()
        for p, value in zip(one.parameters(), values, strict=True):
            p.data = value.clone()
        singles.append(one)
    return singles


def relative(got, wanted):
    """``|got - wanted| / |wanted|``; shapes and dtypes must be the same."""
    assert got.shape == wanted.shape and got.dtype == wanted.dtype, (got.shape, wanted.shape, got.dtype, wanted.dtype)
    return ((got - wanted).norm() / wanted.norm()).item()


def weights(net):
    """The trainable parameters as one vector, detached."""
    return torch.cat([p.detach().flatten() for p in net.parameters() if p.requires_grad])

"""Networks that other people write: each with a maker of inputs, so that a test can ask the same of all of them."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrizations, weight_norm
from torch.utils.checkpoint import checkpoint

N, D = 6, 3


def numbers(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tokens():
    return torch.randint(0, 11, (N, 5), generator=torch.Generator().manual_seed(3))


class Module(nn.Module):
    """Parts under the names given, and a function of them and the inputs: a network in one line."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


class Cube(torch.autograd.Function):
    """A function of one's own in the old style, which torch.func does not take."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z**3

    @staticmethod
    def backward(ctx, g):
        (z,) = ctx.saved_tensors
        return 3 * z**2 * g


def residual(net, t):
    """Of the differential equation u' + u = 0, at the times t."""
    t = t.detach().requires_grad_()
    u = net.u(t)
    return torch.autograd.grad(u.sum(), t, create_graph=True)[0] + u


def depth(layer, times=3):
    return nn.Sequential(nn.Linear(D, 4), nn.Tanh(), *[layer, nn.Tanh()] * times, nn.Linear(4, 2))


def mlp(*middle):
    return nn.Sequential(nn.Linear(D, 5), *(middle or (nn.Tanh(),)), nn.Linear(5, 2))


def shared_weight():
    net = nn.Sequential(nn.Linear(D, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 1))
    net[4].weight = net[2].weight
    return net


def partly_frozen():
    net = mlp()
    net[0].weight.requires_grad_(False)
    return net


def embedded(function, a):
    return Module(lambda m, x: m.b(function(m, m.e(x)).mean(1)), e=nn.Linear(D, 4), a=a, b=nn.Linear(4, 1))


def transformer():
    return nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)


FLAT = {
    "perceptron": mlp,
    "layer under two names": lambda: depth(nn.Linear(4, 4)),
    "layer called twice": lambda: Module(
        lambda m, x: m.b(torch.tanh(m.b(torch.tanh(m.a(x))))), a=nn.Linear(D, 4), b=nn.Linear(4, 4)
    ),
    "weight of two layers": shared_weight,
    "weight used once more, weakly": lambda: Module(
        lambda m, x: m.b(torch.tanh(m.a(x))) + 3e-3 * F.linear(torch.tanh(m.a(x)), m.a.weight.T).sum(-1, keepdim=True),
        a=nn.Linear(4, 4),
        b=nn.Linear(4, 1),
        first=nn.Identity(),
    ),
    "prelu": lambda: mlp(nn.PReLU()),
    "layer norm": lambda: mlp(nn.LayerNorm(5), nn.GELU()),
    "batch norm, evaluating": lambda: mlp(nn.BatchNorm1d(5), nn.ReLU()).eval(),
    "dropout of nothing": lambda: mlp(nn.Dropout(0.0), nn.Tanh()),
    "relu in place": lambda: mlp(nn.ReLU(inplace=True)),
    "inputs changed in place": lambda: Module(lambda m, x: m.a(x.mul_(2).add_(1)), a=nn.Linear(D, 2)),
    "own function": lambda: Module(lambda m, x: m.b(Cube.apply(m.a(x))), a=nn.Linear(D, 4), b=nn.Linear(4, 1)),
    "residual of an equation": lambda: Module(residual, u=nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1))),
    "checkpoint": lambda: Module(
        lambda m, x: m.b(checkpoint(lambda x: torch.tanh(m.a(x)), x, use_reentrant=False)), a=nn.Linear(D, 4), b=nn.Linear(4, 1)
    ),
    "compiled": lambda: torch.compile(mlp(), backend="eager"),
    "scripted": lambda: torch.jit.script(mlp()),
    "frozen weight": partly_frozen,
    "parameters in a list": lambda: Module(
        lambda m, x: torch.tanh(x @ m.w[0]) @ m.w[1], w=nn.ParameterList([numbers(D, 4), numbers(4, seed=2)])
    ),
    "bilinear": lambda: Module(lambda m, x: m.a(x, x), a=nn.Bilinear(D, D, 2)),
    "weight norm": lambda: Module(
        lambda m, x: m.b(torch.tanh(m.a(x))), a=parametrizations.weight_norm(nn.Linear(D, 4)), b=nn.Linear(4, 1)
    ),
    "weight norm, as it was": lambda: Module(
        lambda m, x: m.b(torch.tanh(m.a(x))), a=weight_norm(nn.Linear(D, 4)), b=nn.Linear(4, 1)
    ),
}
SEQUENCES = {  # inputs (n, time, features)
    kind.__name__: lambda kind=kind: Module(
        lambda m, x: m.b(m.a(x)[0][:, -1]), a=kind(D, 4, batch_first=True), b=nn.Linear(4, 2)
    )
    for kind in (nn.RNN, nn.LSTM, nn.GRU)
} | {
    "attention": lambda: embedded(lambda m, x: m.a(x, x, x)[0], nn.MultiheadAttention(4, 2, batch_first=True)),
    "transformer, training": lambda: embedded(lambda m, x: m.a(x), transformer()),
    "transformer, evaluating": lambda: embedded(lambda m, x: m.a(x), transformer()).eval(),
    "loop of cells": lambda: Module(cells, a=nn.GRUCell(D, 4), b=nn.Linear(4, 1)),
    "convolution": lambda: nn.Sequential(nn.Conv1d(5, 4, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 1)),
    "convolution under two names": lambda: nn.Sequential(*[nn.Conv1d(5, 5, 1)] * 2, nn.Tanh(), nn.Flatten(), nn.Linear(15, 2)),
}
TOKENS = {
    "embedding": lambda: nn.Sequential(nn.Embedding(11, 4), nn.Tanh(), nn.Flatten(), nn.Linear(20, 2)),
    "sparse embedding": lambda: nn.Sequential(nn.Embedding(11, 4, sparse=True), nn.Flatten(), nn.Tanh(), nn.Linear(20, 1)),
    "bag of words": lambda: nn.Sequential(nn.EmbeddingBag(11, 4), nn.Tanh(), nn.Linear(4, 1)),
}


def cells(m, x):
    h = x.new_zeros(len(x), 4)
    for xi in x.unbind(1):
        h = m.a(xi, h)
    return m.b(h)


MODULES = {**FLAT, **SEQUENCES, **TOKENS}


def example(name):
    """The network, always with the same random weights, and inputs for it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = MODULES[name]().double()
    if name in TOKENS:
        return net, tokens()
    width = {"residual of an equation": 1, "weight used once more, weakly": 4}.get(name, D)
    return net, numbers(N, width) if name in FLAT else numbers(N, 5, width)


def rows(net, x):
    """The Jacobian, sample by sample and row by row, by plain backward passes: ``(N, p)``."""
    parameters = [p for p in net.parameters() if p.requires_grad]
    found = []
    with torch.enable_grad():
        for xi in x.split(1):
            for f in net(xi.clone()).reshape(-1):
                g = torch.autograd.grad(f, parameters, retain_graph=True, materialize_grads=True)
                found.append(torch.cat([t.to_dense().flatten() for t in g]))
    return torch.stack(found)


def curvature(net, x, y):
    """The Hessian of the mean squared loss ``|f - y|^2 / 2n``, row by row: ``(p, p)``."""
    parameters = [p for p in net.parameters() if p.requires_grad]
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # the fused attention has no second derivatives
        loss = (net(x.clone()) - y).square().sum() / (2 * len(x))
        g = torch.cat(
            [t.to_dense().flatten() for t in torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)]
        )
        each = [torch.autograd.grad(gi, parameters, retain_graph=True, materialize_grads=True) for gi in g]
    return torch.stack([torch.cat([t.to_dense().flatten() for t in row]) for row in each])

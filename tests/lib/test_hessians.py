"""Hessians: the closed form and double backward against a literal Hessian of the loss as a function of one vector."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from regimes.hessians import AutogradHessian, hessian
from regimes.losses import logistic, squared
from regimes.networks import TwoLayer, TwoLayerHessian
from tests.lib.cases import CASES, NAMES, D, N, frozen, normal, relative, runs_of, two_layer

X, Y = normal(N, D, seed=1), normal(N, seed=2)
STACK = {"runs": (2, 3), "seed": torch.arange(6).reshape(2, 3)}


def literal(net, x, y, loss):
    """The Hessian by torch, of the loss written out, as a function of all parameters in one vector."""
    named = {k: p.detach() for k, p in net.named_parameters() if p.requires_grad}

    def value(w):
        parts = w.split([p.numel() for p in named.values()])
        values = {k: part.reshape(p.shape) for (k, p), part in zip(named.items(), parts, strict=True)}
        f = torch.func.functional_call(net, values, (x,)).reshape(-1)
        if loss is squared:
            return ((f - y.reshape(-1)) ** 2).sum() / (2 * len(x))
        return torch.log1p(torch.exp(-y.reshape(-1) * f)).sum() / len(x)

    return torch.autograd.functional.hessian(value, torch.cat([p.flatten() for p in named.values()]))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_literal_hessian(name):
    net, x, y = CASES[name]()
    assert relative(hessian(net, x, y).dense().detach(), literal(net, x, y, squared)) < 1e-12


@pytest.mark.parametrize("activation", ["silu", "tanh", "relu", "leaky_gelu", "erf"])
@pytest.mark.parametrize("layers", [(), ("W",), ("v",)], ids=["both", "v alone", "W alone"])
def test_both_ways_to_the_closed_form_and_double_backward_agree(activation, layers):
    net, y = frozen(two_layer(activation=activation), *layers), Y.sign()
    for loss in (squared, logistic):
        wanted = literal(net, X, y, loss)
        closed = hessian(net, X, y, loss=loss)
        assert isinstance(closed, TwoLayerHessian)
        assert relative(closed.dense(), wanted) < 1e-12  # matrix
        assert relative(super(TwoLayerHessian, closed).dense(), wanted) < 1e-12  # by products
        assert relative(hessian(net, X, y, loss=loss, backend="autograd").dense(), wanted) < 1e-12


@pytest.mark.parametrize("backend", ["closed form", "autograd"])
@pytest.mark.parametrize("own", [False, True])
def test_runs_are_those_of_single_networks(backend, own):
    net = two_layer(**STACK)
    x, y = (normal(2, 3, N, D, seed=1), normal(2, 3, N, seed=2)) if own else (X, Y)
    H = hessian(net, x, y, backend=backend).dense()
    xs, ys = (x.flatten(0, 1), y.flatten(0, 1)) if own else ([x] * 6, [y] * 6)
    wanted = torch.stack([literal(one, a, b, squared) for one, a, b in zip(runs_of(net), xs, ys, strict=True)])
    assert relative(H, wanted.reshape(H.shape)) < 1e-12


def test_products_are_linear_and_leave_the_network_alone():
    net = two_layer()
    H, before = hessian(net, X, Y), [p.detach().clone() for p in net.parameters()]
    u, v = normal(H.size, seed=4), normal(H.size, seed=5)
    assert relative(H.matvec(2 * u - 3 * v), 2 * H.matvec(u) - 3 * H.matvec(v)) < 1e-13
    assert not H.matvec(u).requires_grad and all(torch.equal(p, b) for p, b in zip(net.parameters(), before, strict=True))
    assert abs(u @ H.matvec(v) - v @ H.matvec(u)) < 1e-13


def test_a_product_in_closed_form_is_two_matrix_products():
    net, n, d, m = TwoLayer(10, 30, output_std=1.0), 50, 10, 30
    H, v = hessian(net, normal(n, d, seed=1), normal(n, seed=2)), [torch.ones_like(p) for p in net.parameters()]
    with FlopCounterMode(display=False) as counter:
        H.product(v)
    two, with_vectors = 2 * 2 * n * m * (d + 1), 2 * 2 * n * m
    assert two <= counter.get_total_flops() <= two + with_vectors


def test_a_curvature_free_direction_gives_zeros():
    net = torch.nn.Sequential(torch.nn.Linear(D, 1), torch.nn.Flatten(0)).double()

    class Sum:
        def value(self, f, y, samples):
            return f.sum(-1) / samples

    H = AutogradHessian(net, X, Y, Sum())
    assert torch.equal(H.dense(), torch.zeros(D + 1, D + 1, dtype=torch.float64))


def test_what_is_refused():
    net = two_layer()
    with pytest.raises(ValueError, match="the network's outputs have shape"):
        hessian(net, X, Y[:, None])
    with pytest.raises(ValueError, match="got 'layerwise' for TwoLayer"):
        hessian(net, X, Y, backend="layerwise")
    with pytest.raises(ValueError, match="closed form; got 'closed form' for Linear"):
        hessian(torch.nn.Linear(D, 1).double(), X, Y[:, None], backend="closed form")
    with pytest.raises(ValueError, match="no trainable parameter"):
        hessian(frozen(two_layer(), "W", "v"), X, Y)
    with torch.no_grad():
        net.W[0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite: the run has diverged"):
        hessian(net, X, Y)
    with pytest.raises(ValueError, match="labels -1 and \\+1"):
        hessian(TwoLayer(D, 4), X, Y, loss=logistic)

"""Sharpness: dense and Lanczos, saddles, units, and what it says about gradient descent."""

import math

import pytest
import torch
from torch import nn

from regimes.directions import time_scale
from regimes.hessians import hessian
from regimes.kernels import neural_tangent_kernel
from regimes.losses import logistic, squared
from regimes.metrics import sharpness, sometimes
from regimes.metrics.sharpness import largest_eigenvalue
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton, GradientDescent
from regimes.problems import chebyshev
from regimes.training import Diverged, train
from tests.lib.cases import CASES, D, M, N, frozen, linear, normal, relative, two_layer

X, Y = normal(N, D, seed=1), normal(N, seed=2)
STACK = {"runs": (2, 3), "seed": torch.arange(6).reshape(2, 3)}


class Product(nn.Module):
    """The output u v, whatever the input."""

    def __init__(self, u, v):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([u, v], dtype=torch.float64))

    def forward(self, x):
        return (x[:, 0] * 0 + 1) * self.w.prod()


class Saddle(nn.Module):
    """With targets 1 the squared loss has the Hessian diag(1, -3), up to a third parameter of none."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.4, -0.7, 0.1], dtype=torch.float64))

    def forward(self, x):
        bowl = (self.w[0] ** 2 - 3 * self.w[1] ** 2) / 2
        return 1 + (x[:, 0] * 0 + 1) * torch.sqrt(2 * (bowl + 10))


@pytest.mark.parametrize("name", CASES)
def test_lanczos_is_the_largest_of_all_eigenvalues(name):
    net, x, y = CASES[name]()
    wanted = time_scale(net) * torch.linalg.eigvalsh(hessian(net, x, y).dense().detach())[-1]
    for method, tolerance in (("dense", 1e-12), ("lanczos", 1e-6), ("auto", 1e-6)):
        got = sharpness(net, x, y, method=method)
        assert relative(got, wanted) < tolerance and not got.requires_grad


def test_the_largest_at_a_saddle_is_not_the_largest_in_size():
    net, x, y = Saddle(), torch.zeros(5, 1, dtype=torch.float64), torch.ones(5, dtype=torch.float64)
    for method in ("dense", "lanczos"):
        assert sharpness(net, x, y, method=method).item() == pytest.approx(1.0, rel=1e-9)


def test_the_product_has_its_known_eigenvalues():
    u, v = 0.1, 0.1
    x, y = torch.zeros(3, 1, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    off, q = 2 * u * v - 1, u**2 + v**2
    wanted = (q + math.hypot(u**2 - v**2, 2 * off)) / 2
    assert wanted == pytest.approx(0.99)
    assert sharpness(Product(u, v), x, y).item() == pytest.approx(wanted, rel=1e-12)
    assert sharpness(Product(u, v), x, y, method="lanczos").item() == pytest.approx(wanted, rel=1e-12)  # two: the dense way


@pytest.mark.parametrize("method", ["dense", "lanczos"])
@pytest.mark.parametrize("own", [False, True])
def test_runs(method, own):
    net = two_layer(**STACK)
    x, y = (normal(2, 3, N, D, seed=1), normal(2, 3, N, seed=2)) if own else (X, Y)
    each = torch.stack([torch.linalg.eigvalsh(H)[-1] for H in hessian(net, x, y).dense().flatten(0, 1)]).reshape(2, 3)
    got = sharpness(net, x, y, method=method)
    assert got.shape == (2, 3) and relative(got, M * each) < 1e-6


def test_runs_of_linear_networks_with_several_outputs():
    net, x = linear(2, runs=(3,), seed=torch.arange(3)), normal(N, 14, seed=1)
    for y in (normal(N, 2, seed=2), normal(3, N, 2, seed=2)):
        got, wanted = (sharpness(net, x, y, method=method) for method in ("lanczos", "dense"))
        assert got.shape == (3,) and relative(got, wanted) < 1e-6


@pytest.mark.parametrize("scaling", ["mean_field", "ntk"])
@pytest.mark.parametrize("width", [5, 40])
def test_the_edge_of_gradient_descent_is_where_it_says_at_any_width(scaling, width):
    """On frozen features the loss is a quadratic: stable just below lr = 2 / S, unstable just above."""
    lr = torch.tensor([0.98, 1.02], dtype=torch.float64)
    net = frozen(TwoLayer(D, width, runs=(2,), scaling=scaling, seed=torch.zeros(2, dtype=torch.int64)), "W")
    S = sharpness(net, X, Y)
    loss = train(net, X, Y, GradientDescent(net, lr * 2 / S), 600).loss
    assert loss[-1, 0] < loss[0, 0] < loss[-1, 1] and loss[-1, 1] > loss[-2, 1]


def test_doubled_units_leave_it_as_it_is():
    """It is in the network's time scale: without that it would be half as large."""
    net = two_layer()
    twice = net.units(torch.arange(M).repeat(2))
    for loss, y in ((squared, Y), (logistic, Y.sign())):
        assert relative(sharpness(twice, X, y, loss=loss), sharpness(net, X, y, loss=loss)) < 1e-6


def test_at_a_perfect_fit_it_is_the_kernels():
    net = two_layer()
    train(net, X, Y, GaussNewton(net, 0.5), 60)
    wanted = torch.linalg.eigvalsh(neural_tangent_kernel(net, X))[-1] / N
    assert relative(sharpness(net, X, Y), wanted) < 1e-9


def test_relu_has_the_gauss_newton_value_plus_the_coupling_of_layers():
    """Where phi'' is zero the blocks of the hidden weights are those of the Gauss-Newton matrix."""
    net = frozen(two_layer(activation="relu"), "v")
    assert relative(sharpness(net, X, Y), torch.linalg.eigvalsh(neural_tangent_kernel(net, X))[-1] / N) < 1e-12


def test_lanczos_needs_few_products():
    net, count = two_layer(), 0
    H = hessian(net, X, Y)
    product = H.product

    def counted(v):
        nonlocal count
        count += 1
        return product(v)

    H.product = counted
    assert largest_eigenvalue(H) == largest_eigenvalue(H) and count <= 60


def test_unknown_methods_and_diverged_runs_are_refused():
    with pytest.raises(ValueError, match="'dense' or 'lanczos', or 'auto' chooses; got 'power'"):
        sharpness(two_layer(), X, Y, method="power")
    net = two_layer()
    net.v.data[0] = torch.inf
    with pytest.raises(ValueError, match="the run has diverged"):
        sharpness(net, X, Y)


def test_sometimes_measures_each_so_many_steps_in_each_training():
    calls, net = [], two_layer()

    def measure(net):
        calls.append(net)
        return torch.tensor([1.0, 2.0]) * len(calls)

    looks = {"S": sometimes(measure, 3)}
    for first in (1.0, 4.0):
        got = train(net, X, Y, GradientDescent(net, 0.01), 6, measure=looks).measured["S"]
        assert torch.equal(got[::3, 0], first + torch.arange(3.0)) and got.shape == (7, 2)
        assert got[[1, 2, 4, 5]].isnan().all() and len(calls) == first + 2


def test_a_diverged_run_has_its_last_sharpness():
    data, net = chebyshev(3), TwoLayer(1, 20, activation="tanh", output_std=1.0)
    with pytest.raises(Diverged) as stop:
        measure = {"S": sometimes(lambda net: sharpness(net, data.x, data.y), 10)}
        train(net, data.x, data.y, GradientDescent(net, 8.0), 500, measure=measure)
    numbers = stop.value.trace.measured["S"][::10]
    assert torch.isfinite(numbers).all() and 8.0 * numbers[-1] / 2 > 1 and stop.value.step < 500

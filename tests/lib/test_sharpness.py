"""Sharpness: dense and Lanczos, saddles, units, and what it says about gradient descent."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn

from regimes.directions import time_scale
from regimes.hessians import hessian
from regimes.kernels import neural_tangent_kernel
from regimes.losses import logistic, squared
from regimes.metrics import Sharpness, sharpness, sometimes
from regimes.metrics.sharpness import largest_eigenvalue
from regimes.networks import TwoLayer, TwoLayerHessian
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


class Bowl(nn.Module):
    """With targets -1 the Hessian of the squared loss is diag(lam): its eigenvectors are the axes, whatever lam is."""

    def __init__(self, size):
        super().__init__()
        self.lam, self.w = torch.ones(size, dtype=torch.float64), nn.Parameter(torch.zeros(size, dtype=torch.float64))

    def forward(self, x):
        return (self.lam @ self.w.square() / 2).expand(len(x))


@pytest.fixture
def products(monkeypatch):
    """A list that grows by one entry with each Hessian product of a `TwoLayer`."""
    made, product = [], TwoLayerHessian.product
    monkeypatch.setattr(TwoLayerHessian, "product", lambda H, v: made.append(H) or product(H, v))
    return made


def test_along_a_run_it_takes_few_products(products):
    x = normal(80, 12, seed=1, mean=0.0)
    y, found, count = torch.sin(x.sum(-1)), {}, {}
    for name, measure in {"follow": Sharpness(x, y), "anew": lambda net: sharpness(net, x, y)}.items():
        net = TwoLayer(12, 40, output_std=1.0)
        rule = GradientDescent(net, 1 / sharpness(net, x, y))
        products.clear()
        found[name] = train(net, x, y, rule, 100, every=5, measure={"S": measure}).measured["S"]
        count[name] = len(products)
    assert relative(found["follow"], found["anew"]) < 1e-5 and found["anew"][-1] > 1.2 * found["anew"][0]
    assert count["follow"] <= 5 * 21 and count["follow"] <= 0.6 * count["anew"]


@pytest.mark.parametrize(
    "second",
    [
        [0.8 + 0.02 * t for t in range(21)],  # crosses slowly
        [0.8, 0.9, 1.1, 1.2, 1.05, 0.95, 0.8],
        [0.5, 0.5, 1.5, 0.5, 1.5],  # leaps
        [0.1, 0.1, 1.4, 1.4, 0.1, 3.0],
    ],
)
@pytest.mark.parametrize("rest", [torch.zeros(400), torch.linspace(-0.3, 0.7, 400), torch.arange(2, 402) ** -0.7])
def test_another_eigenvector_takes_over(second, rest):
    """The one and the other are orthogonal: started from the one alone, Lanczos would stay on it."""
    takes_over(second, rest)


def test_the_next_eigenvector_is_in_sight_among_many_parameters():
    """Where the share of a random vector in it is small."""
    takes_over([0.8 + 0.02 * t for t in range(16)], torch.arange(2, 100_002) ** -0.7)


def takes_over(second, rest):
    net, follow = Bowl(2 + len(rest)), Sharpness(torch.zeros(3, 1).double(), -torch.ones(3).double())
    for number in second:
        net.lam = torch.cat([torch.tensor([1.0, number]), rest]).double()
        assert follow(net).item() == pytest.approx(max(1.0, number), rel=1e-5)


def test_what_is_not_positive_is_found_as_before():
    x, y, net = torch.zeros(3, 1).double(), -torch.ones(3).double(), Bowl(60)
    follow = Sharpness(x, y)
    for lam in (torch.ones(60), -torch.linspace(1, 2, 60), torch.zeros(60), -torch.ones(60), torch.linspace(-5, 1e-3, 60)):
        net.lam = lam.double()
        assert follow(net).item() == pytest.approx(lam.max().item(), rel=1e-5, abs=1e-12)


def test_it_remembers_each_network_and_nothing_else():
    """Twins get equal numbers, whatever is measured in between; so does a copy without memory, at the first."""
    follow, nets = Sharpness(X, Y, method="lanczos"), [two_layer() for _ in range(3)]
    first = [follow(nets[0]), follow(nets[0])]
    other = two_layer(seed=9)
    again = [follow(nets[1]), follow(other), follow(nets[1])][::2]
    assert torch.equal(torch.stack(first), torch.stack(again)) and first[0] != first[1]
    for copied in (pickle.loads(pickle.dumps(follow)), copy.deepcopy(follow)):
        assert copied(nets[0]) == first[0]
    frozen(nets[0], "v")  # fewer parameters: what it remembers of it does not fit
    assert relative(follow(nets[0]), sharpness(nets[0], X, Y)) < 1e-5


def test_along_a_run_of_a_stack_it_is_that_of_each_network():
    follow, net = Sharpness(X, Y, method="lanczos"), two_layer(**STACK)
    one = two_layer(seed=4)
    for _ in range(3):
        S = follow(net)
        assert S.shape == (2, 3) and relative(S, sharpness(net, X, Y)) < 1e-5
        assert relative(S[1, 1], sharpness(one, X, Y)) < 1e-5
        for n in (net, one):
            train(n, X, Y, GradientDescent(n, 0.01), 5)


def test_unknown_methods_and_diverged_runs_are_refused():
    with pytest.raises(ValueError, match="'dense' or 'lanczos', or 'auto' chooses; got 'power'"):
        sharpness(two_layer(), X, Y, method="power")
    with pytest.raises(ValueError, match="got 'power'"):
        Sharpness(X, Y, method="power")(two_layer())
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

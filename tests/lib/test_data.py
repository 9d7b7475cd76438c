"""Data are checked by every public function, and once where `train` goes over them again and again."""

from functools import partial

import pytest
import torch

import regimes.data
from regimes.directions import gauss_newton, gradient
from regimes.flows import RungeKutta4
from regimes.jacobians import jacobian
from regimes.kernels import LazyScaling
from regimes.losses import CrossEntropy, logistic
from regimes.metrics import loss_on
from regimes.networks import TwoLayerLinear
from regimes.optimizers import GaussNewton, GradientDescent, TorchOptimizer
from regimes.training import Diverged, train
from tests.lib.cases import D, N, normal, two_layer

X, Y = normal(N, D, seed=1), normal(N, seed=2, mean=-0.4)
SIGNS, ONE_HOT = Y.sign(), torch.eye(3, dtype=torch.float64)[torch.arange(N) % 3]


def classifier():
    return TwoLayerLinear(D, 3, 5, std=0.3)


CASES = {
    "gradient descent": (two_layer, Y, lambda net: GradientDescent(net, 0.1)),
    "gauss-newton": (two_layer, Y, lambda net: GaussNewton(net, 0.1)),
    "gauss-newton, damped": (two_layer, Y, lambda net: GaussNewton(net, 0.1, damping=0.1)),
    "dial": (lambda: LazyScaling(two_layer(), 2.0), Y, lambda net: GradientDescent(net, 0.1)),
    "flow": (two_layer, Y, lambda net: RungeKutta4(net, partial(gauss_newton, damping=0.1), 0.1)),
    "logistic": (two_layer, SIGNS, lambda net: GradientDescent(net, 0.1, loss=logistic)),
    "cross entropy": (classifier, ONE_HOT, lambda net: GradientDescent(net, 0.1, loss=CrossEntropy(3))),
}


@pytest.mark.parametrize("name", CASES)
def test_a_training_looks_at_its_data_as_often_in_one_step_as_in_ten(name, monkeypatch):
    (make, y, optimizer), tests = CASES[name], []
    inner = regimes.data.passes

    def counting(t, test):
        return inner(t, Counted(test, tests))

    for module in ("guard", "losses"):
        monkeypatch.setattr(f"regimes.{module}.passes", counting)
    counts = []
    for steps in (1, 10):
        tests.clear()
        net = make()
        train(net, X, y, optimizer(net), steps)
        counts.append(len(tests))
    assert counts[0] == counts[1] <= 3
    optimizer(net := make()).direction(X, y)
    optimizer(net).direction(X, y)
    assert len(tests) >= counts[0] + 4  # outside of a training each time


class Counted:
    """A test of data that writes down when it is made."""

    def __init__(self, test, made):
        self.test, self.made = test, made

    def __call__(self, t):
        self.made.append(self.test)
        return self.test(t)

    def __eq__(self, other):
        return self.test == other.test

    def __hash__(self):
        return hash(self.test)


def broken(t):
    t = t.clone()
    t.view(-1)[3] = torch.nan
    return t


@pytest.mark.parametrize(("x", "y", "message"), [(broken(X), Y, "inputs contain"), (X, broken(Y), "targets y contain")])
def test_data_that_are_not_finite_are_refused_by_functions_steps_and_trainings(x, y, message):
    net = two_layer()
    for ask in (
        lambda: gradient(net, x, y),
        lambda: GaussNewton(net, 0.1).step(x, y),
        lambda: train(net, x, y, GradientDescent(net, 0.1), 3),
        lambda: train(net, X, Y, GradientDescent(net, 0.1), 3, measure={"test": lambda net: gradient(net, x, y).loss}),
        lambda: train(net, X, Y, GradientDescent(net, 0.1), 3, batches=iter([(X, Y), (x, y)])),
    ):
        with pytest.raises(ValueError, match=message):
            ask()


def test_what_passed_one_test_has_not_passed_another():
    net, zero_one = two_layer(), (SIGNS + 1) / 2
    measure = {"log": lambda net: loss_on(net, X, zero_one, loss=logistic)}
    with pytest.raises(ValueError, match="takes labels -1 and"):
        train(net, X, zero_one, GradientDescent(net, 0.1), 3, measure=measure)
    halves = torch.full((8, 4), 0.5, dtype=torch.float64)  # two classes add up to one, four do not
    with regimes.data.checked_once(halves):
        CrossEntropy(2).value(torch.zeros(32, dtype=torch.float64), halves.flatten(), 16)
        with pytest.raises(ValueError, match="4 probabilities"):
            CrossEntropy(4).value(torch.zeros(32, dtype=torch.float64), halves.flatten(), 8)


def test_a_failed_test_is_made_again():
    bad = broken(Y)
    with regimes.data.checked_once(bad):
        for _ in range(2):
            with pytest.raises(ValueError, match="targets y contain"):
                gradient(two_layer(), X, bad)


MAKES = {
    "gradient descent": GradientDescent,
    "gauss-newton": lambda net, lr: GaussNewton(net, lr, damping=0.1),
    "adam": lambda net, lr: TorchOptimizer(net, torch.optim.Adam(net.parameters(), lr)),
}


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
@pytest.mark.parametrize("change", [lambda net, x: net.eval(), lambda net, x: x.add_(0.0)])
def test_a_loop_of_steps_checks_again_what_has_changed_and_nothing_else(make, change):
    calls, mixed = [], []

    class Net(torch.nn.Linear):
        def forward(self, x):
            calls.append(len(x))
            return super().forward(x) - (x.mean(0) @ self.weight.T if mixed else 0)

    x, y, net = X.clone(), Y[:, None].clone(), Net(D, 1).double()
    optimizer = make(net, 0.1)
    optimizer.step(x, y)
    first = len(calls)
    optimizer.step(x, y)
    assert len(calls) < 2 * first
    mixed.append(True)
    change(net, x)
    with pytest.raises(ValueError, match="mixes samples"):
        optimizer.step(x, y)
    x[0, 0] = torch.nan
    with pytest.raises(ValueError, match="inputs contain"):
        optimizer.step(x, y)


def test_numbers_that_break_during_training_are_reported_at_their_step():
    net, x = two_layer(), X.clone()

    def spoil(net):
        x[0] = torch.nan
        return torch.tensor(0.0)

    with pytest.raises(Diverged) as caught:
        train(net, x, Y, GradientDescent(net, 0.1), 5, measure={"spoil": spoil})
    assert caught.value.step == 1


@pytest.mark.parametrize("name", ["loss", "time", "step"])
def test_a_measurement_may_not_take_the_name_of_a_column(name):
    net = two_layer()
    before = net.W.clone()
    with pytest.raises(ValueError, match=f"itself records {name}: give the measurement another name, such as test_{name}"):
        train(net, X, Y, GradientDescent(net, 0.1), 5, measure={name: lambda net: loss_on(net, X, Y)})
    assert torch.equal(net.W, before)


def test_what_is_made_of_data_is_made_once_while_they_stay_the_same():
    x, calls = X.clone(), []

    def double(t):
        calls.append(1)
        return 2 * t

    with regimes.data.checked_once(x):
        for _ in range(2):
            four = regimes.data.made_once(double, regimes.data.made_once(double, x))
        assert len(calls) == 2 and torch.equal(four, 4 * x)
        x.add_(1.0)
        assert torch.equal(regimes.data.made_once(double, x), 2 * x)
        assert torch.equal(regimes.data.made_once(double, X), 2 * X)
    before = len(calls)
    regimes.data.made_once(double, x), regimes.data.made_once(double, x)
    assert len(calls) == before + 2


def test_a_kernel_is_the_same_again_from_what_a_training_keeps():
    net = two_layer()
    alone = jacobian(net, X).gram()
    with regimes.data.checked_once(X):
        assert all(torch.equal(jacobian(net, X).gram(), alone) for _ in range(3))
    other = two_layer()
    with regimes.data.checked_once(X):
        assert torch.equal(jacobian(net, X).gram(), jacobian(other, X).gram())


def test_a_loop_of_steps_sees_a_hook_that_came_between():
    """With a hook on the network its closed form no longer holds."""
    net, twin = two_layer(), two_layer()
    optimizer = GradientDescent(net, 0.1)
    optimizer.step(X, Y)
    GradientDescent(twin, 0.1).step(X, Y)
    for one in (net, twin):
        one.register_forward_hook(lambda net, x, f: 3 * f)
    optimizer.step(X, Y)
    GradientDescent(twin, 0.1).step(X, Y)
    assert torch.equal(net.W, twin.W) and torch.equal(net.v, twin.v)


def test_a_loop_of_steps_sees_a_network_that_was_converted():
    net = two_layer()
    optimizer = GradientDescent(net, 0.1)
    optimizer.step(X, Y)
    net.float()
    with pytest.raises(ValueError, match="the network is torch.float32 and the inputs are torch.float64"):
        optimizer.step(X, Y)

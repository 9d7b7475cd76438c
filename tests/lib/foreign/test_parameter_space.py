"""The Gauss-Newton step by other ways than the N x N system: the same step, to ten digits."""

import numpy as np
import pytest
import torch
from torch import nn

from regimes import GaussNewton, TwoLayer, gauss_newton
from regimes.linalg import Singular
from tests.lib.cases import relative
from tests.lib.foreign.modules import example, numbers, rows


def flat(direction):
    return torch.cat([t.flatten() for t in direction.tensors])


NETWORKS = {
    "two-layer": lambda: (TwoLayer(2, 4, seed=1), numbers(300, 2)),
    "stack": lambda: (TwoLayer(2, 4, runs=(3,), seed=1), numbers(300, 2)),
    "perceptron": lambda: (example("perceptron")[0], numbers(300, 3)),
    "convolution": lambda: (
        nn.Sequential(nn.Conv1d(5, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(4, 1)).double(),
        numbers(300, 5, 3),
    ),
}


@pytest.mark.parametrize("damping", [1e-6, 1e-2, 10.0])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_solver_takes_the_same_damped_step(name, damping):
    net, x = NETWORKS[name]()
    y = numbers(*net(x).shape, seed=2)
    wanted = flat(gauss_newton(net, x, y, damping=damping, solver="sample"))
    for solver, allowed in (("auto", 1e-7), ("parameter", 1e-7), ("cg", 1e-4)):
        assert relative(flat(gauss_newton(net, x, y, damping=damping, solver=solver)), wanted) < allowed, solver


def test_the_step_in_parameter_space_against_numpy():
    net, x = example("perceptron")[0], numbers(300, 3)
    y = numbers(300, 2, seed=2)
    J, r = rows(net, x).numpy(), (net(x) - y).detach().flatten().numpy()
    wanted = np.linalg.solve(J.T @ J + 0.1 * np.eye(J.shape[1]), J.T @ r)
    found = gauss_newton(net, x, y, damping=0.1)
    assert relative(flat(found), torch.from_numpy(wanted)) < 1e-10 and "parameter" in found.solve.method
    least = np.linalg.lstsq(J, r, rcond=1e-10)[0]
    assert relative(flat(gauss_newton(net, x, y, singular="drop")), torch.from_numpy(least)) < 1e-8
    with pytest.raises(Singular):
        gauss_newton(net, x, y)


def test_conjugate_gradients_tell_what_they_cost():
    net, x = example("perceptron")
    y = numbers(6, 2, seed=2)
    assert gauss_newton(net, x, y, damping=0.1, solver="cg").solve.iterations > 0
    with pytest.raises(ValueError, match="damping"):
        gauss_newton(net, x, y, solver="cg")
    with pytest.raises(ValueError, match="auto, sample, parameter, cg; got 'lu'"):
        gauss_newton(net, x, y, damping=0.1, solver="lu")


@pytest.mark.parametrize("damping", ["1e-3", None, -1.0, float("nan"), 1j])
def test_a_damping_is_a_number(damping):
    with pytest.raises(ValueError, match="damping must be a finite number >= 0"):
        GaussNewton(example("perceptron")[0], damping=damping)


def test_an_optimizer_is_made_for_a_network():
    with pytest.raises(ValueError, match="network itself"):
        GaussNewton(example("perceptron")[0].parameters())

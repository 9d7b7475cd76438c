"""Fixed output signs, leaks of any slope, and steps that mean the same at every width."""

import pytest
import torch
from torch.nn import functional as F

from regimes.losses import logistic
from regimes.networks import TwoLayer, fix_signs, leaky
from regimes.optimizers import GradientDescent
from regimes.problems import tug_of_war
from regimes.training import train
from tests.lib.cases import D, N, normal, relative


@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_half_of_the_signs_are_positive_and_nothing_but_the_hidden_layer_trains(width):
    net = TwoLayer(D, width, runs=(3,), seed=1, bias=False)
    assert fix_signs(net) is net
    assert net.v.tolist() == [[1.0] * ((width + 1) // 2) + [-1.0] * (width // 2)] * 3
    assert [name for name, p in net.named_parameters() if p.requires_grad] == ["W"]
    before = net.v.clone(), net.W.clone()
    GradientDescent(net, 0.1, loss=logistic).step(normal(N, D), torch.ones(N, dtype=torch.float64))
    assert torch.equal(net.v, before[0]) and not torch.equal(net.W, before[1])


def test_the_function_is_that_of_the_paper():
    net, x = fix_signs(TwoLayer(D, 5, bias=False, activation="leaky_softplus", seed=2)), normal(N, D, seed=3)
    wanted = sum(a * (w @ x.T + F.softplus(w @ x.T)) / 2 for a, w in zip((1, 1, 1, -1, -1), net.W, strict=True)) / 5
    assert relative(net(x).detach(), wanted.detach()) < 1e-14


def test_one_unit_with_the_identity_is_logistic_regression():
    """A step by hand: ``w <- w + eta mean(y x sigma(-q))``."""
    x, y = normal(N, D, seed=4), normal(N, seed=5).sign()
    net = fix_signs(TwoLayer(D, 1, bias=False, activation="identity", std=0.0))
    w = torch.zeros(D, dtype=torch.float64)
    for _ in range(4):
        GradientDescent(net, 3.0, loss=logistic).step(x, y)
        w = w + 3.0 * (torch.sigmoid(-y * (x @ w)) * y) @ x / N
    assert relative(net.W[0].detach(), w) < 1e-13


@pytest.mark.parametrize("eta", [4.0, 48.0])
def test_a_step_means_the_same_at_every_width(eta):
    """Each unit twice: the same outputs at every step. Their step is ``m eta``, which the time scale takes care of."""
    x, y = tug_of_war(0.1)
    losses = []
    for copies in (1, 3):
        net = fix_signs(TwoLayer(2, 6, bias=False, activation="leaky_softplus", seed=1)).units(torch.arange(6).repeat(copies))
        losses.append(train(net, x, y, GradientDescent(net, eta, loss=logistic), 40).loss)
    assert relative(losses[1], losses[0]) < 1e-10


def test_leaks_of_any_slope():
    z = torch.linspace(-5, 6, 23, dtype=torch.float64)
    phi, slope = leaky("silu", 0.3)(z)
    base, other = leaky("silu", 0.7)(z)
    assert relative(phi, 0.3 * z + 0.7 * F.silu(z)) < 1e-14
    assert relative(phi + base, z + F.silu(z)) < 1e-14
    assert slope.min() > 0.2 and other.min() > 0.6
    assert repr(leaky("gelu", 0.5)) == "leaky gelu (0.5)"


@pytest.mark.parametrize("slope", [0.0, 1.0, -0.1, float("nan")])
def test_a_leak_lies_between_nothing_and_everything(slope):
    with pytest.raises(ValueError, match="strictly between 0 and 1; got"):
        leaky("silu", slope)

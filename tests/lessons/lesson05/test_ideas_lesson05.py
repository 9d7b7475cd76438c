"""What the idea cells of lesson 05 write out, against the library."""

import pytest
import torch

from regimes.metrics import loss_on, refit
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton, GradientDescent
from regimes.theory.gauss_newton import shrinkage
from regimes.training import train
from regimes_course.lesson05.experiments import LOOK, watched
from tests.lessons.cells import lesson, run


@pytest.fixture(scope="module")
def names():
    """What the cells of the lesson leave that say how a network is trained and measured, and its data."""
    defines = ("y, y_test =", "def refit", "def gauss_newton")
    return run(lesson("05"), lambda cell: any(word in cell.text for word in defines))[-1][0]


def split(net):
    return net.W.detach().clone(), net.v.detach().clone()


@pytest.mark.parametrize("std, seed", [(0.1, 50), (0.1, 57), (1.0, 51), (10.0, 50)])
def test_the_refit_is_that_of_the_library(names, std, seed):
    data, net = names["data"], TwoLayer(3, 100, std=std, output_std=1.0, seed=seed)
    W, v = split(net)
    again = loss_on(refit(net, data.x, data.y), data.x_test, data.y_test).item()
    assert names["test_loss"](W, names["refit"](W, names["y"])) == pytest.approx(again, rel=1e-6)
    assert names["test_loss"](W, v) == pytest.approx(loss_on(net, data.x_test, data.y_test).item())


@pytest.mark.parametrize("eps", [5e-3, 0.1])
def test_gauss_newton_is_that_of_the_library(names, eps):
    data, net = names["data"], TwoLayer(3, 100, std=0.1, seed=53)
    path = names["gauss_newton"](*split(net), names["y"], steps=20, eta=0.05, eps=eps)
    train(net, data.x, data.y, GaussNewton(net, 0.05, damping=eps), 20)
    torch.testing.assert_close(path[-1], split(net), rtol=1e-6, atol=1e-8)


def test_a_huge_damping_is_gradient_descent(names):
    data, net = names["data"], TwoLayer(3, 100, std=0.1, seed=50)
    path = names["gauss_newton"](*split(net), names["y"], steps=100, eta=10.0, eps=1e4)
    train(net, data.x, data.y, GradientDescent(net, 50 * 10.0 / 1e4), 100)
    for mine, its in zip(path[-1], split(net), strict=True):
        assert (mine - its).norm() < 0.05 * its.norm()


def test_the_first_step_leaves_the_hidden_layer_where_it_is(names):
    assert torch.equal(names["quiet"][1][0], names["W0"]) and not torch.equal(names["quiet"][2][0], names["W0"])


def test_the_readers_run_is_that_of_the_first_picture(names):
    run = watched()
    for moment in run.moments:
        W, v = names["quiet"][moment.step]
        torch.testing.assert_close(W, moment.W, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(names["features"](W, names["X_test"]) @ v, moment.f, rtol=1e-5, atol=1e-6)
    i = int((run.time == LOOK).nonzero())
    W, v = names["quiet"][25]
    own, again = names["test_loss"](W, v), names["test_loss"](W, names["refit"](W, names["y"]))
    assert run.test[i].item() == pytest.approx(own, rel=1e-6) and run.refit[i].item() == pytest.approx(again, rel=1e-3)


@pytest.mark.parametrize("k", [5, 25, 50])
def test_the_share_is_that_of_theory_and_of_the_outputs(names, k):
    share = 1 - (1 - 0.02) ** k
    assert share == pytest.approx(float(shrinkage(k, 0.02)))
    W, v = names["quiet"][k]
    f = names["features"](W, names["X"]) @ v
    assert (f - share * names["y"]).norm() < 0.1 * share * names["y"].norm()

"""What the idea cells of lesson 06 write out, against the library."""

from unittest.mock import Mock

import pytest
import torch

from regimes.kernels import LazyScaling, neural_tangent_kernel
from regimes.metrics import change_from_init
from regimes.networks import TwoLayer
from regimes.optimizers import GradientDescent
from regimes.problems import digits, parity
from regimes.theory import lazy
from regimes.training import train
from regimes_course.lesson06.experiments import TENT, drifts, path, tent
from tests.lessons.cells import lesson, run


@pytest.fixture(scope="module")
def names():
    """What the cells of the lesson leave that define its functions and the nine points."""
    defines = ("def relu", "def train", "def kernel(", "def tangent", "def kernel_right", "def erf")
    drawn = dict.fromkeys(("learned", "pairs", "mirror"), lambda *data: ())
    page = {"draw": Mock(**drawn), "show": lambda: None, "guess": Mock(), "my_guess": ..., "found": {}}
    source = lesson("06")
    return run(source, lambda cell: any(word in cell.text for word in defines), data=parity(256, 30, seed=0), **page)[-1][0]


def library(names, m, d, activation="relu"):
    """The library's network with the lesson's start; the last of the ``d`` inputs stands for the bias."""
    W, v = names["start"](m, d)
    net = TwoLayer(d, m, activation=activation, scaling="ntk", bias=False, output_std=1.0)
    with torch.no_grad():
        net.W.copy_(W)
        net.v.copy_(v)
    return net


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_train_is_gradient_descent_of_the_library(names, activation):
    data, net = parity(40, 6, seed=1), library(names, 20, 6, activation)
    W, v = names["train"](data.x, data.y, 1.0, m=20, lr=0.05, steps=30, left=0, act=names[activation])
    train(net, data.x, data.y, GradientDescent(net, 40 * 0.05), 30)
    torch.testing.assert_close(W, net.W.detach())
    torch.testing.assert_close(v, net.v.detach())


def test_the_dial_is_that_of_the_library(names):
    data, net = parity(40, 6, seed=1), library(names, 20, 6)
    W, _ = names["train"](data.x, data.y, 0.3, m=20, lr=0.05, steps=30, left=0)
    scaled = LazyScaling(net, 0.3)
    train(scaled, data.x, data.y, GradientDescent(scaled, 40 * 0.05), 30)
    torch.testing.assert_close(W, scaled.net.W.detach())


def test_twins_start_at_zero(names):
    W, v = names["start"](200, 2)
    assert (torch.relu(names["X"] @ W.T) @ v).abs().max() < 1e-12


@pytest.mark.parametrize("alpha, m", [(0.1, 200), (10.0, 200), (1.0, 50)])
def test_the_readers_run_is_that_of_the_first_picture(names, alpha, m):
    torch.testing.assert_close(names["X"][:, 0], TENT)
    torch.testing.assert_close(names["y"], tent(TENT))
    W, v = names["train"](names["X"], names["y"], alpha, m, left=0)
    seen = path(alpha, m)
    torch.testing.assert_close(W, seen.W[-1], rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(v, seen.v[-1], rtol=1e-6, atol=1e-8)
    assert names["moved"](W, v) == pytest.approx(seen.moved[-1].item(), rel=1e-6)
    torch.testing.assert_close(seen.outputs(TENT), alpha / m**0.5 * torch.relu(names["X"] @ W.T) @ v, rtol=1e-6, atol=1e-8)


def test_kernels_are_those_of_the_library(names):
    data, net = parity(30, 8, seed=2), library(names, 50, 8)
    W, v = names["start"](50, 8)
    K = neural_tangent_kernel(net, data.x_test[:5], data.x)
    torch.testing.assert_close(names["kernel"](W, v, data.x_test[:5], data.x), K)
    x, z = 3 * data.x, torch.cat([data.x[:4], -data.x[:4], 0.1 * data.x[:4]])
    torch.testing.assert_close(names["K_infinite"](x, z), lazy.relu_kernel(x, z))
    assert names["K_infinite"](x, z).isfinite().all()


@pytest.mark.parametrize("k", [1, 10, 3000])
def test_the_tangent_is_that_of_theory(names, k):
    x, z = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.linspace(-1, 2, 7).double()
    K, K_new = lazy.relu_kernel(x), lazy.relu_kernel(z, x)
    expected = lazy.step_prediction(K, K_new, -y, 7 * 0.03, k)
    torch.testing.assert_close(names["tangent"](K, K_new, y, k), expected)


@pytest.mark.parametrize("d, n", [(15, 64), (30, 128)])
def test_the_count_is_kernel_regression(names, d, n):
    data = parity(n, d, seed=0)
    K, K_new = (lazy.relu_kernel(x, data.x) for x in (data.x, data.x_test))
    f = K_new @ torch.linalg.pinv(K, hermitian=True) @ data.y
    assert names["kernel_right"](d, n) == pytest.approx((f * data.y_test > 0).double().mean().item(), abs=0.003)


def test_no_sum_of_few_functions_holds_many_products():
    """The bound of the lesson, where everything can be listed: all inputs of 8 signs, 28 pairs, 12 samples."""
    signs = torch.cartesian_prod(*8 * [torch.tensor([-1.0, 1.0])]).double()
    products = torch.stack([signs[:, i] * signs[:, j] for i in range(8) for j in range(i)], 1) / 16
    torch.testing.assert_close(products.T @ products, torch.eye(28).double())
    some = torch.randperm(256, generator=torch.Generator().manual_seed(0))[:12]
    Q = torch.linalg.qr(lazy.relu_kernel(signs / 8**0.5, signs[some] / 8**0.5))[0]
    held = (Q.T @ products).square().sum(0)
    assert held.mean() <= 12 / 28 and held.max() > 2 * held.min()


def test_the_odd_part_of_the_kernel_is_linear():
    x = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    odd = (lazy.relu_kernel(*x) - lazy.relu_kernel(x[0], -x[1])) / 2
    torch.testing.assert_close(odd, x[0] @ x[1].T / 2)


@pytest.mark.parametrize("activation", ["erf", "relu"])
@pytest.mark.parametrize("one_sign", [False, True])
def test_drifts_are_those_of_the_library(activation, one_sign):
    data, generator = digits(3, 8, n=64, unit=True, seed=5), torch.Generator().manual_seed(7005)
    W, v = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((40, 64), (40,)))
    net = TwoLayer(64, 40, activation=activation, scaling="ntk", bias=False, output_std=1.0)
    with torch.no_grad():
        net.W.copy_(W)
        net.v.copy_(v.abs() if one_sign else v)
    net = LazyScaling(net, 1.0)
    lr = 64 / torch.linalg.eigvalsh(neural_tangent_kernel(net, data.x))[-1].item()
    train(net, data.x, data.y, GradientDescent(net, lr), 50)
    found = drifts(40, activation, torch.tensor([5]), one_sign=one_sign)
    assert found.item() == pytest.approx(change_from_init(net, data.x)["drift"].item(), rel=1e-6)


def test_what_is_left_late_is_at_the_corners(names):
    W, v = names["start"](200, 2)
    K = names["kernel"](W, v, names["X"], names["X"])
    left = names["y"] - names["tangent"](K, K, names["y"], 1000)
    corners = torch.tensor([2, 4, 6])
    others = torch.tensor([i for i in range(9) if i not in corners])
    assert (
        left[corners].abs().min() > 0.6 * left[others].abs().max()
        and left[corners].abs().mean() > 3 * left[others].abs().mean()
    )

import pytest
import torch
from cases import CASES, D, N, frozen, normal, perceptron, relative, runs_of, two_layer

from regimes import reference
from regimes.directions import time_scale
from regimes.metrics import condition_number, loss_on, spectrum

X, Y = normal(N, D, seed=1), normal(N, seed=2)


@pytest.mark.parametrize("name", ["mean field", "ntk, tanh, no bias", "convolution"])
def test_spectrum_is_that_of_the_dense_jacobian(name):
    net, x, _ = CASES[name]()
    s = torch.linalg.svdvals(reference.dense_jacobian(net, x))
    wanted = time_scale(net) * s**2
    assert relative(spectrum(net, x), wanted) < 1e-12
    assert condition_number(net, x).item() == pytest.approx((wanted[0] / wanted[-1]).item(), rel=1e-6)


def test_spectrum_of_runs_is_sorted_and_never_negative():
    net = frozen(two_layer(runs=(2, 3), seed=torch.arange(6).reshape(2, 3)), "v")
    lam = spectrum(net, normal(40, D, seed=3, std=0.01))
    assert lam.shape == (2, 3, 40) and (lam >= 0).all() and (lam.diff() <= 0).all()
    assert condition_number(net, X).shape == (2, 3)


def test_a_singular_kernel_has_an_infinite_condition_number():
    net = frozen(two_layer(), "W")
    assert condition_number(net, torch.cat([X, X[:3]])).item() > 1e15
    assert condition_number(two_layer(), torch.zeros(4, D, dtype=torch.float64)).item() > 1e15


def test_loss_on():
    net = two_layer(runs=(3,), seed=torch.arange(3))
    wanted = torch.stack([((one(X) - Y) ** 2).mean() / 2 for one in runs_of(net)]).detach()
    got = loss_on(net, X, Y)
    assert relative(got, wanted) < 1e-13 and not got.requires_grad


def test_loss_on_several_outputs_is_one_number():
    net, y = perceptron(2), normal(N, 2, seed=2)
    assert relative(loss_on(net, X, y), ((net(X) - y) ** 2).sum().detach() / (2 * N)) < 1e-13


def test_loss_on_never_broadcasts():
    with pytest.raises(ValueError, match="targets y"):
        loss_on(two_layer(), X, Y[:, None])

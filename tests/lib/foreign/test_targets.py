"""Targets in the shapes that people have: right, or refused; never broadcast."""

import pytest
import torch
from torch import nn

from regimes import TwoLayer, gauss_newton, gradient, hessian, sharpness
from regimes.losses import CrossEntropy, logistic, squared
from regimes.metrics import accuracy, loss_on, normalised_margin, smoothed_margin
from tests.lib.cases import relative
from tests.lib.foreign.modules import numbers

X, N = numbers(7, 3), 7
FUNCTIONS = {
    "gradient": lambda net, y, loss: gradient(net, X, y, loss=loss),
    "gauss-newton": lambda net, y, loss: gauss_newton(net, X, y, loss=loss, damping=0.1),
    "hessian": lambda net, y, loss: hessian(net, X, y, loss=loss),
    "sharpness": lambda net, y, loss: sharpness(net, X, y, loss=loss),
    "loss": lambda net, y, loss: loss_on(net, X, y, loss=loss),
}


def linear(outputs):
    torch.manual_seed(0)
    return nn.Linear(3, outputs).double()


WRONG = {
    "a vector for one column": (linear(1), numbers(N), squared),
    "a column for a vector": (TwoLayer(3, 4), numbers(N, 1), squared),
    "one row": (linear(2), numbers(1, 2), squared),
    "one number": (linear(2), numbers(1)[0], squared),
    "too few": (linear(2), numbers(N - 1, 2), squared),
    "transposed": (linear(2), numbers(2, N), squared),
    "class numbers": (linear(4), torch.arange(N) % 4, CrossEntropy(4)),
    "labels 0 and 1": (TwoLayer(3, 4), (numbers(N) > 0).double(), logistic),
    "integers": (TwoLayer(3, 4), torch.ones(N, dtype=torch.int64), squared),
    "numpy": (TwoLayer(3, 4), numbers(N).numpy(), squared),
    "complex": (TwoLayer(3, 4), numbers(N) * 1j, squared),
    "not finite": (TwoLayer(3, 4), numbers(N) / 0, squared),
}


@pytest.mark.parametrize("what", FUNCTIONS)
@pytest.mark.parametrize("name", WRONG)
def test_targets_that_do_not_fit(name, what):
    net, y, loss = WRONG[name]
    with pytest.raises(ValueError):
        FUNCTIONS[what](net, y, loss)


def test_class_numbers_are_told_of_one_hot():
    with pytest.raises(ValueError, match="one_hot"):
        gradient(linear(4), X, torch.arange(N) % 4, loss=CrossEntropy(4))


@pytest.mark.parametrize("loss", [squared, logistic])
@pytest.mark.parametrize("shape", [(N, 1), (1,), (N - 1,)])
def test_a_loss_called_by_hand_does_not_broadcast(loss, shape):
    with pytest.raises(ValueError, match="shape"):
        loss.value(numbers(N), torch.ones(shape, dtype=torch.float64), N)


def test_accuracy_in_every_notation():
    net = linear(4)
    best = net(X).argmax(-1)
    wrong = torch.where(torch.arange(N) < 2, (best + 1) % 4, best)
    for y in (wrong, nn.functional.one_hot(wrong, 4), nn.functional.one_hot(wrong, 4).double()):
        assert accuracy(net, X, y).item() == pytest.approx(5 / 7)
    for one in (TwoLayer(3, 6, output_std=1.0, seed=1), linear(1)):
        signs = one(X).detach().sign()
        signs[:2] *= -1
        assert accuracy(one, X, signs).item() == pytest.approx(5 / 7)
    for y in (wrong[:-1], numbers(N, 3), torch.full((N,), 9)):
        with pytest.raises(ValueError):
            accuracy(net, X, y)


@pytest.mark.parametrize("margin", [normalised_margin, lambda *args: smoothed_margin(*args, kappa=1.0)])
def test_the_margin_of_outputs_in_a_column_is_one_number(margin):
    net = nn.Sequential(nn.Linear(3, 5, bias=False), nn.ReLU(), nn.Linear(5, 1, bias=False)).double()
    y = numbers(N, seed=2).sign()
    size = sum(p.detach().square().sum() for p in net.parameters()).sqrt()
    q = (y * net(X)[:, 0].detach()).numpy()
    for labels in (y, y[:, None]):
        try:
            found = margin(net, X, labels)
        except ValueError:
            continue  # refused in one of the two notations is as good
        assert found.shape == ()
        if margin is normalised_margin:
            assert relative(found, torch.tensor(q.min()) / size) < 1e-10
    with pytest.raises(ValueError):
        margin(net, X, y[:1])

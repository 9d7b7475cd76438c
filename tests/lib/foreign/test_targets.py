"""Targets in the shapes that people have: right, or refused; never broadcast."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from regimes import TwoLayer, gauss_newton, gradient, hessian, sharpness
from regimes.losses import CrossEntropy, logistic, squared
from regimes.metrics import accuracy, loss_on, normalised_margin, smoothed_margin
from tests.lib.cases import filled, relative
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
    return filled(nn.Linear(3, outputs))


def square(f, y):
    """A loss that broadcasts."""
    return (f - y).square().mean()


CLASSES = torch.arange(N) % 4
WRONG = {
    "a vector for one column": (linear(1), numbers(N), squared, r"\(7, 1\).*\(7,\). Pass y.reshape\(7, 1\)"),
    "a column for a vector": (TwoLayer(3, 4), numbers(N, 1), squared, r"Pass y.reshape\(7,\)"),
    "one row": (linear(2), numbers(1, 2), squared, r"\(7, 2\).*\(1, 2\)"),
    "one number": (linear(2), numbers(1)[0], squared, r"\(7, 2\).*\(\)"),
    "too few": (linear(2), numbers(N - 1, 2), squared, r"\(7, 2\).*\(6, 2\)"),
    "transposed": (linear(2), numbers(2, N), squared, r"\(7, 2\).*\(2, 7\)"),
    "class numbers": (linear(4), CLASSES, CrossEntropy(4), r"class numbers, pass one_hot\(y, 4\)"),
    "class numbers, squared loss": (linear(4), CLASSES, squared, r"class numbers, pass one_hot\(y, 4\)"),
    "other classes than outputs": (linear(4), torch.full((N, 4), 0.5).double(), CrossEntropy(2), r"takes outputs \(n, 2\)"),
    "classes of a single output": (TwoLayer(3, 4), torch.ones(N).double(), CrossEntropy(7), r"takes outputs \(n, 7\)"),
    "labels 0 and 1": (TwoLayer(3, 4), (numbers(N) > 0).double(), logistic, "labels -1 and .* 2 \\* y - 1"),
    "integers": (TwoLayer(3, 4), torch.ones(N, dtype=torch.int64), squared, "convert y.to"),
    "numpy": (TwoLayer(3, 4), numbers(N).numpy(), squared, "ndarray|torch.from_numpy"),
    "complex": (TwoLayer(3, 4), numbers(N) * 1j, squared, "complex"),
    "not finite": (TwoLayer(3, 4), numbers(N) / 0, squared, "not finite"),
    "a vector for one column, own loss": (linear(1), numbers(N), square, r"Pass y.reshape\(7, 1\)"),
    "a column for two, own loss": (linear(2), numbers(N, 1), square, r"\(7, 2\).*\(7, 1\)"),
    "one row, own loss": (linear(2), numbers(1, 2), square, r"\(7, 2\).*\(1, 2\)"),
    "as many classes as samples, own loss": (linear(N), torch.arange(N), square, "class numbers"),
    "numbers for a vector each, own loss": (linear(N), numbers(N), square, r"\(7, 7\).*\(7,\)"),
}


@pytest.mark.parametrize("what", FUNCTIONS)
@pytest.mark.parametrize("name", WRONG)
def test_targets_that_do_not_fit(name, what):
    net, y, loss, why = WRONG[name]
    with pytest.raises(ValueError, match=why):
        FUNCTIONS[what](net, y, loss)


BY_HAND = {  # how a loss is called, with outputs and targets
    "value": lambda loss, f, y: loss.value(f, y, N),
    "grad": lambda loss, f, y: loss.grad(f, y),
    "hessian_diag": lambda loss, f, y: loss.hessian_diag(f, y),
    "hessian": lambda loss, f, y: loss.hessian(f, y, N),
    "log_value": lambda loss, f, y: loss.log_value(f, y, N),
    "newton": lambda loss, f, y: loss.newton(f, y),
}
ONE = torch.ones(N, dtype=torch.float64)
SHAPES = {
    "outputs in a column": (ONE[:, None], ONE),
    "targets in a column": (ONE, ONE[:, None]),
    "one target": (ONE, ONE[:1]),
    "a number": (ONE, ONE[0]),
    "too few": (ONE, ONE[1:]),
    "targets of several runs": (ONE, ONE.expand(3, N)),
    "a list": (ONE, [1.0] * N),
}


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    ("loss", "call"), [(loss, call) for loss in (squared, logistic, CrossEntropy(1)) for call in BY_HAND if hasattr(loss, call)]
)
def test_a_loss_called_by_hand_does_not_broadcast(loss, call, shapes):
    assert torch.isfinite(BY_HAND[call](loss, ONE, ONE)).all()
    with pytest.raises(ValueError, match="a loss takes outputs and targets|pass a tensor"):
        BY_HAND[call](loss, *shapes)


def test_accuracy_of_several_outputs_in_every_notation():
    net = linear(4)
    best = net(X).argmax(-1)
    wrong = torch.where(torch.arange(N) < 2, (best + 1) % 4, best)
    hot = F.one_hot(wrong, 4)
    for y in (wrong, wrong[:, None], wrong.int(), wrong.to(torch.uint8), hot, hot.double(), hot.bool(), 3.0 * hot - 1):
        assert accuracy(net, X, y).item() == pytest.approx(5 / 7)
    refused = [
        (wrong[:-1], r"\(7, 4\).*\(6,\)"),
        (hot[:1], r"\(7, 4\).*\(1, 4\)"),
        (hot.T, r"\(7, 4\).*\(4, 7\)"),
        (wrong[0], r"\(7, 4\).*\(\)"),
        (wrong.double(), r"y.long\(\)"),
        (wrong - 4, "0 to 3; got -"),
        (wrong + 4, "0 to 3; got [4-7] to [4-7]"),
        (hot / 0.0, "not finite"),
        (wrong.numpy(), "pass a tensor"),
        (wrong.tolist(), "pass a tensor"),
    ]
    for y, why in refused:
        with pytest.raises(ValueError, match=why):
            accuracy(net, X, y)


@pytest.mark.parametrize("net", [TwoLayer(3, 6, output_std=1.0, seed=1), linear(1)], ids=["vector", "column"])
def test_accuracy_of_one_output_in_every_notation(net):
    signs = net(X).detach().sign().flatten()
    signs[:2] *= -1
    for y in (signs, signs[:, None], signs.long(), signs.float()):
        assert accuracy(net, X, y).item() == pytest.approx(5 / 7)
    for y, why in (
        ((signs > 0).double(), r"2 \* y - 1"),
        (signs > 0, r"2 \* y - 1"),
        (signs[:1], r"\(1,\)"),
        (signs[0], r"\(\)"),
    ):
        with pytest.raises(ValueError, match=why):
            accuracy(net, X, y)
    assert accuracy(net, X, 2 * (signs > 0) - 1).item() == pytest.approx(5 / 7)


def test_labels_of_a_stack_are_shared_or_each_runs_own():
    stack = TwoLayer(3, 6, runs=(2,), output_std=1.0, seed=1)
    f = stack(X).detach()
    size = torch.stack([torch.cat([stack.W[i].flatten(), stack.v[i]]).norm() / math.sqrt(6) for i in range(2)]).detach()
    y = torch.stack([numbers(N, seed=i).sign() for i in (2, 3)])
    for labels in (y, y[0], y[..., None]):
        q = f * labels.reshape(-1, N)
        assert relative(accuracy(stack, X, labels), (q > 0).double().mean(-1)) < 1e-15
        assert relative(normalised_margin(stack, X, labels), q.amin(-1) / size) < 1e-12


@pytest.mark.parametrize("outputs", ["column", "vector"])
def test_margins_are_one_number(outputs):
    column = filled(nn.Sequential(nn.Linear(3, 5, bias=False), nn.ReLU(), nn.Linear(5, 1, bias=False)))
    net = column if outputs == "column" else nn.Sequential(column, nn.Flatten(0))
    y = numbers(N, seed=2).sign()
    size = sum(p.detach().square().sum() for p in net.parameters()).sqrt().numpy()
    q = (y * column(X)[:, 0].detach()).numpy()
    smooth = -np.log(np.log1p(np.exp(-q)).sum()) - np.log(2) - 1.0
    for labels in (y, y[:, None], y.long(), y.float()):
        assert relative(normalised_margin(net, X, labels), torch.tensor(q.min() / size)) < 1e-12
        assert relative(smoothed_margin(net, X, labels, kappa=1.0), torch.tensor(smooth / size)) < 1e-12
    for labels, why in (
        (y[:1], r"\(1,\)"),
        (y[:1, None], r"\(1, 1\)"),
        ((y > 0).double(), r"2 \* y - 1"),
        (y / 0 * 0, "got nan"),
    ):
        for margin in (normalised_margin, lambda *args: smoothed_margin(*args, kappa=1.0)):
            with pytest.raises(ValueError, match=why):
                margin(net, X, labels)
    with pytest.raises(ValueError, match="one output per sample"):
        normalised_margin(linear(2), X, torch.ones(N, 2))

"""Losses of other people: torch's own and functions of outputs and targets; and the generalised Gauss-Newton step for them."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from regimes import GaussNewton, GradientDescent, TwoLayer, gauss_newton, gradient, hessian, sharpness, train
from regimes.losses import CrossEntropy, logistic, squared
from regimes.metrics import loss_on
from tests.lib.cases import relative
from tests.lib.foreign.modules import example, numbers, rows


def flat(tensors):
    return torch.cat([t.detach().flatten() for t in tensors])


NET, X = example("perceptron")
CLASSES = torch.tensor([0, 1, 1, 0, 1, 0])
ONE_HOT = F.one_hot(CLASSES, 2).double()
REAL = numbers(6, 2, seed=4)
LOSSES = {  # targets, and the function of outputs (n, 2)
    "mse of torch": (REAL, nn.MSELoss()),
    "mse, sum": (REAL, nn.MSELoss(reduction="sum")),
    "cross entropy of class numbers": (CLASSES, nn.CrossEntropyLoss()),
    "cross entropy, smoothed": (CLASSES, nn.CrossEntropyLoss(label_smoothing=0.1)),
    "binary cross entropy": (ONE_HOT, nn.BCEWithLogitsLoss()),
    "huber": (REAL, lambda f, y: F.huber_loss(f, y, delta=0.3)),
    "own": (REAL, lambda f, y: (f - y).pow(4).sum() / 7 + torch.logaddexp(f, -f).mean()),
}


def literal(y, function):
    """Value, gradient in the parameters, and the Hessian of the function in the outputs, by plain autograd."""
    f = NET(X).detach().requires_grad_()
    value = function(f, y)
    (g,) = torch.autograd.grad(value, f, create_graph=True)
    each = [torch.autograd.grad(gi, f, retain_graph=True, materialize_grads=True)[0].flatten() for gi in g.flatten()]
    return value.detach(), g.detach().flatten(), torch.stack(each)


@pytest.mark.parametrize("name", LOSSES)
def test_value_gradient_and_hessian_are_those_of_the_function(name):
    y, function = LOSSES[name]
    value, g, _ = literal(y, function)
    J = rows(NET, X)
    found = gradient(NET, X, y, loss=function)
    assert relative(found.loss, value) < 1e-12 and relative(loss_on(NET, X, y, loss=function), value) < 1e-12
    assert relative(flat(found.tensors), J.T @ g) < 1e-10
    w = [p for p in NET.parameters()]
    of_w = torch.cat([t.flatten() for t in torch.autograd.grad(function(NET(X), y), w, create_graph=True)])
    H = torch.stack([torch.cat([t.flatten() for t in torch.autograd.grad(gi, w, retain_graph=True)]) for gi in of_w])
    assert relative(hessian(NET, X, y, loss=function).dense().detach(), H) < 1e-9
    assert relative(sharpness(NET, X, y, loss=function), torch.linalg.eigvalsh(H)[-1]) < 1e-6


@pytest.mark.parametrize("epsilon", [1e-6, 1e-2, 10.0])
@pytest.mark.parametrize("name", LOSSES)
def test_the_damped_step_is_that_of_the_dense_matrix(name, epsilon):
    """``(J^T H J + eps)^-1 J^T g`` with ``g, H`` of ``n`` times the loss."""
    y, function = LOSSES[name]
    _, g, H = literal(y, function)
    J, n = rows(NET, X), len(X)
    wanted = torch.linalg.solve(n * J.T @ H @ J + epsilon * torch.eye(J.shape[1]).double(), n * J.T @ g)
    assert relative(flat(gauss_newton(NET, X, y, loss=function, damping=epsilon).tensors), wanted) < 1e-7


def test_functions_agree_with_the_losses_of_the_library():
    y, signs = ONE_HOT, numbers(6, seed=9).sign()
    pairs = [
        (NET, y, CrossEntropy(2), lambda f, y: -(y * torch.log_softmax(f, -1)).sum() / 6),
        (TwoLayer(3, 8, seed=1), signs, logistic, lambda f, y: F.softplus(-y * f).mean()),
        (NET, REAL, squared, lambda f, y: (f - y).square().sum() / 12),
    ]
    for net, y, ours, function in pairs:
        for what in (
            lambda net, y, loss: flat(gradient(net, X, y, loss=loss).tensors),
            lambda net, y, loss: gradient(net, X, y, loss=loss).loss,
            lambda net, y, loss: flat(gauss_newton(net, X, y, loss=loss, damping=0.1).tensors),
            lambda net, y, loss: sharpness(net, X, y, loss=loss, method="dense"),
        ):
            assert relative(what(net, y, function), what(net, y, ours)) < 1e-9


def test_a_stack_is_served_run_by_run():
    stack, y = TwoLayer(3, 8, runs=(2,), seed=1), numbers(6, seed=9).sign()
    function = nn.SoftMarginLoss()
    found = gauss_newton(stack, X, y, loss=function, damping=0.1)
    for i in range(2):
        alone = gauss_newton(TwoLayer(3, 8, seed=1 + i), X, y, loss=function, damping=0.1)
        assert relative(found.loss[i], alone.loss) < 1e-12
        assert relative(flat(t[i] for t in found.tensors), flat(alone.tensors)) < 1e-10


def test_gauss_newton_on_cross_entropy_fits_the_classes():
    net, x = example("perceptron")
    trace = train(net, x, CLASSES, GaussNewton(net, 0.5, loss=nn.CrossEntropyLoss(), damping=0.1), 30)
    assert trace.loss[-1] < 0.01 * trace.loss[0]
    other, _ = example("perceptron")
    slow = train(other, x, CLASSES, GradientDescent(other, 0.1, loss=nn.CrossEntropyLoss()), 0)
    assert relative(slow.loss[0], trace.loss[0]) < 1e-12


REFUSED = {
    "none": (nn.MSELoss(reduction="none"), REAL, "one real number"),
    "no loss": ("mse", REAL, "loss"),
    "coupled": (lambda f, y: (f.sum(0) - y.sum(0)).square().sum(), REAL, "couples samples"),
    "not convex": (lambda f, y: torch.sin(f - y).sum(), REAL, "convex|negative"),
}


@pytest.mark.parametrize(("loss", "y", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_loss_for_gauss_newton(loss, y, why):
    with pytest.raises(ValueError, match=why):
        gauss_newton(NET, X, y, loss=loss, damping=0.1)

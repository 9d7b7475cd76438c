"""Losses of other people: torch's own and functions of outputs and targets; and the generalised Gauss-Newton step for them."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from regimes import GaussNewton, GradientDescent, TwoLayer, gauss_newton, gradient, hessian, sharpness, train
from regimes.losses import CrossEntropy, logistic, squared
from regimes.metrics import loss_on
from regimes.network import Network
from regimes.optimizers import TorchOptimizer
from regimes.solvers import Flat
from tests.lib.cases import filled, relative
from tests.lib.foreign.modules import Module, example, numbers, rows


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
    "cross entropy, weighted": (CLASSES, nn.CrossEntropyLoss(weight=torch.tensor([0.3, 2.0]).double())),
    "cross entropy, smoothed": (CLASSES, nn.CrossEntropyLoss(label_smoothing=0.1)),
    "binary cross entropy": (ONE_HOT, nn.BCEWithLogitsLoss()),
    "huber": (REAL, lambda f, y: F.huber_loss(f, y, delta=0.3)),
    "own": (REAL, lambda f, y: (f - y).pow(4).sum() / 7 + torch.logaddexp(f, -f).mean()),
    "linear along some outputs": (REAL, lambda f, y: torch.logaddexp(f[:, 0], 3 * f[:, 1]).sum() - (f * y).sum()),
}


def literal(net, x, y, function):
    """Value, gradient and Hessian of the function in the outputs, by plain autograd, output by output."""
    f = net(x).detach().requires_grad_()
    value = function(f, y)
    (g,) = torch.autograd.grad(value, f, create_graph=True)
    each = [torch.autograd.grad(gi, f, retain_graph=True, materialize_grads=True)[0].flatten() for gi in g.flatten()]
    return value.detach(), g.detach().flatten(), torch.stack(each)


def stacked(net, x, y, function):
    """``S^T J`` and ``S^+ g``, with ``S S^T`` the Hessian of ``n`` times the function, and ``J^T`` times what ``S^+`` drops."""
    _, g, H = (len(x) * t.numpy() for t in literal(net, x, y, function))
    J, (lam, Q) = rows(net, x).numpy(), np.linalg.eigh(H)
    S, Q0 = Q[:, lam > 1e-13 * lam[-1]] * np.sqrt(lam[lam > 1e-13 * lam[-1]]), Q[:, lam <= 1e-13 * lam[-1]]
    rest = Q0.T @ g
    return S.T @ J, np.linalg.pinv(S) @ g, J.T @ Q0 @ np.where(abs(rest) > 1e-13, rest, 0.0)


@pytest.mark.parametrize("name", LOSSES)
def test_value_gradient_and_hessian_are_those_of_the_function(name):
    y, function = LOSSES[name]
    value, g, _ = literal(NET, X, y, function)
    found = gradient(NET, X, y, loss=function)
    assert relative(found.loss, value) < 1e-13 and relative(loss_on(NET, X, y, loss=function), value) < 1e-13
    assert relative(flat(found.tensors), rows(NET, X).T @ g) < 1e-12
    w = list(NET.parameters())
    of_w = flat_graph(torch.autograd.grad(function(NET(X), y), w, create_graph=True))
    H = torch.stack([flat_graph(torch.autograd.grad(gi, w, retain_graph=True)) for gi in of_w])
    assert relative(hessian(NET, X, y, loss=function).dense().detach(), H) < 1e-12
    assert relative(sharpness(NET, X, y, loss=function, method="dense"), torch.linalg.eigvalsh(H)[-1]) < 1e-12
    assert relative(sharpness(NET, X, y, loss=function), torch.linalg.eigvalsh(H)[-1]) < 1e-6


def flat_graph(tensors):
    return torch.cat([t.flatten() for t in tensors])


FEW = filled(Module(lambda net, x: torch.cat([net.a(x), torch.tanh(2 * net.a(x) + x[:, :1])], -1), a=nn.Linear(3, 1)))
NETWORKS = {"more parameters": (NET, X), "fewer parameters": (FEW, numbers(40, 3))}


def targets(y, n):
    return y.repeat(*[1 + n // len(y)] + [1] * (y.ndim - 1))[:n]


@pytest.mark.parametrize("solver", ["auto", "parameter"])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("size", NETWORKS)
def test_the_damped_step_is_that_of_one_tall_system(size, name, solver):
    """``(J^T H J + eps)^-1 J^T g`` as least squares, where nothing is squared."""
    (net, x), (y, function) = NETWORKS[size], LOSSES[name]
    y = targets(y, len(x))
    A, b, rest = stacked(net, x, y, function)
    for epsilon in (1e-8, 1e-6, 1e-2, 10.0):
        root = np.sqrt(epsilon)
        tall = np.concatenate([A, root * np.eye(A.shape[1])])
        wanted = np.linalg.lstsq(tall, np.concatenate([b, rest / root]), rcond=1e-16)[0]
        found = gauss_newton(net, x, y, loss=function, damping=epsilon, solver=solver)
        assert relative(flat(found.tensors), torch.from_numpy(wanted)) < 1e-8, epsilon


@pytest.mark.parametrize("solver", ["auto", "sample", "parameter"])
@pytest.mark.parametrize("size", NETWORKS)
@pytest.mark.parametrize("name", LOSSES)
def test_the_undamped_step_is_the_shortest_of_the_best(name, size, solver):
    (net, x), (y, function) = NETWORKS[size], LOSSES[name]
    y = targets(y, len(x))
    A, b, rest = stacked(net, x, y, function)
    if np.abs(rest).max() > 0:
        assert name in ("huber", "linear along some outputs")
        with pytest.raises(Flat, match="slope but no curvature at .* of .* outputs.* positive damping"):
            gauss_newton(net, x, y, loss=function, solver=solver, singular="drop")
        return
    wanted = torch.from_numpy(np.linalg.pinv(A, rcond=1e-10) @ b)
    found = gauss_newton(net, x, y, loss=function, solver=solver, singular="drop")
    assert relative(flat(found.tensors), wanted) < (1e-8 if solver == "sample" else 1e-10)
    if size == "more parameters":
        assert relative(flat(gauss_newton(net, x, y, loss=function, solver=solver).tensors), wanted) < 1e-10
    else:
        with pytest.raises(ValueError, match="the kernel is singular"):
            gauss_newton(net, x, y, loss=function, solver=solver)


def test_a_full_step_of_a_linear_network_is_newtons():
    net, x, y = filled(nn.Linear(3, 2)), numbers(40, 3), targets(CLASSES, 40)
    w = list(net.parameters())
    slope = flat_graph(torch.autograd.grad(F.cross_entropy(net(x), y), w, create_graph=True))
    H = torch.stack([flat_graph(torch.autograd.grad(s, w, retain_graph=True)) for s in slope])
    found = gauss_newton(net, x, y, loss=nn.CrossEntropyLoss(), singular="drop")
    assert relative(flat(found.tensors), torch.linalg.pinv(H, rtol=1e-10) @ slope.detach()) < 1e-10


def test_a_loss_without_curvature_is_followed_by_its_slope():
    y, epsilon = REAL, 0.7
    g = (NET(X) - y).detach().sign() / 2  # of n times the mean over all outputs
    for solver in ("sample", "parameter", "cg"):
        found = gauss_newton(NET, X, y, loss=nn.L1Loss(), damping=epsilon, solver=solver)
        assert relative(flat(found.tensors), rows(NET, X).T @ g.flatten() / epsilon) < 1e-10


@pytest.mark.parametrize("scale", [30.0, 300.0, 3000.0])
@pytest.mark.parametrize("right", [True, False])
def test_classes_that_are_almost_certain(scale, right):
    """By hand and by the library: with probabilities down to the smallest numbers, and none."""
    net = nn.Linear(3, 3).double()
    with torch.no_grad():
        net.weight.copy_(scale * numbers(3, 3))
    y = net(X).argmax(-1)
    y = y if right else (y + 1) % 3
    ours, theirs = CrossEntropy(3), nn.CrossEntropyLoss()
    a = gauss_newton(net, X, F.one_hot(y, 3).double(), loss=ours, damping=1e-3)
    b = gauss_newton(net, X, y, loss=theirs, damping=1e-3)
    assert torch.isfinite(flat(a.tensors)).all() and torch.allclose(a.loss, b.loss, rtol=1e-12, atol=0)
    size = flat(a.tensors).norm().clamp(min=1e-12)
    assert (flat(a.tensors) - flat(b.tensors)).norm() < 1e-6 * size


SIGNS = numbers(6, seed=9).sign()
PAIRS = {
    "cross entropy": (NET, ONE_HOT, CrossEntropy(2), lambda f, y: -(y * (f - f.logsumexp(-1, True))).sum() / 6),
    "logistic": (TwoLayer(3, 8, seed=1), SIGNS, logistic, lambda f, y: torch.log1p(torch.exp(-y * f)).mean()),
    "squared": (NET, REAL, squared, lambda f, y: (f - y).square().sum() / 12),
}


@pytest.mark.parametrize("name", PAIRS)
def test_functions_agree_with_the_losses_of_the_library(name):
    net, y, ours, function = PAIRS[name]
    for what in (
        lambda loss: gradient(net, X, y, loss=loss).loss,
        lambda loss: flat(gradient(net, X, y, loss=loss).tensors),
        lambda loss: hessian(net, X, y, loss=loss).dense().detach(),
        lambda loss: sharpness(net, X, y, loss=loss, method="dense"),
        lambda loss: flat(gauss_newton(net, X, y, loss=loss, damping=0.1).tensors),
        lambda loss: flat(gauss_newton(net, X, y, loss=loss, singular="drop").tensors),
    ):
        assert relative(what(function), what(ours)) < 1e-12


def test_a_loss_that_couples_samples_has_a_gradient_and_a_hessian():
    for net, function in ((NET, lambda f, y: (f - y).square().mean().sqrt()), (TwoLayer(3, 4), lambda f, y: (f - y).var())):
        y = numbers(*net(X).shape, seed=4)
        w = list(net.parameters())
        slope = flat_graph(torch.autograd.grad(function(net(X), y), w, create_graph=True))
        H = torch.stack([flat_graph(torch.autograd.grad(s, w, retain_graph=True)) for s in slope])
        assert relative(hessian(net, X, y, loss=function).dense().detach(), H) < 1e-10
        c = net.time_scale if isinstance(net, Network) else 1.0
        assert relative(flat(gradient(net, X, y, loss=function).tensors), c * slope.detach()) < 1e-12


class Stack(Network):
    """Linear networks of three classes, side by side."""

    def __init__(self, W):
        super().__init__()
        self.runs, self.W = tuple(W.shape[:-2]), nn.Parameter(W)

    def forward(self, x):
        return x @ self.W


@pytest.mark.parametrize("shared", [True, False])
def test_a_stack_is_served_run_by_run(shared):
    W, loss = numbers(2, 3, 3), nn.CrossEntropyLoss()
    y = torch.tensor([0, 2, 1, 1, 0, 2]) if shared else torch.tensor([[0, 2, 1, 1, 0, 2], [1, 1, 0, 2, 2, 0]])
    for what in (
        lambda net, y: gauss_newton(net, X, y, loss=loss, damping=0.1).tensors[0],
        lambda net, y: gauss_newton(net, X, y, loss=loss, singular="drop").tensors[0],
        lambda net, y: gauss_newton(net, X, y, loss=loss, damping=0.1, solver="cg").tensors[0],
        lambda net, y: gradient(net, X, y, loss=loss).tensors[0],
        lambda net, y: gradient(net, X, y, loss=loss).loss,
        lambda net, y: loss_on(net, X, y, loss=loss),
        lambda net, y: sharpness(net, X, y, loss=loss),
    ):
        alone = torch.stack([what(Stack(W[i]), y if shared else y[i]) for i in range(2)])
        assert relative(what(Stack(W), y), alone) < 1e-8


def test_a_stack_takes_flat_samples():
    class OfImages(Stack):
        def forward(self, x):
            return super().forward(x.flatten(1))

    net, images = OfImages(numbers(2, 9, 1)), numbers(5, 1, 3, 3)
    with pytest.raises(ValueError, match=r"\(5, 1, 3, 3\) has 3 of them and the outputs have 5; flatten each sample"):
        gradient(net, images, numbers(5, 1))
    assert gradient(net, images.flatten(1), numbers(5, 1)).loss.shape == (2,)


def test_samples_without_curvature_may_differ_from_run_to_run():
    """A squared hinge: a step removes what is left of it, by the samples that need one."""

    def hinge(f, y):
        return F.relu(1 - y * f).square().mean()

    stack = TwoLayer(3, 30, runs=(3,), output_std=3.0, seed=0)
    wrong = (SIGNS * stack(X) < 1).sum(-1)
    assert len(set(wrong.tolist())) > 1
    found = gauss_newton(stack, X, SIGNS, loss=hinge)
    for i in range(3):
        net = TwoLayer(3, 30, output_std=3.0, seed=i)
        q, J = (SIGNS * net(X)).detach(), rows(net, X)
        active = q < 1
        wanted = torch.linalg.pinv(J[active]) @ (SIGNS * (q - 1))[active]
        assert relative(flat(t[i] for t in found.tensors), wanted) < 1e-9


def test_every_optimizer_takes_a_function():
    loss, sgd = nn.CrossEntropyLoss(), lambda net: torch.optim.SGD(net.parameters(), lr=0.1)
    twins = [example("perceptron")[0] for _ in range(3)]
    plain = sgd(twins[2])
    F.cross_entropy(twins[2](X), CLASSES).backward()
    plain.step()
    GradientDescent(twins[0], 0.1, loss=loss).step(X, CLASSES)
    TorchOptimizer(twins[1], sgd(twins[1]), loss=loss).step(X, CLASSES)
    for net in twins[:2]:
        assert relative(flat(net.parameters()), flat(twins[2].parameters())) < 1e-14
    net, x = example("perceptron")
    trace = train(net, x, CLASSES, GaussNewton(net, 0.5, loss=loss, damping=0.1), 30)
    assert trace.loss[-1] < 0.01 * trace.loss[0]


COUPLED = {
    "the mean": lambda f, y: (f.sum(0) - y.sum(0)).square().sum(),
    "the root": lambda f, y: (f - y).square().mean().sqrt(),
    "neighbours, weakly": lambda f, y: (f - y).square().sum() + 1e-9 * (f[1:] * f[:-1]).sum(),
}
REFUSED = {
    "none": (nn.MSELoss(reduction="none"), REAL, "one real number"),
    "a number": (lambda f, y: F.mse_loss(f, y).item(), REAL, "one real number as a tensor; <lambda> returned float"),
    "cut off": (lambda f, y: F.mse_loss(f.detach(), y), REAL, "does not depend on the outputs"),
    "steps": (lambda f, y: (f.argmax(-1) == y).double().mean(), CLASSES, "does not depend on the outputs"),
    "no loss": ("mse", REAL, "a loss is one of regimes.losses, or a function"),
    "nothing": (None, REAL, "a loss is one of regimes.losses, or a function"),
    "a class": (nn.MSELoss, REAL, r"pass MSELoss\(\)"),
    "classes that do not exist": (nn.CrossEntropyLoss(), CLASSES + 1, r"failed on outputs \(6, 2\)"),
    "classes as numbers": (
        nn.CrossEntropyLoss(),
        CLASSES.double(),
        r"failed on outputs \(6, 2\).* targets \(6,\), torch.float64",
    ),
    "three arguments": (nn.GaussianNLLLoss(), REAL, "GaussianNLLLoss failed on outputs"),
    "no second derivative": (nn.MultiMarginLoss(), CLASSES, "no second derivative of this loss"),
    "not convex": (lambda f, y: torch.sin(f - y).sum(), REAL, "needs a loss that is convex"),
    "a saddle in each sample": (
        lambda f, y: (f[:, 0] * f[:, 1] - y[:, 0]).square().mean(),
        REAL,
        "needs a loss that is convex",
    ),
    **{f"coupled by {name}": (loss, REAL, "couples samples") for name, loss in COUPLED.items()},
}


@pytest.mark.parametrize(("loss", "y", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_loss_for_gauss_newton(loss, y, why):
    with pytest.raises(ValueError, match=why):
        gauss_newton(NET, X, y, loss=loss, damping=0.1)


@pytest.mark.parametrize("loss", ["mse", None, nn.MSELoss])
def test_an_optimizer_refuses_it_at_once(loss):
    for make in (GaussNewton, lambda net, loss: GradientDescent(net, 0.1, loss=loss)):
        with pytest.raises(ValueError, match="a loss is"):
            make(NET, loss=loss)

"""docs/NOTATION.md: the conversions marked with a tick, done in numbers."""

import re
from pathlib import Path

import pytest
import torch

from regimes.directions import gauss_newton, gradient
from regimes.jacobians import jacobian
from regimes.kernels import LazyScaling, neural_tangent_kernel
from regimes.linalg import SmallestEigenvalue
from regimes.losses import logistic
from regimes.networks import ACTIVATIONS, Reversible, TwoLayer, fix_signs
from regimes.optimizers import GradientDescent, ReversibleGaussNewton
from regimes.problems import teacher_student
from regimes.reversible_gauss_newton import exact_gauss_newton, walk_back
from regimes.theory.gauss_newton import frozen_residual

ROOT = Path(__file__).resolve().parents[2]
N, D, M = 12, 3, 17


@pytest.fixture
def net():
    return TwoLayer(D, M, output_std=0.7, seed=1)


@pytest.fixture
def data():
    return teacher_student(N, D, seed=2)


@pytest.fixture
def pieces(net, data):
    """The dense Jacobian and the residual."""
    J = jacobian(net, data.x)
    return J.dense(), J.outputs - data.y, J


def test_arbel_step_and_damping(net, data, pieces):
    """Their step lr J^T (J J^T + e)^-1 r / n is ours with eta = lr / n and the damping m e."""
    dense, r, J = pieces
    lr, floor = 10.0, 1e-3
    theirs = lr * dense.mT @ torch.linalg.solve(dense @ dense.mT + floor * torch.eye(N, dtype=r.dtype), r / N)
    ours = lr / N * J.flatten(gauss_newton(net, data.x, data.y, damping=M * floor).tensors)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    assert SmallestEigenvalue().floor == pytest.approx(5000 * 1e-7)


def test_arbel_gradient_descent(net, data, pieces):
    """Their step lr J^T r / n is ours with lr / m."""
    dense, r, J = pieces
    ours = 3.0 / M * J.flatten(gradient(net, data.x, data.y).tensors)
    torch.testing.assert_close(ours, 3.0 * dense.mT @ r / N, rtol=1e-10, atol=1e-14)


def test_min_sum_loss(net, data):
    """A flow of the summed loss is n times as fast: the same residual at n times our time."""
    K, r0 = neural_tangent_kernel(net, data.x), -data.y
    mean = frozen_residual(K, r0, 0.3, N, torch.tensor([5]))
    total = frozen_residual(K, r0, 0.3 / N, 1, torch.tensor([5]))
    torch.testing.assert_close(mean, total)


def test_veiga_committee():
    """A mean of erf(w x / sqrt 2) is a mean-field network with v = 1 and no bias."""
    net = TwoLayer(D, M, activation="erf", bias=False, seed=3)
    with torch.no_grad():
        net.v.fill_(1.0)
    x = teacher_student(N, D, seed=4).x
    committee = torch.special.erf(x @ net.W.mT / 2**0.5).mean(-1)
    torch.testing.assert_close(net(x), committee)
    assert ACTIVATIONS["erf"].name == "erf"


def test_cai_network_and_step():
    """Their gradient descent with the step m eta on (1/m) sum_j a_j phi(w_j x) is ours with eta."""
    net = fix_signs(TwoLayer(D, M, activation="leaky_softplus", bias=False, seed=6))
    x, eta = teacher_student(N, D, seed=7).x, 3.0
    y, a = torch.where(x[:, 0] > 0, 1.0, -1.0).double(), net.v.clone()
    W = net.W.detach().clone().requires_grad_()
    z = x @ W.T
    f = (a * (z + torch.nn.functional.softplus(z)) / 2).sum(-1) / M
    torch.testing.assert_close(net(x), f)
    (slope,) = torch.autograd.grad(torch.log1p(torch.exp(-y * f)).mean(), W)
    GradientDescent(net, eta, loss=logistic).step(x, y)
    torch.testing.assert_close(net.W.detach(), (W - M * eta * slope).detach(), rtol=1e-10, atol=1e-13)


def test_mse_loss(net, data):
    """The gradient of torch's MSELoss is twice ours (divided by our time scale)."""
    loss = torch.nn.functional.mse_loss(net(data.x), data.y)
    theirs = torch.autograd.grad(loss, list(net.parameters()))
    ours = gradient(net, data.x, data.y).tensors
    for a, b in zip(theirs, ours, strict=True):
        torch.testing.assert_close(a, 2 * b / M)


def test_the_two_scalings_are_one_function(data):
    """With output weights sqrt(m) times as large, 1/m is 1/sqrt(m)."""
    ntk, mean_field = (TwoLayer(D, M, scaling=s, output_std=std, seed=5) for s, std in (("ntk", 1.0), ("mean_field", M**0.5)))
    torch.testing.assert_close(ntk(data.x), mean_field(data.x))
    assert (ntk.time_scale, mean_field.time_scale) == (1.0, float(M))


def test_buffelli_step():
    """Their formula: outputs move by -alpha dLoss/df of the summed loss; their code leaves out the 1/L."""
    net, alpha, x, y = Reversible(6, 3, 40, blocks=3, seed=1), 1e-4, torch.randn(N, 6).double(), torch.randn(N, 3).double()
    f = net(x).detach()
    ReversibleGaussNewton(net, alpha).step(x, y)
    torch.testing.assert_close(net(x).detach() - f, -alpha * (f - y), rtol=1e-2, atol=1e-6)
    net = Reversible(6, 3, 40, blocks=3, seed=1)
    ours = 3 * alpha * exact_gauss_newton(net, x, y).tensors[0]
    E, z = (f - y) @ net.u.T, net.encode(x).detach()
    theirs = alpha * (net.blocks * walk_back(net, z, E)[0])
    torch.testing.assert_close(ours, theirs.detach())


def test_chizat_scaled_loss(net, data):
    """The gradient of L(alpha (f - f_0)) / alpha^2, in the network's time scale, is the direction of the dial."""
    scaled, alpha = LazyScaling(net, 3.0), 3.0
    with torch.no_grad():
        scaled.net.W += 0.1
    loss = (alpha * (scaled.net(data.x) - net(data.x).detach()) - data.y).square().mean() / 2 / alpha**2
    theirs = torch.autograd.grad(loss, list(scaled.net.parameters()))
    for a, b in zip(gradient(scaled, data.x, data.y).tensors, theirs, strict=True):
        torch.testing.assert_close(a, M * b)


def test_erf_of_the_ntk_literature(data):
    """erf(w x) is our erf(w x / sqrt 2) at inputs sqrt 2 times as long, and so is its kernel."""
    net = TwoLayer(D, M, activation="erf", scaling="ntk", bias=False, output_std=1.0)
    x, w, v = data.x, net.W.detach(), net.v.detach()
    torch.testing.assert_close(net(2**0.5 * x).detach(), torch.erf(x @ w.mT) @ v / M**0.5)
    inside = 4 / torch.pi * torch.exp(-((x @ w.mT) ** 2)[:, None] - ((x @ w.mT) ** 2)[None]) * v**2
    theirs = (torch.erf(x @ w.mT) @ torch.erf(x @ w.mT).mT + inside.sum(-1) * (x @ x.mT)) / M
    torch.testing.assert_close(neural_tangent_kernel(net, 2**0.5 * x), theirs)


def test_every_tick_has_a_test():
    page = (ROOT / "docs/NOTATION.md").read_text(encoding="utf8")
    assert len(re.findall(r"✓ \|$", page, re.M)) == 12

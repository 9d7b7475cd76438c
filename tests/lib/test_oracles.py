"""Sixteen facts about Gauss-Newton and gradient descent, each at its tolerance; each notices another kind of mistake."""

import pytest
import torch
from torch import nn

from regimes import reference
from regimes.directions import gauss_newton, gradient, time_scale
from regimes.jacobians import jacobian
from regimes.kernels import neural_tangent_kernel
from regimes.linalg import SmallestEigenvalue
from regimes.networks import SCALINGS, TwoLayer
from regimes.optimizers import GaussNewton, GradientDescent
from regimes.problems import teacher_student
from regimes.theory.gauss_newton import frozen_residual, random_feature_prediction, steps_to
from regimes.training import train
from tests.lib.cases import frozen, normal, relative, weights

N, D, M = 23, 4, 60
X, Y = normal(N, D, seed=1, mean=0.1, std=1.1), normal(N, seed=2, mean=-0.3)
TEST = normal(31, D, seed=3)


def network(**options):
    return TwoLayer(D, M, **{"std": 0.9, "output_std": 1.2, "seed": 5, **options})


def flat(tensors):
    return torch.cat([t.detach().flatten() for t in tensors])


def step(net, x=X, y=Y, **options):
    return flat(gauss_newton(net, x, y, **options).tensors)


def dense(net, x=X, y=Y):
    """The dense Jacobian and the residual."""
    return reference.dense_jacobian(net, x), (net(x) - y).detach()


@pytest.mark.parametrize("scaling", SCALINGS)
def test_oracle_01_closed_form_jacobian_and_kernel(scaling):
    net = network(scaling=scaling)
    J, _ = dense(net)
    assert relative(jacobian(net, X).dense(), J) < 1e-12
    assert relative(neural_tangent_kernel(net, X) / time_scale(net), J @ J.T) < 1e-12


def test_oracle_02_undamped_step_is_the_pseudo_inverse():
    net = network()
    (J, r), delta = dense(net), step(net)
    tolerance = 1e-10 * torch.linalg.cond(J).item() / 1e3
    assert relative(J @ delta, r) < tolerance
    assert relative(delta, torch.linalg.pinv(J) @ r) < tolerance
    assert relative(delta, reference.minimum_norm_step(J, r)) < tolerance


@pytest.mark.parametrize("exponent", range(0, -13, -2))
def test_oracle_03_sample_space_is_augmented_least_squares(exponent):
    net = network()
    (J, r), size = dense(net), neural_tangent_kernel(net, X).diagonal().mean().item()
    eps, c = 10.0**exponent * size, time_scale(net)
    delta = step(net, damping=eps)
    assert relative(delta, reference.augmented_step(J, r, eps / c)) < 1e-8
    if exponent >= -4:
        assert relative(delta, reference.parameter_space_step(J, r, eps / c)) < 1e-8


@pytest.mark.parametrize("times", [10.0, 1e2, 1e4, 1e6])
def test_oracle_04_large_damping_is_gradient_descent(times):
    net = network()
    largest = torch.linalg.eigvalsh(neural_tangent_kernel(net, X))[-1].item()
    eps = times * largest
    assert relative(eps * step(net, damping=eps), N * flat(gradient(net, X, Y).tensors)) < 1 / times


def test_oracle_05_frozen_features_are_fitted_in_one_step():
    net = frozen(network(output_std=0.0), "W")
    Phi = net.hidden(X)[0].detach() * net.scale
    GaussNewton(net, 1.0).step(X, Y)
    assert relative(net(X).detach(), Y) < 1e-10
    assert relative(net.v.detach(), torch.linalg.pinv(Phi) @ Y) < 1e-10


@pytest.mark.parametrize("eta", [1.0, 0.25])
def test_oracle_06_first_step_from_zero_is_the_random_feature_solution(eta):
    net = network(output_std=0.0)
    before, features = net.W.detach().clone(), [net.hidden(x)[0].detach() for x in (X, TEST)]
    GaussNewton(net, eta).step(X, Y)
    assert torch.equal(net.W, before)
    assert relative(net(TEST).detach(), eta * random_feature_prediction(features[0], Y, features[1])) < 1e-8


def test_oracle_07_one_step_shrinks_the_residual_to_second_order():
    errors = []
    for eta in (0.1, 0.05, 0.025, 0.0125):
        net = TwoLayer(D, 400, std=0.9, output_std=1.2, seed=5)
        r = (net(X) - Y).detach()
        GaussNewton(net, eta).step(X, Y)
        errors.append((net(X) - Y - (1 - eta) * r).norm().item())
    assert all(3.5 < a / b < 4.5 for a, b in zip(errors, errors[1:], strict=False)), errors


def trained(net, make, steps=50):
    optimizer = make(net)
    for _ in range(steps):
        optimizer.step(X, Y)
    return net(TEST).detach()


def rebuilt(net, index):
    """A network with the hidden units ``index`` of ``net``."""
    other = TwoLayer(D, len(index), scaling=net.scaling)
    with torch.no_grad():
        other.W.copy_(net.W[index]), other.v.copy_(net.v[index])
    return other


MAKERS = {
    "gauss-newton": lambda net: GaussNewton(net, 0.05),
    "gauss-newton, damped": lambda net: GaussNewton(net, 0.05, damping=5e-3),
    "gradient descent": lambda net: GradientDescent(net, 0.1),
}


@pytest.mark.parametrize("name", MAKERS)
def test_oracle_08_duplicating_every_unit_changes_nothing(name):
    net = network()
    twin = rebuilt(net, torch.arange(M).repeat(2))
    assert relative(trained(twin, MAKERS[name]), trained(net, MAKERS[name])) < 1e-9


@pytest.mark.parametrize("name", MAKERS)
def test_oracle_09_permuting_the_units_changes_nothing(name):
    net = network()
    twin = rebuilt(net, torch.randperm(M, generator=torch.Generator().manual_seed(1)))
    assert relative(trained(twin, MAKERS[name], 20), trained(net, MAKERS[name], 20)) < 1e-10


def test_oracle_10_the_damped_rate_stays_between_its_bounds():
    net = network(output_std=0.0)
    optimizer, seen = GaussNewton(net, 0.05, damping=SmallestEigenvalue(floor=1e-12)), []
    for _ in range(20):
        J, here = jacobian(net, X), optimizer.direction(X, Y)
        lam, eps = torch.linalg.eigvalsh(neural_tangent_kernel(net, X))[0], here.solve.damping
        r = J.outputs - Y
        rho = r @ J.jvp(here.tensors) / (r @ r)
        assert lam / (lam + eps) - 1e-9 <= rho <= 1 + 1e-9
        seen.append(rho.item())
        optimizer.step(X, Y, here)
    assert min(seen) < 0.98


def test_oracle_11_scaling_outputs_and_targets_changes_nothing():
    net, twin = network(), network(scaling="ntk")  # the same weights; outputs sqrt(m) times larger
    assert relative(step(twin, y=M**0.5 * Y), step(net)) < 1e-10


class Reparametrised(nn.Module):
    """The two-layer network ``(W, v)`` written in other coordinates ``u``: all its parameters are ``T u``."""

    def __init__(self, net, T):
        super().__init__()
        self.u = nn.Parameter(torch.linalg.solve(T, weights(net)))
        self.register_buffer("T", T)
        self.shape, self.scale = net.W.shape, net.scale

    def forward(self, x):
        w = self.T @ self.u
        W, v = w[: self.shape.numel()].reshape(self.shape), w[self.shape.numel() :]
        z = x @ W[:, :-1].T + W[:, -1]
        return self.scale * (z * torch.sigmoid(z)) @ v


def general(p):
    """An invertible matrix far from orthogonal, with a condition number near 100."""
    Q, R = (torch.linalg.qr(normal(p, p, seed=s))[0] for s in (7, 8))
    return Q * torch.logspace(-1, 1, p, dtype=torch.float64) @ R


def orthogonal(p):
    return torch.linalg.qr(normal(p, p, seed=9))[0]


def updates(net, T, x, y, **options):
    """Updates in the network's own parameters, direct and through coordinates ``T``."""
    other = Reparametrised(net, T)
    assert relative(other(x).detach(), net(x).detach()) < 1e-10
    return step(net, x, y, **options), T @ step(other, x, y, **options)


def test_oracle_12_the_update_on_the_training_set_ignores_coordinates():
    net = network()
    direct, through = updates(net, general(M * (D + 2)), X, Y)
    J, _ = dense(net)
    assert relative(J @ through, J @ direct) < 1e-9


def test_oracle_13_what_gauss_newton_is_not_invariant_to():
    net, J_test = network(), reference.dense_jacobian(network(), TEST)
    direct, through = updates(net, general(M * (D + 2)), X, Y)
    assert relative(through, direct) > 0.05
    assert relative(J_test @ through, J_test @ direct) > 0.05
    direct, through = updates(net, orthogonal(M * (D + 2)), X, Y)
    assert relative(through, direct) < 1e-9


def test_oracle_13_with_fewer_parameters_than_samples_it_is_invariant():
    net = TwoLayer(D, 2, std=0.9, output_std=1.2, seed=5)
    T, x, y = general(2 * (D + 2)), normal(40, D, seed=1), normal(40, seed=2)
    direct, through = updates(net, T, x, y, singular="drop")
    assert relative(through, direct) < 1e-9
    other = Reparametrised(net, T)
    ours, theirs = (flat(gradient(n, x, y).tensors) / time_scale(n) for n in (net, other))
    assert relative(T @ theirs, ours) > 5


def test_oracle_14_gradient_descent_on_frozen_features_is_spectral():
    net, lr = frozen(network(), "W"), 0.9
    K, r, rows = neural_tangent_kernel(net, X), (net(X) - Y).detach(), []
    optimizer = GradientDescent(net, lr)
    for k in range(201):
        if k in (0, 50, 200):
            rows.append((net(X) - Y).detach())
        optimizer.step(X, Y)
    assert relative(torch.stack(rows), frozen_residual(K, r, lr, N, torch.tensor([0, 50, 200]))) < 1e-11


@pytest.mark.parametrize("name", MAKERS)
def test_oracle_15_no_residual_no_update(name):
    net = network()
    y, before = jacobian(net, X).outputs, weights(net)
    MAKERS[name](net).step(X, y)
    assert torch.equal(weights(net), before)


CASES_16 = [(0.02, 1e-3), (0.02, 1e-6), (0.1, 1e-3), (0.1, 1e-6), (0.05, 1e-4)]


@pytest.mark.parametrize(("kappa", "within"), [(1.0, 2), (10.0, 10), (100.0, 10)])
@pytest.mark.parametrize("labels", ["teacher", "noise"])
def test_oracle_16_steps_to_a_tolerance(labels, kappa, within):
    seeds = torch.arange(3)
    problem = teacher_student(n=40, d=5, kappa=kappa, labels=labels, seed=seeds)
    for eta, tolerance in CASES_16 if kappa == 1 else CASES_16[:1] + CASES_16[2:3]:
        net = TwoLayer(5, 100, runs=(3,), seed=seeds)
        trace = train(net, problem.x, problem.y, GaussNewton(net, eta), 400, until=0.5 * tolerance)
        assert (trace.steps_to(tolerance) - steps_to(tolerance, eta)).abs().max() <= within

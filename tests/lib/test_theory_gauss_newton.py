import math

import pytest
import torch

from regimes.kernels import neural_tangent_kernel
from regimes.optimizers import GradientDescent
from regimes.theory.gauss_newton import (
    damped_envelope,
    descent_bound,
    discrete_rate,
    flow_loss,
    frozen_residual,
    random_feature_prediction,
    shrinkage,
    step_envelope,
    step_loss,
    steps_to,
)
from tests.lib.cases import frozen, normal, relative, two_layer

DOUBLE = torch.float64


def test_flow_loss():
    t = torch.tensor([0.0, 0.5, 3.0], dtype=DOUBLE)
    assert flow_loss(t).tolist() == pytest.approx([1.0, math.exp(-1), math.exp(-6)])


@pytest.mark.parametrize("eta", [0.02, 0.1, 0.5])
def test_discrete_rate_is_that_of_a_residual_shrinking_by_one_minus_eta(eta):
    losses = [(1 - eta) ** (2 * k) for k in range(4)]
    assert discrete_rate(eta) == pytest.approx(math.log(losses[0] / losses[3]) / (3 * eta))


def test_discrete_rate_known_value_and_limit():
    assert discrete_rate(0.02) == pytest.approx(2.0203, abs=5e-5)
    assert discrete_rate(1e-9) == pytest.approx(2.0, rel=1e-8)


@pytest.mark.parametrize(
    ("eta", "tolerance", "steps"), [(0.02, 1e-3, 171), (0.02, 1e-6, 342), (0.1, 1e-3, 33), (0.1, 1e-6, 66), (0.05, 1e-4, 90)]
)
def test_steps_to(eta, tolerance, steps):
    assert steps_to(tolerance, eta) == steps
    assert (1 - eta) ** (2 * steps) < tolerance <= (1 - eta) ** (2 * (steps - 1))


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_refuses_what_is_not_between_zero_and_one(bad):
    for call in (lambda: discrete_rate(bad), lambda: steps_to(bad, 0.1), lambda: steps_to(0.1, bad)):
        with pytest.raises(ValueError, match="strictly between 0 and 1 is needed here; got"):
            call()


def test_damped_envelope_bounds_every_mode_and_touches_the_slowest():
    lam, eps, t = torch.tensor([0.3, 2.0, 40.0], dtype=DOUBLE), 0.3, torch.tensor([0.0, 0.7, 5.0], dtype=DOUBLE)
    low, high = damped_envelope(t, lam.min(), eps)
    losses = torch.exp(-2 * t[:, None] * lam / (lam + eps))
    assert (losses >= low[:, None]).all() and (losses <= high[:, None] * (1 + 1e-14)).all()
    assert torch.allclose(high, losses[:, 0]) and torch.allclose(high, torch.exp(-t))
    assert torch.equal(low, flow_loss(t)) and torch.equal(damped_envelope(t, 1.0, 0.0)[1], flow_loss(t))


@pytest.mark.parametrize("eta", [0.05, 0.7, 1.3])
def test_step_envelope_bounds_every_mode_and_touches_the_ends(eta):
    lam, eps, k = torch.tensor([0.3, 0.5, 2.0, 1e9], dtype=DOUBLE), 0.3, torch.arange(6)
    low, high = step_envelope(k, eta, lam.min(), eps)
    losses = (1 - eta * lam / (lam + eps)) ** (2 * k[:, None])
    assert (losses >= low[:, None] * (1 - 1e-8)).all() and (losses <= high[:, None] * (1 + 1e-8)).all()
    assert torch.allclose(high, losses.max(1).values, rtol=1e-6)
    removable = 0.5 * eta < 1 < eta  # some mode between the ends is removed in one step
    assert torch.allclose(low[1:], torch.zeros(5, dtype=DOUBLE) if removable else losses.min(1).values[1:], rtol=1e-6)


def test_envelopes_meet_without_damping_and_for_small_steps():
    for lambda_min in (0.0, -1e-18, 0.4):  # rounding may make a kernel singular
        low, high = step_envelope(torch.arange(4), 0.1, lambda_min, 0.0)
        assert torch.allclose(low, high) and torch.allclose(high, 0.9 ** (2 * torch.arange(4, dtype=DOUBLE)))
        assert torch.equal(*damped_envelope(torch.tensor([0.3, 2.0], dtype=DOUBLE), lambda_min, 0.0))
    _, steps = step_envelope(torch.tensor(10**4), 1e-4, 0.3, 0.6)
    _, flow = damped_envelope(torch.tensor(1.0, dtype=DOUBLE), 0.3, 0.6)
    assert steps.item() == pytest.approx(flow.item(), rel=1e-4)


def test_frozen_residual_is_what_the_steps_give():
    J, r, lr = normal(9, 30), normal(9, seed=1), 0.07
    K, steps, trace = J @ J.T, torch.tensor([0, 1, 5, 40]), []
    for _ in range(41):
        trace.append(r)
        r = r - lr * K @ r / 9
    assert relative(frozen_residual(K, trace[0], lr, 9, steps), torch.stack(trace)[steps]) < 1e-11


def test_random_feature_prediction_is_the_shortest_interpolant():
    features, y, new = normal(7, 20), normal(7, seed=1), normal(5, 20, seed=2)
    v = torch.linalg.lstsq(features, y[:, None], driver="gelsd").solution[:, 0]
    assert relative(random_feature_prediction(features, y, new), new @ v) < 1e-11
    assert relative(random_feature_prediction(features, y, features), y) < 1e-11


def test_random_feature_prediction_drops_small_singular_values():
    U, V = torch.linalg.qr(normal(7, 3))[0], torch.linalg.qr(normal(20, 3, seed=1))[0]
    y, new = normal(7, seed=2), normal(5, 20, seed=3)
    features = U * torch.tensor([2.0, 1.0, 1e-7], dtype=DOUBLE) @ V.T
    wanted = new @ (V[:, :2] / torch.tensor([2.0, 1.0], dtype=DOUBLE) @ (U[:, :2].T @ y))
    assert relative(random_feature_prediction(features, y, new, cutoff=1e-6), wanted) < 1e-8
    assert relative(random_feature_prediction(features, y, new), wanted) > 1


def test_step_loss_is_the_square_of_what_the_steps_leave():
    residual = torch.tensor([1.0, 0.7, 0.7**2, 0.7**3], dtype=torch.float64)
    torch.testing.assert_close(step_loss(torch.arange(4), 0.3), residual**2)


@pytest.mark.parametrize("eta", [0.02, 0.3, 1.0, 1.4])
def test_shrinkage_is_what_the_steps_reach(eta):
    f, reached = torch.tensor(0.0, dtype=DOUBLE), []
    for _ in range(7):
        reached.append(f.item())
        f = f - eta * (f - 1)
    got = shrinkage(torch.arange(7), eta)
    assert got.tolist() == pytest.approx(reached, rel=1e-13, abs=1e-15) and got.dtype == DOUBLE
    torch.testing.assert_close((1 - got) ** 2, step_loss(torch.arange(7), eta))


def descended(K, r, lr, steps):
    """``L_k / L_0`` of gradient descent on a kernel that does not move, step by step."""
    n, losses = len(r), []
    for _ in range(steps + 1):
        losses.append(r.square().sum() / (2 * n))
        r = r - lr * K @ r / n
    return torch.stack(losses) / losses[0]


def test_descent_bound_is_reached_along_the_smallest_eigenvalue_and_only_there():
    J = normal(9, 30)
    K, k = J @ J.T, torch.arange(41)
    lam, Q = torch.linalg.eigh(K)
    lr = 9 / lam[-1].item()  # half the stability limit
    bound = descent_bound(k, lr, lam[0], 9)
    assert relative(descended(K, 3.7 * Q[:, 0], lr, 40), bound) < 1e-12
    for r in (Q[:, 1], Q[:, 0] + Q[:, 8], normal(9, seed=2)):
        assert (descended(K, r, lr, 40)[1:] < bound[1:] * (1 - 1e-6)).all()


def test_descent_bound_holds_for_a_network_with_frozen_features():
    x, y, net = normal(9, 3, seed=1), normal(9, seed=2), frozen(two_layer(), "W")
    lam = torch.linalg.eigvalsh(neural_tangent_kernel(net, x))
    lr = 9 / lam[-1].item()
    optimizer, losses = GradientDescent(net, lr), []
    for _ in range(60):
        losses.append(optimizer.step(x, y))
    bound = descent_bound(torch.arange(60), lr, lam[0], 9)
    assert (torch.stack(losses) / losses[0] <= bound * (1 + 1e-12)).all()
    assert bound[-1] < 1 and descent_bound(60, lr, lam[-1], 9) == 0  # at half the limit the largest is gone in one step

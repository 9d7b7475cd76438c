from functools import partial

import pytest
import torch

from regimes import reference
from regimes.directions import Direction, gauss_newton, gradient, time_scale
from regimes.flows import Adaptive, Lorentz, RungeKutta4
from regimes.networks import TwoLayer
from regimes.theory.gauss_newton import flow_loss
from regimes.training import train
from tests.lib.cases import WIDE, D, frozen, linear, normal, perceptron, relative, runs_of, weights

N = 7
X, Y = normal(N, D, seed=1), normal(N, seed=2, mean=-0.4)
DAMPED = partial(gauss_newton, damping=0.1)
FLOWS = [RungeKutta4, Adaptive]


def two_layer(**options):
    """Wide enough for the samples that the flow stays tame."""
    return TwoLayer(D, 40, **{"std": 0.7, "output_std": 1.4, "seed": 5, **options})


def follow(flow, net, steps):
    return torch.stack([flow.step(X, Y) for _ in range(steps)] + [flow.direction(X, Y).loss])


@pytest.mark.parametrize(("flow", "tolerance"), [(RungeKutta4, 1e-6), (Adaptive, 1e-7)])
def test_undamped_gauss_newton_flow_decays_like_exp_minus_2t(flow, tolerance):
    net = two_layer()
    losses = follow(flow(net, gauss_newton, 0.02), net, 25)
    assert torch.allclose(losses / losses[0], flow_loss(0.02 * torch.arange(26, dtype=torch.float64)), rtol=tolerance)


def frozen_gradient_flow(net, t):
    """Weights ``v`` after time ``t`` of gradient flow with the hidden layer frozen: a linear system, solved exactly."""
    J, r, c = reference.dense_jacobian(net, X), (net(X) - Y).detach(), time_scale(net)
    lam, Q = torch.linalg.eigh(c * J @ J.T / N)
    integral = (1 - torch.exp(-lam * t)) / lam
    return net.v.detach() - c * J.T @ (Q @ (integral * (Q.T @ r))) / N


@pytest.mark.parametrize(("flow", "tolerance"), [(RungeKutta4, 1e-8), (Adaptive, 1e-8)])
def test_gradient_flow_on_frozen_features_is_exact(flow, tolerance):
    net = frozen(two_layer(), "W")
    wanted = frozen_gradient_flow(net, 2.0)
    follow(flow(net, gradient, 0.05), net, 40)
    assert relative(net.v.detach(), wanted) < tolerance


@pytest.mark.parametrize("field", [gradient, DAMPED])
def test_runge_kutta_is_of_fourth_order(field):
    exact = two_layer()
    follow(Adaptive(exact, field, 1.0, rtol=1e-12, atol=1e-14), exact, 1)
    errors = []
    for steps in (16, 32, 64):
        net = two_layer()
        follow(RungeKutta4(net, field, 1 / steps), net, steps)
        errors.append((weights(net) - weights(exact)).norm().item())
    assert [a / b for a, b in zip(errors, errors[1:], strict=False)] == pytest.approx([16, 16], rel=0.15)


@pytest.mark.parametrize("make", [two_layer, perceptron])
def test_both_integrators_agree(make):
    nets = make(), make()
    for net, flow in zip(nets, FLOWS, strict=True):
        follow(flow(net, DAMPED, 2**-6), net, 5)
    assert relative(weights(nets[0]), weights(nets[1])) < 1e-6


@pytest.mark.parametrize("flow", FLOWS)
def test_a_stack_of_runs(flow):
    stack = two_layer(runs=(3,), seed=torch.arange(3))
    losses = follow(flow(stack, DAMPED, 0.1), stack, 3)
    for i in range(3):
        net = two_layer(seed=i)
        assert relative(losses[:, i], follow(flow(net, DAMPED, 0.1), net, 3)) < 1e-7


@pytest.mark.parametrize("flow", FLOWS)
def test_a_step_returns_the_loss_before_it_and_takes_a_known_direction(flow):
    nets = two_layer(), two_layer()
    losses = []
    for net, known in zip(nets, (False, True), strict=True):
        f = flow(net, DAMPED, 0.1)
        here = f.direction(X, Y)
        losses.append(f.step(X, Y, here) if known else f.step(X, Y))
        assert torch.equal(losses[-1], here.loss)
    assert relative(weights(nets[0]), weights(nets[1])) < 1e-14


@pytest.mark.parametrize("flow", FLOWS)
def test_frozen_parameters_stay(flow):
    net = frozen(two_layer(), "v")
    before = net.v.detach().clone(), net.W.detach().clone()
    flow(net, DAMPED, 0.1).step(X, Y)
    assert torch.equal(net.v, before[0]) and not torch.equal(net.W, before[1])


@pytest.mark.parametrize("flow", FLOWS)
def test_train_runs_a_flow(flow):
    net = two_layer()
    trace = train(net, X, Y, flow(net, gauss_newton, 0.1), 6)
    assert trace.time.tolist() == pytest.approx([0.1 * k for k in range(7)])
    assert trace.relative[-1].item() == pytest.approx(flow_loss(torch.tensor(0.6)).item(), rel=1e-4)


@pytest.mark.parametrize("dt", [0.0, -0.1, float("nan")])
@pytest.mark.parametrize("flow", FLOWS)
def test_refuses_a_time_step_that_is_not_positive(flow, dt):
    with pytest.raises(ValueError, match="the time step dt must be a positive, finite number; got"):
        flow(two_layer(), gradient, dt)


def test_adaptive_says_when_it_gives_up():
    def blow_up(net, x, y):  # dw/dt = 1 + w^2 leaves every bounded set before t = pi
        return Direction(tuple(-1 - p.detach().square() for p in net.parameters()), torch.tensor(1.0))

    with pytest.raises(RuntimeError, match="the integrator stopped inside a step of 4.0"):
        Adaptive(two_layer(), blow_up, 4.0).step(X, Y)


# ---- the Lorentz step, for two linear layers

WIDE_X = normal(N, WIDE, seed=1, std=0.4)


def conserved(net):
    """``U^T U - V^T V``, the widest matrix that the flow conserves."""
    U, V = net.U.detach(), net.V.detach()
    return U.mT @ U - V.mT @ V


@pytest.mark.parametrize("q", [1, 3])
def test_a_lorentz_step_is_the_cayley_map_of_its_generator(q):
    net, y = linear(q), normal(N, q, seed=2)
    U, V, t = net.U.detach().clone(), net.V.detach().clone(), 0.3
    B = WIDE_X.T @ (y - WIDE_X @ U @ V.T) / N
    A = torch.cat([torch.cat([torch.zeros(q, q), B.T], 1), torch.cat([B, torch.zeros(WIDE, WIDE)], 1)])
    eye = torch.eye(q + WIDE, dtype=A.dtype)
    wanted = torch.linalg.inv(eye - t / 2 * A) @ (eye + t / 2 * A) @ torch.cat([V, U])
    loss = Lorentz(net, t).step(WIDE_X, y)
    assert relative(torch.cat([net.V, net.U]).detach(), wanted) < 1e-13
    assert relative(loss, (WIDE_X @ U @ V.T - y).square().sum() / (2 * N)) < 1e-13


def test_the_lorentz_step_is_of_first_order_and_conserves_the_imbalance_exactly():
    y, exact = normal(N, 3, seed=2), linear()
    start = conserved(exact)
    flow = Adaptive(exact, gradient, 1.0, rtol=1e-12, atol=1e-14)
    flow.step(WIDE_X, y)
    errors = []
    for steps in (32, 64, 128):
        net = linear()
        flow = Lorentz(net, 1 / steps)
        for _ in range(steps):
            flow.step(WIDE_X, y)
        errors.append((weights(net) - weights(exact)).norm().item())
        assert relative(conserved(net), start) < 1e-12
    assert [a / b for a, b in zip(errors, errors[1:], strict=False)] == pytest.approx([2, 2], rel=0.1)


def test_conservation_is_not_accuracy():
    """A step far too large keeps the imbalance while the loss grows."""
    net, y = linear(), normal(N, 3, seed=2)
    start, flow = conserved(net), Lorentz(net, 6.0)
    losses = [flow.step(WIDE_X, y) for _ in range(6)]
    assert relative(conserved(net), start) < 1e-8 and max(losses) > 100 * losses[0]


@pytest.mark.parametrize("own", [False, True])
def test_a_stack_of_lorentz_runs(own):
    stack, y = linear(runs=(2, 3), seed=torch.arange(6).reshape(2, 3)), normal(*[2, 3] * own, N, 3, seed=2)
    singles, flow = runs_of(stack), Lorentz(stack, 0.1)
    losses = torch.stack([flow.step(WIDE_X, y) for _ in range(3)])
    for i, net in enumerate(singles):
        run, alone = divmod(i, 3), Lorentz(net, 0.1)
        assert relative(losses[:, *run], torch.stack([alone.step(WIDE_X, y[run] if own else y) for _ in range(3)])) < 1e-12
        assert relative(stack.U[run].detach(), net.U.detach()) < 1e-12
        assert relative(stack.V[run].detach(), net.V.detach()) < 1e-12


def test_train_runs_the_lorentz_flow_and_hands_it_the_direction():
    net, twin, y = linear(), linear(), normal(N, 3, seed=2)
    trace = train(net, WIDE_X, y, Lorentz(net, 0.05), 6)
    flow = Lorentz(twin, 0.05)
    losses = [flow.step(WIDE_X, y) for _ in range(6)]
    assert trace.time.tolist() == pytest.approx([0.05 * k for k in range(7)])
    assert relative(trace.loss[:6], torch.stack(losses)) < 1e-13 and (trace.loss.diff() < 0).all()


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (two_layer(), "for TwoLayerLinear networks; got TwoLayer"),
        (frozen(linear(), "U"), "moves U and V together; one of them is frozen"),
        (frozen(linear(), "V"), "moves U and V together; one of them is frozen"),
    ],
)
def test_the_lorentz_step_refuses(net, message):
    with pytest.raises(ValueError, match=message):
        Lorentz(net, 0.1)


@pytest.mark.parametrize("dt", [0.0, -0.1, float("nan")])
def test_the_lorentz_step_refuses_a_time_step_that_is_not_positive(dt):
    with pytest.raises(ValueError, match="the time step dt must be a positive, finite number; got"):
        Lorentz(linear(), dt)


def test_the_lorentz_step_refuses_targets_of_another_shape():
    with pytest.raises(ValueError, match="targets y"):
        Lorentz(linear(), 0.1).step(WIDE_X, Y)

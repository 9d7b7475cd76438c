"""Kernels between two sets of inputs, the linearised network, and the dial from rich to lazy."""

import copy
import math

import pytest
import torch

from regimes import reference
from regimes.directions import gradient, time_scale
from regimes.flows import RungeKutta4
from regimes.jacobians import jacobian
from regimes.kernels import LazyScaling, Linearised, neural_tangent_kernel
from regimes.metrics import loss_on
from regimes.networks import TwoLayer
from regimes.optimizers import GaussNewton, GradientDescent
from regimes.theory.gauss_newton import frozen_residual
from regimes.theory.lazy import step_prediction
from regimes.training import train
from tests.lib.cases import CASES, D, M, N, frozen, linear, normal, perceptron, relative, two_layer, weights

SAMPLE = [
    "mean field",
    "ntk, tanh, no bias",
    "two-layer, v frozen",
    "linear",
    "perceptron, three outputs",
    "tokens",
    "tied weights",
]
SAMPLE += ["convolution, two outputs", "own module"]


def moved(net, seed=7, size=0.3):
    """The network after a displacement of its trainable parameters."""
    with torch.no_grad():
        for i, p in enumerate(p for p in net.parameters() if p.requires_grad):
            p += size * normal(*p.shape, seed=seed + i)
    return net


# ---- between two sets


@pytest.mark.parametrize("name", SAMPLE)
@pytest.mark.parametrize("count", [4, N, 2 * N + 3])
def test_the_kernel_between_two_sets_is_that_of_their_dense_jacobians(name, count):
    net, x, _ = CASES[name]()
    other = normal(count, *x.shape[1:], seed=8)
    J, J2 = (reference.dense_jacobian(net, inputs) for inputs in (x, other))
    assert relative(neural_tangent_kernel(net, x, other), time_scale(net) * J @ J2.T) < 1e-12


def test_the_kernel_between_two_sets_has_run_axes():
    net, shared, own = two_layer(runs=(2, 3), seed=torch.arange(6).reshape(2, 3)), normal(N, D), normal(2, 3, 5, D, seed=4)
    K = neural_tangent_kernel(net, shared, own)
    assert K.shape == (2, 3, N, 5) and relative(K.mT, neural_tangent_kernel(net, own, shared)) < 1e-13
    one = net.units(torch.arange(M))
    one.W.data, one.v.data, one.runs = net.W.data[1, 2], net.v.data[1, 2], ()
    assert relative(K[1, 2], neural_tangent_kernel(one, shared, own[1, 2])) < 1e-12


def test_the_kernel_with_itself_is_the_kernel():
    net, x, _ = CASES["perceptron, three outputs"]()
    assert relative(neural_tangent_kernel(net, x, x), neural_tangent_kernel(net, x)) < 1e-12


def test_the_kernel_between_two_sets_says_how_outputs_move_elsewhere():
    net, x, y = CASES["mean field"]()
    new, r = normal(6, D, seed=9), (net(x) - y).detach()
    K, before = neural_tangent_kernel(net, new, x), net(new).detach()
    GradientDescent(net, lr=1e-6).step(x, y)
    assert relative((net(new).detach() - before) / 1e-6, -K @ r / N) < 1e-4


@pytest.mark.parametrize("other", [normal(4, D + 1), normal(D)], ids=["d + 1", "one axis"])
def test_the_kernel_refuses_a_second_set_that_does_not_fit(other):
    for net in (two_layer(), perceptron(2)):
        with pytest.raises(ValueError, match="two sets of inputs of the same kind are needed; got"):
            neural_tangent_kernel(net, normal(N, D), other)


def test_the_kernel_refuses_a_second_set_that_is_not_finite():
    with pytest.raises(ValueError, match="not finite"):
        neural_tangent_kernel(two_layer(), normal(N, D), normal(4, D) * math.inf)


# ---- the linearised network


@pytest.mark.parametrize("name", SAMPLE)
def test_the_linearised_network_is_the_tangent_at_the_start(name):
    net, x, _ = CASES[name]()
    linear_net = Linearised(net)
    f0, J = net(x).detach(), reference.dense_jacobian(net, x)
    torch.testing.assert_close(linear_net(x), f0)
    start = weights(net)
    moved(linear_net.net)
    wanted = f0.flatten() + J @ (weights(linear_net.net) - start)
    assert relative(linear_net(x).detach().flatten(), wanted) < 1e-12
    assert relative(jacobian(linear_net, x).outputs, wanted) < 1e-12
    assert relative(jacobian(linear_net, x).dense(), J) < 1e-12
    assert torch.equal(weights(net), start), "the network it was made from has moved"


@pytest.mark.parametrize("name", ["mean field", "perceptron, three outputs", "convolution, two outputs"])
def test_autograd_agrees_with_the_jacobian_of_the_linearised_network(name):
    net, x, y = CASES[name]()
    net = Linearised(net)
    moved(net.net)
    f = net(x)
    ours = torch.autograd.grad(f.flatten(), [p for p in net.parameters() if p.requires_grad], y.flatten())
    for a, b in zip(ours, jacobian(net, x).vjp(y.flatten()), strict=True):
        assert relative(a, b) < 1e-12


def test_the_kernel_of_the_linearised_network_never_moves():
    net, x, _ = CASES["mean field"]()
    K = neural_tangent_kernel(net, x)
    lin = Linearised(net)
    moved(lin.net)
    assert relative(neural_tangent_kernel(lin, x), K) < 1e-13
    assert relative(neural_tangent_kernel(lin, x, x[:3]), K[:, :3]) < 1e-13


def test_the_linearised_network_trains_as_the_closed_form_says():
    net, x, y = CASES["ntk, tanh, no bias"]()
    new = normal(5, D, seed=4)
    K, K_new = neural_tangent_kernel(net, x), neural_tangent_kernel(net, new, x)
    r0, f_new, lr = (net(x) - y).detach(), net(new).detach(), N / torch.linalg.eigvalsh(K)[-1].item()
    lin = Linearised(net)
    trace = train(lin, x, y, GradientDescent(lin, lr), 300, every=100, measure={"r": lambda net: net(x) - y})
    assert relative(trace.measured["r"], frozen_residual(K, r0, lr, N, trace.step)) < 1e-10
    assert relative(lin(new).detach(), f_new + step_prediction(K, K_new, r0, lr, 300)) < 1e-10


def test_one_full_gauss_newton_step_fits_the_linearised_network():
    net, x, y = CASES["ntk, tanh, no bias"]()
    lin = Linearised(net)
    trace = train(lin, x, y, GaussNewton(lin, 1.0), 2)
    assert trace.relative[1] < 1e-20


def test_a_stack_of_linearised_networks_trains_run_by_run():
    seeds, x, y = torch.arange(3), normal(N, D, seed=1), normal(N, seed=2)
    stack = Linearised(two_layer(runs=(3,), seed=seeds))
    train(stack, x, y, GradientDescent(stack, torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)), 20)
    one = Linearised(two_layer(seed=1))
    train(one, x, y, GradientDescent(one, 0.2), 20)
    assert relative(stack.net.W.detach()[1], one.net.W.detach()) < 1e-12
    assert loss_on(stack, x, y).shape == (3,) and relative(loss_on(stack, x, y)[1], loss_on(one, x, y)) < 1e-12


def test_frozen_layers_stay_frozen():
    net = Linearised(frozen(two_layer(), "W"))
    x, y = normal(N, D, seed=1), normal(N, seed=2)
    assert len(jacobian(net, x).parameters) == 1 and jacobian(net, x).dense().shape == (N, M)
    W = net.net.W.detach().clone()
    train(net, x, y, GradientDescent(net, 0.1), 5)
    assert torch.equal(net.net.W, W) and not torch.equal(net.net.v, net.start.v)


def test_wrapped_networks_are_modules_that_can_be_saved_and_cast():
    for make in (Linearised, lambda net: LazyScaling(net, 0.3)):
        net, x = make(two_layer()), normal(N, D)
        moved(net.net)
        twin = make(two_layer(seed=99))
        twin.load_state_dict(net.state_dict())
        torch.testing.assert_close(twin(x), net(x))
        assert copy.deepcopy(net).float()(x.float()).dtype == torch.float32


# ---- the dial


@pytest.mark.parametrize("alpha", [0.2, 1.0, 7.0])
@pytest.mark.parametrize("name", ["mean field", "ntk, tanh, no bias", "linear", "perceptron", "convolution, two outputs"])
def test_the_dial_multiplies_the_departure_from_the_start(name, alpha):
    net, x, _ = CASES[name]()
    f0, J = net(x).detach(), alpha * reference.dense_jacobian(net, x)
    scaled = LazyScaling(net, alpha)
    assert scaled(x).abs().max() == 0 and relative(jacobian(scaled, x).dense(), J) < 1e-12
    moved(scaled.net)
    wanted = (alpha * (scaled.net(x) - f0)).detach()
    assert relative(scaled(x).detach(), wanted) < 1e-12
    assert relative(jacobian(scaled, x).outputs, wanted.flatten()) < 1e-12


@pytest.mark.parametrize("name", ["mean field", "perceptron"])
def test_the_kernel_of_the_dial_is_that_of_the_network_at_every_alpha(name):
    net, x, _ = CASES[name]()
    K = neural_tangent_kernel(net, x)
    for alpha in (0.1, 40.0):
        assert relative(neural_tangent_kernel(LazyScaling(net, alpha), x), K) < 1e-12
    assert time_scale(LazyScaling(net, 2.0)) == time_scale(net) / 4


def test_the_direction_is_the_gradient_of_the_scaled_loss():
    net, x, y = CASES["ntk, tanh, no bias"]()
    scaled = LazyScaling(net, 3.0)
    moved(scaled.net)
    loss = (scaled(x) - y).square().mean() / 2 / 3.0**2
    wanted = torch.autograd.grad(loss, list(scaled.net.parameters()))
    for a, b in zip(gradient(scaled, x, y).tensors, wanted, strict=True):
        assert relative(a, b) < 1e-12


def test_a_large_alpha_is_the_linearised_network():
    net, x, y = two_layer(scaling="ntk"), normal(N, D, seed=1), normal(N, seed=2)
    lin = Linearised(net)
    f0, new = lin(x).detach(), normal(6, D, seed=5)
    train(lin, x, y + f0, GradientDescent(lin, 0.2), 50)
    wanted, off = (lin(new) - net(new)).detach(), []
    for alpha in (10.0, 100.0, 1000.0):
        scaled = LazyScaling(net, alpha)
        train(scaled, x, y, GradientDescent(scaled, 0.2), 50)
        off.append(relative(scaled(new).detach(), wanted))
    assert off[0] < 0.2 and off[1] / off[0] == pytest.approx(0.1, rel=0.3) and off[2] / off[1] == pytest.approx(0.1, rel=0.1)


def test_mean_field_scaling_is_the_dial_at_one_over_root_m():
    x, y = normal(N, D, seed=1), normal(N, seed=2)

    def mirrored(scaling):
        net = TwoLayer(D, 8, output_std=1.0, scaling=scaling).units(torch.arange(8).repeat(2))
        net.v.data[8:] *= -1
        return net

    one, other = LazyScaling(mirrored("mean_field"), 1.0), LazyScaling(mirrored("ntk"), 16**-0.5)
    losses = [train(net, x, y, GradientDescent(net, 0.3), 40).loss for net in (one, other)]
    assert relative(losses[0], losses[1]) < 1e-10 and losses[0][-1] < 0.7 * losses[0][0]


def test_the_dial_also_flows():
    net, x, y = LazyScaling(two_layer(), 2.0), normal(N, D, seed=1), normal(N, seed=2)
    assert train(net, x, y, RungeKutta4(net, gradient, 0.1), 5).relative[-1] < 1


def test_outputs_at_the_start_are_not_kept_for_other_inputs():
    net, x = LazyScaling(two_layer(), 2.0), normal(N, D)
    net(x)
    assert net(normal(5, D, seed=3)).shape == (5,)
    x += 1  # in place: the same tensor with other numbers
    assert net(x).abs().max() == 0
    with torch.no_grad():
        net.start.v += 1
    assert relative(net(x).detach(), 2 * (net.net(x) - net.start(x)).detach()) < 1e-12
    x.requires_grad_()
    moved(net.net)
    (by_x,) = torch.autograd.grad(net(x).sum(), x)
    wanted = torch.autograd.grad(2 * (net.net(x) - net.start(x)).sum(), x)[0]
    assert relative(by_x, wanted) < 1e-12


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.inf, math.nan])
def test_the_dial_refuses_what_is_no_scale(alpha):
    with pytest.raises(ValueError, match="alpha is one positive, finite number; got"):
        LazyScaling(two_layer(), alpha)


def test_losses_of_wrapped_networks_have_their_axes():
    x, y = normal(N, 14, seed=1), normal(N, 3, seed=2)
    assert loss_on(LazyScaling(linear(runs=(2,)), 2.0), x, y).shape == (2,)
    assert loss_on(Linearised(perceptron(2)), normal(N, D), normal(N, 2)).shape == ()

import io

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import StepLR
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from regimes.directions import gauss_newton, gradient
from regimes.kernels import neural_tangent_kernel
from regimes.linalg import SmallestEigenvalue
from regimes.optimizers import EdgeFraction, GaussNewton, GradientDescent, move
from regimes.training import train
from tests.lib.cases import (
    CASES,
    D,
    M,
    N,
    convolution,
    filled,
    frozen,
    normal,
    perceptron,
    relative,
    runs_of,
    two_layer,
    weights,
)

X, Y = normal(N, D, seed=1), normal(N, seed=2, mean=-0.4)
OPTIMIZERS = {
    "gradient descent": lambda net, lr=0.3: GradientDescent(net, lr),
    "at the edge": lambda net: GradientDescent(net, EdgeFraction(0.4, every=3)),
    "gauss-newton": lambda net, lr=0.07: GaussNewton(net, lr),
    "gauss-newton, damped": lambda net, lr=0.07: GaussNewton(net, lr, damping=0.02),
    "gauss-newton, smallest eigenvalue": lambda net, lr=0.07: GaussNewton(net, lr, damping=SmallestEigenvalue()),
}
PLAIN = [name for name in OPTIMIZERS if name != "at the edge"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_stack_of_runs_equals_the_runs_one_by_one(name):
    stack = two_layer(runs=(2, 3), seed=torch.arange(6).reshape(2, 3), std=torch.tensor([[0.5, 0.8, 1.0], [1.2, 1.5, 2.0]]))
    singles, optimizer = runs_of(stack), OPTIMIZERS[name](stack)
    losses = torch.stack([optimizer.step(X, Y) for _ in range(20)])
    for i, net in enumerate(singles):
        alone = OPTIMIZERS[name](net)
        assert relative(losses.flatten(1)[:, i], torch.stack([alone.step(X, Y) for _ in range(20)])) < 1e-10
        assert relative(stack.W.detach().flatten(0, 1)[i], net.W.detach()) < 1e-10
        assert relative(stack.v.detach().flatten(0, 1)[i], net.v.detach()) < 1e-10
    assert (losses[-1] < losses[0]).all()


@pytest.mark.parametrize(
    ("make", "direction"),
    [
        (lambda net, lr: GradientDescent(net, lr), gradient),
        (lambda net, lr: GaussNewton(net, lr, damping=0.02), lambda *a: gauss_newton(*a, damping=0.02)),
    ],
)
@pytest.mark.parametrize("lr", [0.375, 0.3])
def test_a_step_is_the_step_size_times_the_direction(make, direction, lr):
    net = two_layer()
    before, wanted, optimizer = weights(net), direction(net, X, Y), make(net, lr)
    loss = optimizer.step(X, Y)
    assert relative(weights(net), before - lr * torch.cat([t.flatten() for t in wanted.tensors])) < 1e-15
    assert torch.equal(loss, wanted.loss) and optimizer.dt == lr
    assert torch.equal(optimizer.last.tensors[0], wanted.tensors[0])


def test_a_step_takes_a_direction_that_is_known_already():
    net, twin = two_layer(), two_layer()
    optimizer = GaussNewton(net, 0.3)
    known = optimizer.direction(X, Y)
    optimizer.direction = None
    optimizer.step(X, Y, known)
    GaussNewton(twin, 0.3).step(X, Y)
    assert torch.equal(weights(net), weights(twin))


def test_step_sizes_and_damping_of_each_run():
    lr, eps = torch.tensor([0.1, 0.4, 0.8], dtype=torch.float64), torch.tensor([0.02, 0.2, 2.0], dtype=torch.float64)
    stack = two_layer(runs=(3,), seed=torch.arange(3))
    singles = runs_of(stack)
    optimizers = [GaussNewton(stack, lr, damping=eps)] + [
        GaussNewton(net, lr[i].item(), damping=eps[i].item()) for i, net in enumerate(singles)
    ]
    for optimizer in optimizers:
        for _ in range(5):
            optimizer.step(X, Y)
    assert torch.equal(optimizers[0].dt, lr)
    for i, net in enumerate(singles):
        assert relative(stack.W.detach()[i], net.W.detach()) < 1e-12
        assert relative(stack.v.detach()[i], net.v.detach()) < 1e-12


def test_undamped_gauss_newton_shrinks_the_residual_by_one_minus_eta():
    net = two_layer()
    r = (net(X) - Y).detach()
    GaussNewton(net, 1e-3).step(X, Y)
    assert relative((net(X) - Y).detach(), 0.999 * r) < 1e-5


@pytest.mark.parametrize("make", [lambda: frozen(two_layer(), "W"), lambda: frozen(perceptron(), "2.weight")])
@pytest.mark.parametrize("name", PLAIN)
def test_frozen_parameters_stay(name, make):
    net = make()
    before = {k: p.detach().clone() for k, p in net.named_parameters()}
    OPTIMIZERS[name](net).step(X, Y)
    for k, p in net.named_parameters():
        assert torch.equal(p, before[k]) != p.requires_grad


@pytest.mark.parametrize(
    "case", ["perceptron, three outputs", "convolution, two outputs", "own module, two outputs", "tied weights"]
)
@pytest.mark.parametrize("name", PLAIN)
def test_any_module_trains(case, name):
    net, x, y = CASES[case]()
    x, y = x[:6], y[:6]  # fewer outputs than parameters in each case, so that Gauss-Newton stays tame
    optimizer = OPTIMIZERS[name](net, 0.01)
    losses = torch.stack([optimizer.step(x, y) for _ in range(8)])
    assert (losses.diff() < 0).all()


@pytest.mark.parametrize("case", ["convolution", "own module"])
def test_gauss_newton_on_another_module_follows_the_same_law(case):
    """Where there are more parameters than outputs, eight steps of 0.02 shrink the residual by 0.98 each, up to O(eta^2)."""
    net, x, y = CASES[case]()
    x, y = x[:6], y[:6]
    optimizer = GaussNewton(net, 0.02)
    losses = torch.stack([optimizer.step(x, y) for _ in range(8)])
    assert torch.allclose(losses, losses[0] * 0.98 ** (2 * torch.arange(8, dtype=torch.float64)), rtol=0.05)


@pytest.mark.parametrize("name", PLAIN)
def test_a_torch_scheduler(name):
    net, twin = two_layer(), two_layer()
    optimizer = OPTIMIZERS[name](net, 0.2)
    scheduler = StepLR(optimizer, step_size=2, gamma=0.5)
    times = []
    for _ in range(5):
        optimizer.step(X, Y)
        times.append(optimizer.dt)
        scheduler.step()
    assert times == [0.2, 0.2, 0.1, 0.1, 0.05]
    for lr in times:
        OPTIMIZERS[name](twin, lr).step(X, Y)
    assert torch.equal(weights(net), weights(twin))


@pytest.mark.xfail(reason="torch's schedulers fill a tensor lr with a number", strict=True, raises=RuntimeError)
def test_a_torch_scheduler_with_a_step_size_of_each_run():
    optimizer = GradientDescent(two_layer(runs=(2,)), torch.tensor([0.1, 0.2]))
    scheduler = StepLR(optimizer, step_size=1, gamma=0.5)
    optimizer.step(X, Y)
    scheduler.step()
    assert torch.equal(optimizer.param_groups[0]["lr"], torch.tensor([0.05, 0.1]))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_dict_round_trip(name):
    net, twin = two_layer(), two_layer()
    first, second = OPTIMIZERS[name](net), GaussNewton(twin, 0.9, damping=0.5)
    if not isinstance(first, GaussNewton):
        second = GradientDescent(twin, 0.9)
    for _ in range(2):
        first.step(X, Y)
    file = io.BytesIO()
    torch.save({"net": net.state_dict(), "optimizer": first.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=False)
    twin.load_state_dict(saved["net"]), second.load_state_dict(saved["optimizer"])
    assert second.param_groups[0]["lr"] == first.param_groups[0]["lr"]
    if name != "at the edge":  # its step size is found anew at the first step after loading
        first.step(X, Y), second.step(X, Y)
        assert torch.equal(weights(net), weights(twin))


def test_the_edge_fraction_of_the_stability_limit():
    net = two_layer()
    optimizer = GradientDescent(net, EdgeFraction(0.3, every=2))
    times, wanted = [], []
    for _ in range(5):
        wanted.append(0.3 * 2 * N / torch.linalg.eigvalsh(neural_tangent_kernel(net, X))[-1])
        optimizer.step(X, Y)
        times.append(optimizer.dt)
    assert torch.allclose(torch.stack(times), torch.stack([wanted[k] for k in (0, 0, 2, 2, 4)]), rtol=1e-12)
    assert len({t.item() for t in wanted}) == 5


@pytest.mark.parametrize(("fraction", "stable"), [(0.9, True), (1.1, False)])
def test_one_is_the_stability_limit_of_gradient_descent(fraction, stable):
    net = frozen(two_layer(), "W")
    optimizer = GradientDescent(net, EdgeFraction(fraction))
    losses = [optimizer.step(X, Y) for _ in range(200)]
    assert (losses[-1] < losses[0]) == stable


def test_move():
    net = two_layer(runs=(2,), seed=torch.arange(2))
    before = net.W.detach().clone(), net.v.detach().clone()
    move(net, (torch.ones_like(net.W), torch.full_like(net.v, 3.0)), torch.tensor([0.5, 2.0]))
    assert torch.allclose(before[0] - net.W, torch.tensor([0.5, 2.0], dtype=torch.float64)[:, None, None].expand_as(net.W))
    assert torch.allclose(before[1] - net.v, torch.tensor([1.5, 6.0], dtype=torch.float64)[:, None].expand_as(net.v))
    with pytest.raises(ValueError):
        move(net, (torch.ones_like(net.W),), 0.1)


@pytest.mark.parametrize("lr", [0.0, -0.1, float("nan"), float("inf"), torch.tensor([0.1, -0.1])])
@pytest.mark.parametrize("optimizer", [GradientDescent, GaussNewton])
def test_refuses_a_step_size_that_is_not_positive(optimizer, lr):
    with pytest.raises(ValueError, match="the step size lr must be a positive, finite number; got"):
        optimizer(two_layer(runs=(2,)), lr)


@pytest.mark.parametrize("damping", [-1e-9, torch.tensor([0.1, -0.1])])
def test_refuses_a_negative_damping_at_once(damping):
    with pytest.raises(ValueError, match="damping must be a finite number >= 0; got"):
        GaussNewton(two_layer(runs=(2,)), damping=damping)


@pytest.mark.parametrize("fraction", [0.0, -0.5, float("nan")])
def test_refuses_a_fraction_that_is_not_positive(fraction):
    with pytest.raises(ValueError, match="the fraction of the stability limit must be a positive, finite number"):
        EdgeFraction(fraction)


def test_refuses_an_edge_fraction_that_is_never_computed():
    with pytest.raises(ValueError, match="every"):
        EdgeFraction(every=0)


def test_gauss_newton_refuses_an_edge_fraction():
    with pytest.raises((ValueError, TypeError), match="lr"):
        GaussNewton(two_layer(), EdgeFraction())


@pytest.mark.parametrize("net", [two_layer(runs=(3, 2)), two_layer(runs=(2,)), filled(torch.nn.Linear(D, 3)), convolution(3)])
def test_refuses_step_sizes_that_do_not_fit_the_runs(net):
    x = normal(N, 1, 6, 5) if isinstance(net, torch.nn.Sequential) else X
    y = Y if hasattr(net, "runs") else normal(N, 3)
    with pytest.raises(ValueError, match="lr|step"):
        GradientDescent(net, torch.tensor([0.1, 0.2, 0.3])).step(x, y)


def test_width_and_sizes_of_these_tests_differ():
    assert len({N, D, D + 1, M}) == 4


def test_step_sizes_broadcast_to_the_runs_from_the_right():
    """As damping does, and as torch does: (2,) on runs (3, 2) is one step size a column."""
    net, lr = two_layer(runs=(3, 2)), torch.tensor([0.1, 0.4], dtype=torch.float64)
    start = net.v.detach().clone()
    optimizer = GradientDescent(net, lr)
    optimizer.step(X, Y)
    torch.testing.assert_close(start - net.v.detach(), lr[:, None] * optimizer.last.tensors[1])


def test_hooks_and_profiles_see_every_step():
    net, seen = two_layer(), []
    optimizer = GradientDescent(net, 0.1)
    handles = [
        optimizer.register_step_pre_hook(lambda *_: seen.append("before")),
        optimizer.register_step_post_hook(lambda *_: seen.append("after")),
        register_optimizer_step_pre_hook(lambda *_: seen.append("any, before")),
        register_optimizer_step_post_hook(lambda *_: seen.append("any, after")),
    ]
    train(net, X, Y, optimizer, 2)
    assert sorted(seen) == sorted(2 * ["before", "after", "any, before", "any, after"])
    for handle in handles:
        handle.remove()
    optimizer.step(X, Y)
    assert len(seen) == 8
    with torch.profiler.profile() as profile:
        optimizer.step(X, Y)
    assert "Optimizer.step#GradientDescent.step" in {event.key for event in profile.key_averages()}


@pytest.mark.parametrize("step", [0.3, 1, torch.tensor(0.3), np.float32(0.3), [0.3, 0.4]])
def test_a_step_may_be_any_kind_of_number(step):
    net = two_layer(runs=(2,))
    before, t = net.v.detach().clone(), torch.ones_like(net.v)
    move(net, (torch.zeros_like(net.W), t), step)
    wanted = before - torch.as_tensor(step, dtype=torch.float64).expand(2)[:, None] * t
    assert relative(net.v.detach(), wanted) < 1e-15

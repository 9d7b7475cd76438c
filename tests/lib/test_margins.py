"""Margins, the gap to homogeneity, and where a run changes its phase."""

import math

import pytest
import torch

from regimes.losses import logistic
from regimes.metrics import homogeneity_gap, largest_fall, normalised_margin, phase_switch, rises, smoothed_margin
from regimes.networks import ACTIVATIONS, TwoLayer, fix_signs
from regimes.optimizers import GradientDescent
from regimes.problems import two_points
from regimes.training import Diverged, train
from tests.lib.cases import D, N, normal, relative

X, Y = normal(N, D, seed=1) + 0.3, normal(N, seed=2).sign()
KAPPA = {
    "softplus": math.log(2),
    "gelu": 0.29353,
    "silu": 0.43923,
    "leaky_softplus": 0.34658,
    "leaky_gelu": 0.14677,
    "tanh": 1.0,
}


def signed(m, activation="leaky_softplus", **options):
    return fix_signs(TwoLayer(D, m, bias=False, activation=activation, **options))


def scaled(net, c):
    with torch.no_grad():
        net.W.mul_(c)
    return net


def test_the_gap_is_eulers_identity_by_autograd():
    for activation in ("silu", "leaky_gelu", "square"):
        net = signed(7, activation, seed=3)
        f = net(X)
        inner = [sum((torch.autograd.grad(fi, net.W, retain_graph=True)[0] * net.W).flatten()) for fi in f]
        wanted = (f - torch.stack(inner)).abs().detach()
        assert relative(homogeneity_gap(net, X), wanted) < 1e-12


@pytest.mark.parametrize("activation", KAPPA)
def test_the_gap_is_below_kappa_at_any_scale(activation):
    std = torch.logspace(-3, 3, 7, dtype=torch.float64)
    gap = homogeneity_gap(signed(9, activation, runs=(7,), std=std, seed=torch.arange(7)), X)
    assert gap.shape == (7, N) and 0 < gap.max() <= KAPPA[activation] + 1e-12


def test_relu_is_homogeneous_and_a_square_is_not():
    std, same = torch.tensor([1e-3, 1.0, 1e3], dtype=torch.float64), torch.full((3,), 4)
    assert homogeneity_gap(signed(9, "relu", runs=(3,), std=std, seed=same), X).max() < 1e-12 * 1e3
    square = homogeneity_gap(signed(9, "square", runs=(3,), std=std, seed=same), X).amax(-1)
    assert square[2] / square[1] == pytest.approx(1e6, rel=1e-9) and square[1] / square[0] == pytest.approx(1e6, rel=1e-9)


def test_a_network_whose_last_layer_trains_is_of_degree_two():
    """Then Euler's identity has twice the outputs, and the gap is the outputs themselves."""
    net = TwoLayer(D, 6, bias=False, activation="relu", output_std=1.0, seed=5)
    assert relative(homogeneity_gap(net, X), net(X).abs().detach()) < 1e-12


@pytest.mark.parametrize("m", [1, 4, 9])
def test_the_normalised_margin_by_hand(m):
    net = signed(m, runs=(2, 3), seed=torch.arange(6).reshape(2, 3))
    got = normalised_margin(net, X, Y)
    for i in range(2):
        for j in range(3):
            W = net.W[i, j].detach()
            f = sum(a * ACTIVATIONS["leaky_softplus"](X @ w)[0] for a, w in zip(net.v[i, j], W, strict=True)) / m
            assert got[i, j].item() == pytest.approx(min((Y * f).tolist()) * m**0.5 / W.norm().item(), rel=1e-12)


def test_the_normalised_margin_does_not_depend_on_the_width():
    net = signed(6, seed=6)
    wide = net.units(torch.arange(6).repeat(5))
    assert normalised_margin(wide, X, Y).item() == pytest.approx(normalised_margin(net, X, Y).item(), rel=1e-12)


def test_the_normalised_margin_is_that_of_a_direction():
    relu = normalised_margin(signed(8, "relu", seed=7), X, Y)
    for c in (1e-2, 10.0, 1e4):
        assert normalised_margin(scaled(signed(8, "relu", seed=7), c), X, Y).item() == pytest.approx(relu.item(), rel=1e-8)
    far = normalised_margin(scaled(signed(8, seed=7), 1e9), X, Y)
    for c in (1.0, 10.0, 100.0):
        net = scaled(signed(8, seed=7), c)
        near = normalised_margin(net, X, Y)
        assert 0 < abs(near - far) <= KAPPA["leaky_softplus"] * 8**0.5 / net.W.norm()


def test_the_smoothed_margin_by_hand():
    net = signed(5, seed=8)
    L = logistic.value(net(X), Y, N).item()
    wanted = (math.log(1 / (2 * N * L)) - 0.3) * 5**0.5 / net.W.norm().item()
    assert smoothed_margin(net, X, Y, 0.3).item() == pytest.approx(wanted, rel=1e-12)


def test_the_smoothed_margin_is_below_the_margin_once_the_risk_is_small():
    """Checked along a run that separates its data."""
    x, y = two_points(0.1)
    net = fix_signs(TwoLayer(2, 4, bias=False, activation="leaky_softplus", seed=1))
    both = {"margin": lambda net: normalised_margin(net, x, y), "smooth": lambda net: smoothed_margin(net, x, y, 0.0)}
    trace = train(net, x, y, GradientDescent(net, 20.0, loss=logistic), 400, measure=both)
    small = trace.loss <= 1 / 4
    assert small.any() and (trace.measured["smooth"][small] <= trace.measured["margin"][small] + 1e-12).all()


def test_the_smoothed_margin_outlives_the_underflow_of_the_risk():
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    net = fix_signs(TwoLayer(2, 1, bias=False, activation="identity"))
    with torch.no_grad():
        net.W.copy_(torch.tensor([[2000.0, 0.0]]))
    y = torch.ones(1, dtype=torch.float64)
    assert logistic.value(net(x), y, 1) == 0
    assert smoothed_margin(net, x, y, 0.0).item() == pytest.approx((2000 - math.log(2)) / 2000, rel=1e-12)


# Phases.


def slow_switch(loss, threshold):
    last = max([t for t in range(1, len(loss)) if loss[t] > loss[t - 1] * (1 + 1e-10)], default=0)
    return last, min([t for t in range(len(loss)) if loss[t] <= threshold], default=-1)


def test_phases_by_hand():
    loss = torch.tensor([8.0, 5.0, 6.0, 4.0, 3.0, 2.0, 1.0, 0.4, 0.3], dtype=torch.float64)
    assert tuple(k.item() for k in phase_switch(loss, 0.5)) == (2, 7)
    assert tuple(k.item() for k in phase_switch(loss, 0.1)) == (2, -1)
    assert tuple(k.item() for k in phase_switch(loss[3:], 4.0)) == (0, 0)
    assert rises(loss).tolist() == [False, True] + [False] * 6


def test_phases_of_a_stack_are_those_of_its_runs():
    loss = torch.rand(30, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    threshold = torch.tensor([0.01, 0.1, 0.5], dtype=torch.float64)
    last, below = phase_switch(loss, threshold)
    for i in range(4):
        for j in range(3):
            assert (last[i, j].item(), below[i, j].item()) == slow_switch(loss[:, i, j].tolist(), threshold[j].item())


def test_rounding_is_no_rise_and_a_small_rise_is_one():
    flat = 1e-17 * (1 + 1e-15 * torch.tensor([3.0, 1.0, 2.0, 0.0, 4.0], dtype=torch.float64))
    assert phase_switch(flat, 1.0).last_increase == 0
    assert phase_switch(1e-17 * torch.tensor([3.0, 1.0, 1.0 + 1e-9], dtype=torch.float64), 1.0).last_increase == 2


def test_rounding_in_a_long_run():
    """Two points (1, 0.1), (-2, 0.1) with a step of 128: rounding would count a thousand increases."""
    x = torch.tensor([[1.0, 0.1], [-2.0, 0.1]], dtype=torch.float64)
    net = fix_signs(TwoLayer(2, 1, activation="identity", bias=False, std=0.0))
    y = torch.ones(2, dtype=torch.float64)
    L = train(net, x, y, GradientDescent(net, 128.0, loss=logistic), 4000).loss
    assert tuple(k.item() for k in phase_switch(L, 1 / 128)) == (60, 63)
    assert (L[1:] > L[:-1]).sum() > 100


def test_losses_that_are_not_finite_are_told_with_their_step():
    loss = torch.tensor([1.0, 2.0, float("inf"), float("nan")], dtype=torch.float64)
    with pytest.raises(ValueError, match="is at step 2"):
        phase_switch(loss, 0.1)


def test_a_run_that_diverges_is_told_with_its_step():
    """z^2 is no activation for a large step: the curvature is not bounded by the risk."""
    net = fix_signs(TwoLayer(D, 4, bias=False, activation="square", seed=1))
    with pytest.raises(Diverged, match="the run diverged at step") as stop:
        train(net, 100 * X, Y, GradientDescent(net, 1e3, loss=logistic), 400)
    assert 0 < stop.value.step < 400 and len(stop.value.trace.loss) == stop.value.step


def test_the_largest_fall():
    values = torch.tensor([[9.0, 1.0], [4.0, 2.0], [5.0, 3.0], [3.0, 4.0], [6.0, 3.0]], dtype=torch.float64)
    assert largest_fall(values, 0).tolist() == pytest.approx([6 / 9, 1 / 4])
    assert largest_fall(values, 1).tolist() == pytest.approx([2 / 5, 1 / 4])
    assert largest_fall(values, torch.tensor([4, 5])).tolist() == [0.0, 0.0]
    assert largest_fall(-values, 3).tolist() == pytest.approx([1.0, 0.0])

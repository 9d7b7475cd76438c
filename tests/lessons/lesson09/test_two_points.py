"""The mathematics of the first widget of lesson 09 over its whole slider grid."""

import math

import numpy as np
import pytest
import torch

from regimes.losses import logistic
from regimes.networks import TwoLayer, fix_signs
from regimes.optimizers import GradientDescent
from regimes.problems import two_points as data
from regimes.theory import large_steps as theory
from regimes.training import train
from regimes_course.lesson09.widgets import two_points
from regimes_course.lesson09.widgets.two_points import HIGH, LOW, STEPS, compute
from tests.lessons.moves import assert_as_a_fresh_widget, panels


def axes(walk):
    return panels(two_points, walk)


def test_a_walk_is_the_training_of_a_network_of_one_unit():
    """The literal loop of the widget against the library."""
    gamma, eta = (torch.tensor(v, dtype=torch.float64) for v in ([0.025, 0.05, 0.1, 0.2], [1.0, 15.0, 32.0, 256.0]))
    net = fix_signs(TwoLayer(2, 1, runs=(4,), activation="identity", bias=False, std=0.0))
    rule, measure = GradientDescent(net, eta, loss=logistic), {"w": lambda net: net.W[:, 0]}
    trace = train(net, *data(gamma), rule, STEPS, measure=measure)
    for i in range(4):
        walk = compute(gamma[i].item(), eta[i].item())
        np.testing.assert_allclose(walk.loss, trace.loss[:, i], rtol=1e-8, atol=1e-14)
        np.testing.assert_allclose(walk.points, trace.measured["w"][:, i], rtol=1e-8, atol=1e-9)


def test_everything_is_finite(grid):
    for move in grid:
        walk = move.result
        assert all(torch.isfinite(values).all() for values in (walk.points, walk.loss)), move.settings
        assert len(walk.loss) == len(walk.points) == STEPS + 1 and walk.loss[0].item() == pytest.approx(math.log(2))


def test_the_known_switches(grid):
    wanted = {(0.05, 16): 17, (0.05, 24): 61, (0.05, 32): 63, (0.05, 256): 57, (0.025, 64): 151, (0.1, 32): 15, (0.2, 1024): 3}
    for move in grid:
        last = wanted.get((move.gamma, move.eta))
        assert last is None or move.result.rises[-1] == last, move.settings
    assert compute(0.05, 32).below(1 / 32) == 401 and compute(0.05, 8).below(0.01) is None


def test_nothing_rises_below_the_first_step_that_does(grid):
    for move in grid:
        limit = theory.first_rise(move.gamma)
        if move.gamma < 0.2:
            assert (len(move.result.rises) > 0) == (move.eta > limit), move.settings
        assert ("never rises" in move.told) == (not len(move.result.rises)), move.settings
        assert f"from η = {limit:.3g} on" in move.told or len(move.result.rises)


def test_the_readout_has_the_numbers(grid):
    for move in grid:
        walk = move.result
        if len(walk.rises):
            assert f"rises {len(walk.rises)} times, for the last time at step {walk.rises[-1]}<" in move.told, move.settings
            assert f"peaks at {walk.loss.max():.2g}." in move.told
        below = (walk.loss <= 0.8526055 / walk.eta).nonzero()
        assert (
            f"It is below 0.852/η from step {below[0].item()} on."
            if len(below)
            else "It does not come below 0.852/η within 500 steps."
        ) in move.told
        law = 1 / (walk.eta * walk.gamma**2 * STEPS)
        assert f"It ends at {walk.loss[-1]:.2g}; the law 1/(ηγ²T) says {law:.2g}, " in move.told
        times = float(move.told.rpartition(", ")[2].removesuffix(" times as much.").replace(",", ""))
        assert times == pytest.approx(law / walk.loss[-1].item(), rel=0.06) and "e+" not in move.told


def test_what_is_drawn():
    walk = compute(0.05, 32)
    left, right = axes(walk)
    path, end = left.lines
    np.testing.assert_allclose(np.stack(path.get_data(), 1), walk.points)
    np.testing.assert_allclose(np.stack(end.get_data(), 1), walk.points[-1:])
    (wedge,) = left.patches
    c = math.sqrt(1 - 0.05**2)
    _, upper, lower = wedge.get_xy()[:3]
    assert upper @ (0.05, c) == pytest.approx(0) and lower @ (0.05, -c / 2) == pytest.approx(0)  # a sample is on the edge
    loss, safe, late, switch = right.lines
    np.testing.assert_allclose(loss.get_ydata(), walk.loss)
    np.testing.assert_allclose(safe.get_ydata(), 0.8526055 / 32, rtol=1e-6)
    np.testing.assert_allclose(late.get_ydata(), 1 / (32 * 0.05**2 * np.arange(1, STEPS + 1)))
    assert (late.get_linestyle(), late.get_color()) == ("--", "black") and list(switch.get_xdata()) == [63, 63]


def test_a_walk_without_a_rise_has_no_mark_and_all_is_inside_the_axes(grid):
    assert not axes(compute(0.05, 8))[1].lines[3].get_visible()
    for move in grid[::5]:
        left, right = axes(move.result)
        assert right.get_ylim() == (LOW, HIGH)
        assert move.result.points[:, 0].max() < left.get_xlim()[1]
        assert move.result.points[:, 1].abs().max() < left.get_ylim()[1]


def test_the_picture_of_a_move_is_what_a_fresh_widget_draws():
    assert_as_a_fresh_widget(two_points, gamma=0.1, eta=8)

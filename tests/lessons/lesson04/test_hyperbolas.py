"""The mathematics of the first widget of lesson 04. Its grid has 39,930 positions: each slider is moved alone from where it
starts, and 100 positions are drawn at random (with a fixed seed), besides those where something ends: saddles, solutions, the
largest steps."""

import math
import random

import numpy as np
import pytest
import torch

from regimes.networks import TwoLayerLinear
from regimes.optimizers import GaussNewton, GradientDescent
from regimes_course.kit.words import short
from regimes_course.lesson04.widgets import hyperbolas
from regimes_course.lesson04.widgets.hyperbolas import CEILING, END, FLOOR, FRAMES, START, Walk, compute, sentence
from tests.lessons.moves import anywhere, each_alone, panels

SADDLES = [{"u0": 1.0, "v0": -1.0}, {"u0": 0.5, "v0": 0.5, "y": -2.0, "newton": 1.0}, {"u0": 0.0, "v0": 0.0}]
SOLUTION = {"u0": 2.0, "v0": 0.5, "y": 1.0}
HARSH = [{"u0": 2.0, "v0": v, "y": y, "eta": 1.2, "newton": 1.0} for v in (-2.0, 0.0, 1.5) for y in (-2.0, 2.0)]
ENDS = [START | more for more in (*SADDLES, SOLUTION, *HARSH)]
POSITIONS = [*each_alone(hyperbolas), *anywhere(hyperbolas, random.Random(0), 100), *ENDS]


def alike(a, b):
    """Where nothing moves, steps are not seen."""
    return (a.u0, a.v0, a.y) == (b.u0, b.v0, b.y)


def axes(paths):
    return panels(hyperbolas, paths)


def test_everything_is_finite(grid):
    for move in grid:
        for walk in move.result.walks:
            assert np.isfinite(walk.points).all() and np.isfinite(walk.loss).all(), move.settings


def test_the_flow_stays_on_its_hyperbola_and_its_loss_never_rises(grid):
    for move in grid:
        u, v = move.result.flow.T
        assert (u**2 - v**2 - move.result.d).abs().max() < 1e-12, move.settings
        assert (move.result.loss.diff() <= 1e-15).all(), move.settings


def test_each_step_changes_the_imbalance_by_the_exact_factor(grid):
    """By ``1 - (eta e)^2`` for gradient descent; Gauss-Newton divides ``e`` by ``u^2 + v^2``."""
    for move in grid:
        for walk in move.result.walks:
            u, v = walk.points.T
            d, step = u * u - v * v, walk.eta * (move.y - u * v)
            if walk.method == "Gauss-Newton":
                step = step / np.maximum(u * u + v * v, 1e-300)
            if np.abs(step).max() < 1e3:
                scale = 1 + (u * u + v * v)[1:] + (u * u + v * v)[:-1]
                assert (np.abs(d[1:] - d[:-1] * (1 - step[:-1] ** 2)) < 1e-12 * scale).all(), move.settings


def test_small_steps_follow_the_flow_and_its_late_rate():
    for start in ({}, {"u0": 0.2, "v0": 0.2}, {"u0": -2.0, "v0": 0.5, "y": -2.0}, {"u0": 0.5, "v0": -0.2, "y": 0.5}):
        paths = compute(**START | {"eta": 0.01} | start)
        walk = paths.walks[0]
        u, v = (np.interp(paths.time, 0.01 * np.arange(len(walk.loss)), walk.points[:, i]) for i in (0, 1))
        np.testing.assert_allclose(np.stack([u, v], 1), paths.flow, atol=0.05)
        assert walk.rate == pytest.approx(paths.rate, rel=0.15)
        assert abs(walk.imbalance - paths.d) < 0.1


def test_walks_are_the_training_of_a_network_with_one_hidden_unit():
    paths, one = compute(**START), torch.ones(1, 1, dtype=torch.float64)
    for walk, rule in zip(paths.walks, (GradientDescent, GaussNewton), strict=True):
        net = TwoLayerLinear(1, 1, 1)
        net.load_state_dict({"U": paths.u0 * one, "V": paths.v0 * one})
        optimizer = rule(net, walk.eta)
        for point in walk.points[1:51]:
            optimizer.step(one, paths.y * one)
            np.testing.assert_allclose(point, [net.U.item(), net.V.item()], rtol=1e-10)


def test_the_half_time_is_where_half_is_learned():
    for start in ({}, {"u0": 0.2, "v0": 0.2}, {"u0": 0.2, "v0": 0.0, "y": -1.0}):
        paths = compute(**START | start)
        product = np.interp(paths.half, paths.time, paths.flow.prod(-1))
        assert product == pytest.approx(paths.y / 2, abs=2e-3)
    assert compute(**START | {"u0": 2.0, "v0": 1.0}).half == 0


def test_the_gradient_descent_of_the_page_loses_its_imbalance_before_it_diverges():
    ends = [compute(**START | {"u0": 2.0, "v0": 0.2, "eta": eta}).walks[0] for eta in (0.01, 0.3, 0.6)]
    d = [walk.imbalance for walk in ends]
    assert 3.9 < d[0] < 3.96 and d[0] > d[1] > abs(d[2]) and all(walk.arrived for walk in ends)
    walk = compute(**START | {"u0": 2.0, "v0": 0.2, "eta": 1.2}).walks[0]
    assert walk.diverged == len(walk.points)


def test_saddles_are_told_and_no_walk_arrives_there():
    for start in SADDLES:
        paths = compute(**START | start)
        told = sentence(paths)
        assert "<b>The flow never arrives</b>" in told and paths.rate is None and paths.half == math.inf
        assert not any(walk.arrived for walk in paths.walks) and "half time" not in told
        assert told.count("has not arrived") + told.count("diverges") == 2
        assert not axes(paths)[1].lines[3].get_visible()
    assert "at the origin, a saddle" in told


def test_only_saddles_and_solutions_lack_a_rate(grid):
    for move in grid:
        saddle = move.u0 == -math.copysign(1, move.y) * move.v0
        assert ("never arrives" in move.told) == saddle, move.settings
        assert ("is a solution" in move.told) == (move.u0 * move.v0 == move.y), move.settings
        assert (f"late rate {short(move.result.rate or 0)} =" in move.told) == (not saddle and move.u0 * move.v0 != move.y), (
            move.settings
        )


def test_divergence_is_told_at_its_step(grid):
    diverged = 0
    for move in grid:
        for walk in move.result.walks:
            name = f"{walk.method[0].upper()}{walk.method[1:]} (η = {walk.eta:g})"
            assert (f"<b>{name} diverges</b> at step {walk.diverged}." in move.told) == (walk.diverged is not None)
            assert (walk.diverged or len(walk.points)) == len(walk.points), move.settings
            diverged += walk.diverged is not None
    assert diverged >= 5


def test_a_late_rate_is_measured_only_where_the_loss_is_small():
    walk = Walk("gradient descent", 0.5, np.zeros((5, 2)), np.array([1.0, 1e-7, 1e-9, 1e-11, 1e-30]), None)
    assert walk.rate == pytest.approx(math.log(100) / 0.5) and walk.arrived
    assert Walk("gradient descent", 0.5, np.zeros((2, 2)), np.array([1.0, 1e-7]), None).rate is None


def test_the_readout_has_the_numbers_and_every_move_is_told(grid):
    for move in grid:
        assert move.told.startswith(f"u(0) = {move.u0:g}, v(0) = {move.v0:g}, y = {move.y:g}: u² − v² = ")


def test_walks_that_arrive_lie_inside_the_picture(grid):
    for move in grid[::6]:
        left = axes(move.result)[0]
        reach = left.get_xlim()[1]
        assert left.get_ylim() == (-reach, reach) and reach in (3, 6, 12, 24)
        for walk in move.result.walks:
            assert not walk.arrived or np.abs(walk.points).max() < reach, move.settings


def test_measured_is_solid_or_dots_and_predicted_is_dashed_and_black():
    paths = compute(**START)
    left, right = axes(paths)
    descent, newton, flow, start = left.lines
    np.testing.assert_allclose(np.stack(flow.get_data(), 1), paths.flow)
    np.testing.assert_allclose(np.stack(start.get_data(), 1), [[paths.u0, paths.v0]])
    for line, walk in zip((descent, newton), paths.walks, strict=True):
        np.testing.assert_allclose(np.stack(line.get_data(), 1), walk.points)
        assert line.get_label() == walk.method
    assert len({line.get_marker() for line in (descent, newton)}) == 2
    *walks, flow, slope = right.lines
    for line, walk in zip(walks, paths.walks, strict=True):
        np.testing.assert_allclose(line.get_data(), (walk.eta * np.arange(len(walk.loss)), walk.loss.clip(FLOOR / 10)))
        assert line.get_linestyle() == "-"
    np.testing.assert_allclose(flow.get_ydata(), paths.loss.clamp(FLOOR / 10))
    assert (flow.get_linestyle(), flow.get_color(), slope.get_color()) == ("--", "black", "black")
    fall = np.diff(np.log(np.asarray(slope.get_ydata()[:3]))) / np.diff(np.asarray(paths.time[:3]))
    np.testing.assert_allclose(fall, -paths.rate)
    assert (right.get_xlim(), right.get_ylim()) == ((0, END), (FLOOR, CEILING))


def test_curves_of_the_plane_are_the_hyperbolas_they_are_said_to_be():
    for start in ({}, {"u0": 0.5, "v0": -2.0, "y": -1.0}, {"u0": 1.0, "v0": 1.0, "y": 2.0}):
        paths = compute(**START | start)
        _, own, solutions = axes(paths)[0].collections
        for u, v in np.concatenate(own.get_segments()):
            assert u * u - v * v == pytest.approx(paths.d, abs=1e-9)
        assert (np.concatenate(solutions.get_segments()).prod(1) == pytest.approx(paths.y)) and len(own.get_segments()) == 2


def test_the_last_frame_of_the_filmstrip_rests_at_the_saddle():
    paths = compute(**list(FRAMES.values())[-1])
    assert paths.rate is None and torch.equal(paths.flow[-1].round(decimals=3).abs(), torch.zeros(2))

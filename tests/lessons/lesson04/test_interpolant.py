"""The mathematics of the second widget of lesson 04. Its grid has 340,704 positions: each slider is moved alone from where it
starts, and 120 positions are drawn at random (with a fixed seed), 40 for each method."""

import itertools
import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from regimes.directions import gradient
from regimes.flows import RungeKutta4
from regimes.networks import TwoLayerLinear
from regimes.optimizers import GaussNewton, TorchOptimizer
from regimes_course.kit.words import short
from regimes_course.lesson04.widgets import interpolant
from regimes_course.lesson04.widgets.interpolant import (
    ADAM,
    CHOICES,
    FITTED,
    FLOW,
    METHODS,
    NEWTON,
    RULES,
    START,
    TARGET,
    TICK,
    compute,
    sentence,
)
from tests.lessons.moves import anywhere, each_alone, panels

_drawn = zip(anywhere(interpolant, random.Random(0), 120), itertools.cycle(CHOICES["method"].values), strict=False)
POSITIONS = [*each_alone(interpolant), *(settings | {"method": method} for settings, method in _drawn)]


def alike(a, b):
    """Without u2 its angle is not seen."""
    return a.size == b.size == 0 and a.settings | {"turn": 0} == b.settings | {"turn": 0}


def axes(found):
    return panels(interpolant, found)


def ends(found):
    """``q`` at the start, at the end, and as predicted."""
    return [found.across(theta) for theta in (found.path[0], found.path[-1], found.predicted[-1])]


def test_everything_that_is_drawn_is_finite_and_in_the_picture(grid):
    for move in grid:
        found = move.result
        assert found.fitted and np.isfinite(found.path).all() and np.isfinite(found.units).all(), move.settings
        assert torch.isfinite(found.predicted).all(), move.settings
    for move in grid[::10]:
        for ax in axes(move.result):
            reach = ax.get_xlim()[1]
            assert ax.get_ylim() == (-reach, reach)
            for line in ax.lines[1:] if ax.get_xlabel() == r"$\Theta_1$" else ax.lines:  # the line of solutions has no end
                points = np.stack(line.get_data(), 1)
                assert np.isfinite(points.astype(float)).all() and (np.abs(points) < reach).all(), move.settings


def test_the_flow_ends_where_it_is_predicted_and_follows_the_path(grid):
    moves = [move for move in grid if move.method == FLOW]
    assert len(moves) > 80
    for move in moves:
        found = move.result
        _, q, predicted = ends(found)
        assert q == pytest.approx(predicted, abs=5e-4), move.settings
        x = found.x
        along, p = found.path @ x, found.predicted.numpy() @ x
        order = np.argsort(p)
        across = [found.across(theta) for theta in found.predicted.numpy()[order]]
        law = np.interp(along, p[order], across)
        assert np.abs(law - [found.across(theta) for theta in found.path]).max() < 0.02, move.settings


def test_theta_moves_as_the_network_does(grid):
    """The last point of the path is what the hidden units at the end make."""
    for move in grid:
        for (u, v, u2), theta in zip(move.result.units, move.result.path[[0, -1]], strict=True):
            assert (u @ v, u2 @ v) == pytest.approx((theta @ move.result.x, move.result.across(theta)), abs=1e-9), move.settings


def test_the_setting_is_what_the_sliders_say(grid):
    for move in grid:
        u, v, u2 = move.result.units[0]
        norms = np.linalg.norm([u, v, u2], axis=1)
        assert norms == pytest.approx([move.scale, move.scale, move.size])
        assert move.result.products == pytest.approx(
            move.scale * move.size * np.cos(np.radians([move.turn, move.turn - move.between])), abs=1e-12
        )
        assert move.result.x == pytest.approx((math.cos(math.radians(move.angle)), math.sin(math.radians(move.angle))))


def test_flow_and_gauss_newton_never_move_u2_and_adam_does(grid):
    for move in grid:
        start, end = move.result.units[:, 2]
        if move.method != ADAM:
            assert np.abs(end - start).max() < 1e-9, move.settings
    found = compute(**START | {"method": ADAM})
    assert np.linalg.norm(found.units[1, 2] - found.units[0, 2]) > 0.05


def test_the_flow_conserves_the_imbalance(grid):
    for move in grid:
        if move.method == FLOW:
            first, last = (np.outer(u, u) - np.outer(v, v) for u, v, _ in move.result.units)
            assert np.abs(first - last).max() < 1e-3, move.settings


def test_inside_the_set_it_ends_at_min_norm_unless_adam_trains_it():
    inside = START | {"between": 0, "turn": 90}
    for method in (FLOW, NEWTON):
        found = compute(**inside | {"method": method})
        assert abs(ends(found)[1]) < 1e-9 and "at the min-norm solution." in sentence(found)
    assert abs(ends(compute(**inside | {"method": ADAM}))[1]) > 0.05
    assert "at distance" in sentence(compute(**inside | {"method": ADAM}))


def test_one_product_that_is_zero_is_not_enough():
    found = compute(**START | {"turn": 150})
    first, last, _ = ends(found)
    assert abs(found.products[1]) < 1e-12 < abs(found.products[0]) and abs(first) < 1e-12 and abs(last) > 0.3


def test_full_gauss_newton_steps_from_a_small_start_end_far_from_the_flow():
    q = [abs(ends(compute(**START | {"scale": scale, "method": NEWTON}))[1]) for scale in (1.0, 0.2, 0.1, 0.05)]
    assert q == sorted(q) and q[-1] > 4 * abs(ends(compute(**START | {"scale": 0.05}))[1])


def test_linear_regression_goes_straight_to_the_nearest_predictor_that_fits(grid):
    for move in grid:
        first, last = move.result.plain
        assert last @ move.result.x == pytest.approx(1) and (first == move.result.path[0]).all()
        assert move.result.across(last) == pytest.approx(move.result.across(first), abs=1e-12), move.settings


@pytest.mark.parametrize(("method", "steps"), [(FLOW, 100), (NEWTON, 5), (ADAM, 100)])
def test_the_rules_are_those_of_the_library(method, steps):
    x, state = np.array([0.6, 0.8]), np.array([[0.3, -0.2], [0.5, 0.1], [0.7, -0.4]])
    net = TwoLayerLinear(2, 1, 2)
    net.load_state_dict({"U": torch.tensor(state[:2]), "V": torch.tensor(state[2:])})
    optimizer = {
        FLOW: lambda: RungeKutta4(net, gradient, TICK),
        NEWTON: lambda: GaussNewton(net, 1.0),
        ADAM: lambda: TorchOptimizer(net, torch.optim.Adam(net.parameters(), lr=0.01)),
    }[method]()
    ours = list(itertools.islice(RULES[method](x, state), steps))
    for _ in ours:
        optimizer.step(torch.tensor(x)[None], torch.tensor([[TARGET]]).double())
    np.testing.assert_allclose(ours[-1], torch.cat([net.U, net.V]).detach(), rtol=1e-8)


def test_a_network_that_does_not_arrive_is_told():
    """``v = -u``, which the sliders do not offer, is a saddle."""
    found = compute(**START | {"between": 180})
    told = sentence(found)
    assert not found.fitted and abs(found.error) > 0.9 and abs(ends(found)[2]) < 1e-9
    assert "<b>Trained by gradient flow, the network has not arrived</b> after 400 steps: its error is 1." in told
    for ax in axes(found):
        assert all(np.isfinite(np.stack(line.get_data())).all() for line in ax.lines)
    assert 180 not in CHOICES["between"].values


def test_the_readout_has_the_numbers_and_every_move_is_told(grid):
    for move in grid:
        first, last, predicted = map(short, ends(move.result))
        assert f"Θ starts at q = {first}, where" in move.told and f"predicted to end at q = {predicted}." in move.told
        assert f"Trained by {move.method}, the network ends at q = {last}, at " in move.told, move.settings
        assert "has not arrived" not in move.told
    unfitted = replace(grid[0].result, path=grid[0].result.path[:2])
    assert abs(unfitted.error) > FITTED and "has not arrived</b> after 1 steps" in sentence(unfitted)


def test_artists_are_where_they_should_be():
    for method, (colour, marker) in METHODS.items():
        found = compute(**START | {"method": method})
        left, right = axes(found)
        line, foot, plain, *ways, predicted, start = left.lines
        assert np.stack(line.get_data(), 1) @ found.x == pytest.approx(1)
        assert np.linalg.norm(np.ptp(np.stack(line.get_data(), 1), axis=0)) > 5 * left.get_xlim()[1]
        np.testing.assert_allclose(np.ravel(foot.get_data()), found.x)
        np.testing.assert_allclose(np.stack(plain.get_data(), 1), found.plain)
        (way,) = [way for way in ways if len(way.get_xdata())]
        np.testing.assert_allclose(np.stack(way.get_data(), 1), found.path)
        assert (way.get_label(), way.get_color(), way.get_marker(), way.get_linestyle()) == (method, colour, marker, "-")
        np.testing.assert_allclose(np.stack(predicted.get_data(), 1), found.predicted)
        assert (predicted.get_linestyle(), predicted.get_color()) == ("--", "black")
        np.testing.assert_allclose(np.ravel(start.get_data()), found.path[0])
        tips = [np.stack(ray.get_data(), 1)[1] for ray in right.lines[:6]]
        np.testing.assert_allclose(tips, found.units.reshape(6, 2))
